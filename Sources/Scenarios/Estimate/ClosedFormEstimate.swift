import LatencyOracle
import ServingCore
import Simulation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Mean latencies of a scenario without simulating it: requests flow through the engine like a fluid.
///
/// The load comes in pieces short beside a request's life; the batch grows and ebbs with it, its step times are the
/// oracle's, and Little's law turns what is in the system into times. Variation of lengths within a piece, percentiles,
/// preemption, eviction from the prefix cache and priorities are beyond it.
public struct ClosedFormEstimate: Equatable, Sendable {
    /// Completed requests.
    public var completed = 0
    /// From the first request sent to the last one ended, seconds.
    public var duration = 0.0
    /// Mean latencies, milliseconds.
    public var meanTTFT = 0.0
    /// Mean time per output token, milliseconds.
    public var meanTPOT = 0.0
    /// Mean end-to-end latency, milliseconds.
    public var meanE2EL = 0.0
    /// Completed requests per second.
    public var requestThroughput = 0.0
    /// Output tokens per second.
    public var outputThroughput = 0.0
    /// Decoding requests on average.
    public var meanRunning = 0.0
    /// Share of the KV blocks that they hold.
    public var meanKVUsage = 0.0
    /// Share of the load's time in which more arrived than could be served.
    public var overloadedShare = 0.0
    /// What the person should know.
    public var notes: [String] = []

    /// No estimate.
    public init() {}

    /// Figures by the names of `SimulationMetrics.figures`.
    public var figures: [SimulationMetrics.Figure] {
        [
            .init(name: "mean_ttft_ms", value: meanTTFT), .init(name: "mean_tpot_ms", value: meanTPOT),
            .init(name: "mean_e2el_ms", value: meanE2EL),
            .init(name: "request_throughput", value: requestThroughput),
            .init(name: "output_throughput", value: outputThroughput),
            .init(name: "mean_requests_running", value: meanRunning),
            .init(name: "mean_kv_cache_usage", value: meanKVUsage),
        ]
    }
}

/// Makes estimates of one scenario, as often as wanted.
public struct Estimator: Sendable {
    private let prepared: PreparedScenario
    private let load: LoadProfile
    private let queue: QueueForecast?
    private var pieces: [LoadProfile.Piece]

    /// Longest piece, seconds.
    private static let longestPiece = 15.0

    /// Draws the load once.
    /// - Throws: `InvalidInput` when a request cannot be drawn.
    public init(_ prepared: PreparedScenario) throws {
        self.prepared = prepared
        load = try LoadProfile(
            prepared.requests, usesPrefixCache: prepared.facts.prefixCaching,
            blockSize: max(1, prepared.facts.blockSize))
        queue = try prepared.oracle.artifact.queue.map { try QueueForecast($0, facts: prepared.facts) }
        pieces = load.pieces(seconds: Self.longestPiece)
        let lifetime = estimate().meanE2EL / 1e3
        pieces = load.pieces(seconds: min(max(lifetime / 4, 0.02), Self.longestPiece))
    }

    /// The estimate with the oracle as fitted.
    public func estimate() -> ClosedFormEstimate { estimate(with: prepared.configuration.oracle) }

    /// 5 %, 50 % and 95 % of each figure over oracles that the training data allow, by name in the order of
    /// `ClosedFormEstimate.figures`.
    /// - Throws: as compiling the oracle does.
    public func bands(draws: Int) throws -> [UncertaintyBands.Band] {
        let oracles = OracleDraws(count: draws, for: prepared)
        let estimates = try parallelMap(draws) { index in
            estimate(with: try oracles.oracle(index, for: prepared)).figures
        }
        return UncertaintyBands.bands(of: estimates)
    }

    private func estimate(with oracle: CompiledOracle) -> ClosedFormEstimate {
        var result = ClosedFormEstimate()
        let requests = Double(load.requests)
        guard requests > 0 else { return result }
        let engines = Double(max(1, prepared.configuration.engines))
        let facts = prepared.facts
        var fluid = FluidModel(
            oracle: oracle, facts: facts,
            limit: load.maxConcurrency.map { Double($0) / engines } ?? .infinity, queue: queue)
        let steps = pieces.reduce(0) { $0 + $1.decodeSteps } / requests
        let context = pieces.reduce(0) { $0 + $1.decodeContext } / max(steps * requests, 1)
        for piece in pieces {
            var request = StepBalance.Request()
            request.decodeSteps = steps
            request.context = context
            if piece.requests > 0 {
                request.promptTokens = piece.promptTokens / piece.requests
                request.cachedTokens = piece.cachedTokens / piece.requests
                request.prefillPairs = piece.prefillPairs / piece.requests
            }
            fluid.advance(
                seconds: piece.seconds, arrivals: piece.requests / engines,
                work: steps > 0 ? piece.decodeSteps / steps / engines : 0, request)
        }
        fluid.drain()
        let first = fluid.firstTokenSum * engines / requests
        let wait = fluid.waitingArea * engines / requests
        let decode = fluid.decoding.area * engines / requests
        let outputs = pieces.reduce(0) { $0 + $1.outputTokens }
        result.completed = load.requests
        result.meanTTFT = (first + wait) * 1e3
        result.meanTPOT = steps > 0 ? decode / steps * 1e3 : 0
        result.meanE2EL = (first + wait + decode) * 1e3
        // The last request is sent, or admitted after the wait; then it takes as long as any.
        result.duration = max(load.span + wait, fluid.lastBehind) + first + decode
        result.requestThroughput = requests / max(result.duration, 1e-9)
        result.outputThroughput = outputs / max(result.duration, 1e-9)
        result.meanRunning = fluid.decoding.area * engines / max(result.duration, 1e-9)
        let tokens = Double(facts.kvBlocks) * Double(max(1, facts.blockSize))
        result.meanKVUsage = tokens > 0 ? min(1, fluid.kvArea / max(result.duration, 1e-9) / tokens) : 0
        result.overloadedShare = min(1, fluid.behindSeconds / max(fluid.time, 1e-9))
        if fluid.occupancy > 0.7 {
            result.notes.append("near or beyond the limit at times, where means are rough: simulate")
        }
        if load.hasFollowUps { result.notes.append("later turns of conversations are sent at guessed times") }
        if prepared.requests.clientTimeout != nil { result.notes.append("clients never give up here") }
        return result
    }
}
