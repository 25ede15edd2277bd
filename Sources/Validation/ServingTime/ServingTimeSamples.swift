import ByteStreams
import Catalog
import LatencyOracle
import Scenarios
import ServingCore
import Simulation

/// What first tokens took beyond the engine in a measured run: the time that the API server and the network add.
public struct ServingTimeSamples: Sendable {
    /// Measured less simulated time to first token, seconds; the simulation knows no API server.
    public private(set) var seconds: [Double] = []
    /// Other requests in flight when the first token came: the outputs of the same step that came before it.
    public private(set) var requestsAhead: [Double] = []

    /// Samples of a run at most, evenly spread.
    static let most = 3000
    /// A run whose later tokens come at a pace further from the simulated one than this says nothing here.
    static let paces = 0.8...1.25

    /// Simulates a run without an API server, request by request, with steps scaled to the pace that the run's later
    /// tokens show: an error in step times is not the API server's.
    /// - Throws: `InvalidInput` for an unknown model or accelerator, or a run without times of first tokens.
    public init(_ run: MeasuredRun, base: Scenario, oracle: StepTimeOracle, shipped: ShippedFiles) throws {
        let scenario = try run.scenario(base: base)
        guard let gpu = scenario.gpu else { return }
        var artifact = oracle.artifact
        artifact.arrival = nil
        artifact.post = nil
        let deployment = try Deployment(
            scenario.engine, gpu: gpu, version: scenario.engineVersion, shipped: shipped)
        var prepared = try scenario.prepare(
            deployment: deployment, oracle: StepTimeOracle(artifact: artifact),
            requests: scenario.requests(shipped: shipped))
        prepared.configuration.collectsRecords = true
        var simulation = try prepared.makeRun()
        var simulated: [RequestRecord] = []
        while try simulation.advance(events: 1 << 20) { simulated += simulation.takeRecords() }
        _ = simulation.finish()
        simulated += simulation.takeRecords()
        simulated.sort { $0.index < $1.index }

        let measured = try Self.times(run.path)
        guard measured.count == simulated.count else { return }
        let both = measured.indices.filter {
            measured[$0].isComplete && simulated[$0].status == .completed && simulated[$0].outputTokens > 1
        }
        let paces = both.map {
            (measured[$0].finished - measured[$0].first)
                / max((simulated[$0].finished - simulated[$0].firstToken).seconds, 1e-9)
        }.sorted()
        guard !paces.isEmpty else { return }
        let pace = paces[paces.count / 2]
        guard Self.paces.contains(pace) else { return }
        let sent = measured.map(\.sent).sorted()
        let finished = measured.filter(\.isComplete).map(\.finished).sorted()
        for index in stride(from: 0, to: both.count, by: max(1, both.count / Self.most)) {
            let place = both[index]
            let time = measured[place].first
            let inFlight = Self.count(sent, upTo: time) - Self.count(finished, upTo: time)
            seconds.append(
                measured[place].first - measured[place].sent
                    - pace * simulated[place].timeToFirstToken.seconds)
            requestsAhead.append(Double(max(0, inFlight - 1)))
        }
    }

    private struct Times {
        var sent: Double
        var first: Double
        var finished: Double
        var isComplete: Bool
    }

    /// Times of every request in order of sending.
    private static func times(_ path: String) throws -> [Times] {
        var rows = try CSVReader(path: path)
        let sent = try rows.column("arrival_s")
        let succeeded = try rows.column("succeeded")
        let first = try rows.column("ttft_s")
        let endToEnd = try rows.column("e2e_s")
        var times: [Times] = []
        while try rows.next() {
            let start = try rows.double(sent)
            var item = Times(sent: start, first: start, finished: start, isComplete: false)
            if try rows.integer(succeeded) == 1 {
                item.first += try rows.double(first)
                item.finished += try rows.double(endToEnd)
                item.isComplete = true
            }
            times.append(item)
        }
        return times.enumerated().sorted { ($0.element.sent, $0.offset) < ($1.element.sent, $1.offset) }
            .map(\.element)
    }

    /// Sorted values of at most `limit`.
    private static func count(_ values: [Double], upTo limit: Double) -> Int {
        var low = 0
        var high = values.count
        while low < high {
            let middle = (low + high) / 2
            if values[middle] <= limit { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
