import ByteStreams
import Catalog
import Scenarios
import ServingCore
import Simulation
import Workload

/// A run of a real engine: what was sent, how long it took, and the scenario that simulates it.
public struct MeasuredRun: Sendable {
    /// Entry in the folder's index.
    public var entry: MeasuredRunEntry
    /// File with a row per request.
    public var path: String
    /// Latencies and rates as they were measured.
    public var measured: SimulationMetrics

    /// Reads a run of a folder.
    /// - Throws: `InvalidInput` when its file is missing or broken.
    public init(_ entry: MeasuredRunEntry, folder: String) throws {
        self.entry = entry
        let candidates = ["\(folder)/\(entry.name).csv.zst", "\(folder)/\(entry.name).csv"]
        var failure: (any Error)?
        for path in candidates {
            do {
                let metrics = try Self.readMetrics(path, entry)
                self.path = path
                measured = metrics
                return
            } catch let error as InvalidInput where error.kind == .noSuchInput {
                failure = failure ?? error
            }
        }
        throw failure!
    }

    /// The scenario of this run; oracle, latency mode and seed are `base`'s.
    public func scenario(base: Scenario) throws -> Scenario {
        var scenario = base
        scenario.engine.model = entry.model
        for (flag, value) in entry.flags { try scenario.engine.set(flag, to: value) }
        scenario.gpu = entry.gpu
        scenario.engineVersion = try EngineVersion(parsing: entry.engine)
        var options = TraceOptions()
        options.equalLengthsShare = entry.sharedPrompts ?? false
        options.outputLength = entry.load?.outputLength
        options.maxConcurrency = entry.maxConcurrency
        options.clientTimeout = entry.clientTimeout
        scenario.load = .trace(path: path, options: options)
        return scenario
    }

    private static func readMetrics(_ path: String, _ entry: MeasuredRunEntry) throws -> SimulationMetrics {
        var rows = try CSVReader(path: path)
        let arrival = try rows.column("arrival_s")
        let prompt = try rows.column("prompt_tokens")
        var records: [RequestRecord] = []
        func ticks(_ seconds: Double) -> Ticks { Ticks(seconds: seconds) }
        if let ttft = rows.columnIfPresent("ttft_s") {
            let output = try rows.column("output_tokens_recorded")
            let succeeded = try rows.column("succeeded")
            let endToEnd = try rows.column("e2e_s")
            while try rows.next() {
                var record = RequestRecord()
                record.sent = ticks(try rows.double(arrival))
                record.promptTokens = try rows.integer(prompt)
                if try rows.integer(succeeded) == 1 {
                    record.status = .completed
                    record.outputTokens = try rows.integer(output)
                    record.firstToken = record.sent + ticks(try rows.double(ttft))
                    record.finished = record.sent + ticks(try rows.double(endToEnd))
                } else {
                    record.status = .timedOut
                    record.finished = record.sent + ticks(entry.clientTimeout ?? 0)
                }
                records.append(record)
            }
            correctOutputLengths(&records, told: entry.load?.outputLength)
        } else {
            let output = try rows.column("output_tokens")
            let scheduled = try rows.column("scheduled_s")
            let first = try rows.column("first_token_s")
            let last = try rows.column("last_token_s")
            while try rows.next() {
                var record = RequestRecord()
                record.status = .completed
                record.sent = ticks(try rows.double(arrival))
                record.queued = record.sent
                record.scheduled = ticks(try rows.double(scheduled))
                record.promptTokens = try rows.integer(prompt)
                record.outputTokens = try rows.integer(output)
                record.firstToken = ticks(try rows.double(first))
                record.finished = ticks(try rows.double(last))
                records.append(record)
            }
        }
        return metrics(of: records)
    }

    /// Clients that re-tokenise text lose tokens: a record far below the run's median is replaced by what the
    /// server was told to generate.
    private static func correctOutputLengths(_ records: inout [RequestRecord], told: Int?) {
        guard let told else { return }
        let lengths = records.filter { $0.status == .completed }.map(\.outputTokens).sorted()
        guard !lengths.isEmpty else { return }
        let median = Double(lengths[lengths.count / 2])
        for i in records.indices where records[i].status == .completed {
            if Double(records[i].outputTokens) < 0.9 * median { records[i].outputTokens = told }
        }
    }

    private static func metrics(of records: [RequestRecord]) -> SimulationMetrics {
        var collector = MetricsCollector()
        for (index, record) in records.sorted(by: { $0.sent < $1.sent }).enumerated() {
            var record = record
            record.index = index
            collector.sent(at: record.sent)
            collector.finished(record)
        }
        return collector.metrics()
    }
}
