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
    /// What happened to each request, in order of sending.
    public var records: [RequestRecord]
    /// Latencies and rates as they were measured.
    public var measured: SimulationMetrics { metrics(of: records, nil) }

    /// Reads a run of a folder.
    /// - Throws: `InvalidInput` when its file is missing or broken.
    public init(_ entry: MeasuredRunEntry, folder: String) throws {
        self.entry = entry
        let candidates = ["\(folder)/\(entry.name).csv.zst", "\(folder)/\(entry.name).csv"]
        var failure: (any Error)?
        for path in candidates {
            do {
                records = try Self.read(path, entry)
                self.path = path
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

    /// Metrics of records that need not be in any order; with `part`, of the requests that it holds out.
    public func metrics(of records: [RequestRecord], _ part: Holdout?) -> SimulationMetrics {
        var collector = MetricsCollector()
        let held = part.map(isHeldOut)
        for record in records.sorted(by: { ($0.sent, $0.index) < ($1.sent, $1.index) }) {
            if let held, record.index >= held.count || !held[record.index] { continue }
            collector.sent(at: record.sent)
            collector.finished(record)
        }
        return collector.metrics()
    }

    /// Whether a holdout holds out each request.
    public func isHeldOut(_ part: Holdout) -> [Bool] {
        let first = records.first?.sent ?? 0
        let stages = entry.load?.stageSeconds ?? []
        return records.map {
            part.holdsOut(index: $0.index, seconds: ($0.sent - first).seconds, stages: stages)
        }
    }

    private static func read(_ path: String, _ entry: MeasuredRunEntry) throws -> [RequestRecord] {
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
        // As the trace reader sorts them: ties keep the order of the file.
        let order = records.indices.sorted { (records[$0].sent, $0) < (records[$1].sent, $1) }
        return order.enumerated().map { index, place in
            var record = records[place]
            record.index = index
            return record
        }
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
}
