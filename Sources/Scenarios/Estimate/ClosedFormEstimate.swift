import LatencyOracle
import ServingCore
import Simulation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Mean latencies of a scenario without simulating it: Little's law and the oracle, piece by piece.
///
/// Every piece of the load, about as long as a request lives and at most a minute, is taken for a steady state; what
/// it cannot serve waits for the next. Variation of lengths, percentiles, preemption, eviction from the prefix cache
/// and priorities are beyond it.
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

/// Makes closed-form estimates of one scenario, as often as wanted.
public struct Estimator: Sendable {
    private let prepared: PreparedScenario
    private let load: LoadProfile
    private let queue: QueueForecast?
    private var pieces: [LoadProfile.Piece]

    /// Lengths of a piece, seconds.
    private static let pieceSeconds = 1.0...60.0

    /// Draws the load once.
    /// - Throws: `InvalidInput` when a request cannot be drawn.
    public init(_ prepared: PreparedScenario) throws {
        self.prepared = prepared
        load = try LoadProfile(
            prepared.requests, usesPrefixCache: prepared.facts.prefixCaching,
            blockSize: max(1, prepared.facts.blockSize))
        queue = try prepared.oracle.artifact.queue.map { try QueueForecast($0, facts: prepared.facts) }
        pieces = load.pieces(seconds: Self.pieceSeconds.upperBound)
        // As long as a request lives: the batch follows the load, no faster.
        let lifetime = estimate().meanE2EL / 1e3
        let range = Self.pieceSeconds
        pieces = load.pieces(seconds: min(max(lifetime, range.lowerBound), range.upperBound))
    }

    /// The estimate with the oracle as fitted.
    public func estimate() -> ClosedFormEstimate { estimate(with: prepared.configuration.oracle) }

    /// 5 %, 50 % and 95 % of each figure over oracles that the training data allow, by name in the order of
    /// `ClosedFormEstimate.figures`.
    /// - Throws: as compiling the oracle does.
    public func bands(draws: Int) throws -> [UncertaintyBands.Band] {
        let seed = prepared.scenario.seed
        let scores = DiscrepancyScores.latinHypercube(count: draws, seed: seed)
        let estimates = try parallelMap(draws) { index in
            var stream = RandomStream(seed: seed, purpose: "oracle", index: UInt64(index))
            return estimate(
                with: try prepared.oracle.compileDraw(
                    for: prepared.facts, scores: scores[index], using: &stream)
            ).figures
        }
        return UncertaintyBands.bands(of: estimates)
    }

    private func estimate(with oracle: CompiledOracle) -> ClosedFormEstimate {
        var result = ClosedFormEstimate()
        let engines = Double(max(1, prepared.configuration.engines))
        var sums = (requests: 0.0, ttft: 0.0, tpot: 0.0, decode: 0.0, running: 0.0, kv: 0.0, seconds: 0.0)
        var backlog = 0.0
        var behind = 0.0
        var nearLimit = 0.0
        var lastEnd = 0.0
        for (index, piece) in pieces.enumerated() where piece.requests > 0 {
            let arrivals = piece.requests / engines
            // All at once is as fast as can be imagined.
            let isBurst = piece.seconds == 0
            let inputs = inputs(piece, oracle, rate: min(piece.rate, 1e6) / engines)
            var steady = SteadyState(inputs)
            let keepsUp = steady.isStable
            // Only what waits asks how fast the engine could be.
            var capacity = keepsUp && backlog == 0 && !isBurst ? .infinity : steady.capacity
            if !keepsUp { steady = SteadyState(inputs.at(capacity)) }
            nearLimit = max(nearLimit, keepsUp ? steady.occupancy : 1)
            var isLimited = false
            if let limit = load.maxConcurrency {
                // In flight at most `limit`: the rate is what so many keep up (interactive response time law).
                let most = Double(limit) / engines
                let inFlight =
                    steady.inputs.rate * (firstTokenSeconds(steady, oracle) + decodeSeconds(steady))
                if inFlight > most {
                    isLimited = true
                    steady = limited(steady.inputs, to: most, oracle)
                    capacity = steady.inputs.rate
                }
            }
            let before = backlog
            // What a client holds back doesn't wait at the server.
            backlog =
                isLimited || capacity == .infinity ? 0 : max(0, before + arrivals - capacity * piece.seconds)
            if isBurst { backlog = isLimited ? 0 : max(0, arrivals - inputs.slots) }
            let isBehind = backlog > 0 || before > 0
            if isBehind { behind += isBurst ? 1 : piece.seconds }
            // Those of this piece find the backlog that its beginning and its end have on average.
            var wait = isBehind && capacity > 0 ? (before + backlog) / 2 / capacity : 0
            // Chance queues of an engine that keeps up, which no piece outlives.
            if keepsUp, !isBehind, !isLimited { wait = min(steady.slotWaitSeconds, piece.seconds) }
            let first = firstTokenSeconds(steady, oracle) + wait
            sums.requests += piece.requests
            sums.ttft += piece.requests * first
            sums.tpot += piece.requests * steady.stepSeconds
            sums.decode += piece.requests * decodeSeconds(steady)
            let seconds = isBurst || isLimited ? arrivals / max(capacity, 1e-9) : piece.seconds
            sums.running += seconds * steady.running
            sums.kv += seconds * kvShare(steady)
            sums.seconds += seconds
            guard index == pieces.count - 1 else { continue }
            let sending = isLimited ? max(load.span, Double(load.requests) / engines / capacity) : load.span
            lastEnd = sending + (backlog > 0 ? backlog / max(capacity, 1e-9) : 0)
            lastEnd += first - wait + decodeSeconds(steady)
        }
        guard sums.requests > 0 else { return result }
        result.completed = Int(sums.requests)
        result.duration = lastEnd
        result.meanTTFT = sums.ttft / sums.requests * 1e3
        result.meanTPOT = sums.tpot / sums.requests * 1e3
        result.meanE2EL = (sums.ttft + sums.decode) / sums.requests * 1e3
        result.requestThroughput = sums.requests / lastEnd
        result.outputThroughput = pieces.reduce(0) { $0 + $1.outputTokens } / lastEnd
        result.meanRunning = sums.running / sums.seconds * engines
        result.meanKVUsage = sums.kv / sums.seconds
        let total = pieces.reduce(0) { $0 + $1.seconds }
        result.overloadedShare = total > 0 ? behind / total : behind
        if nearLimit > 0.7 {
            result.notes.append("near or beyond the limit at times, where means are rough: simulate")
        }
        if load.hasFollowUps {
            result.notes.append("later turns of conversations are sent at guessed times")
        }
        if prepared.requests.clientTimeout != nil { result.notes.append("clients never give up here") }
        return result
    }

    private func inputs(_ piece: LoadProfile.Piece, _ oracle: CompiledOracle, rate: Double)
        -> SteadyState.Inputs
    {
        let facts = prepared.facts
        let blockSize = Double(max(1, facts.blockSize))
        let context = piece.decodeSteps > 0 ? piece.decodeContext / piece.decodeSteps : 0
        // A request holds whole blocks.
        let held = max(context, piece.promptTokens / piece.requests) + blockSize / 2
        let room = facts.kvBlocks > 0 ? Double(facts.kvBlocks) * blockSize / held : .infinity
        return SteadyState.Inputs(
            oracle: oracle, facts: facts, rate: rate, promptTokens: piece.promptTokens / piece.requests,
            cachedTokens: piece.cachedTokens / piece.requests,
            decodeSteps: piece.decodeSteps / piece.requests, context: context,
            prefillPairs: piece.prefillPairs / piece.requests,
            // A short load never fills what a long one would.
            slots: max(1, min(Double(max(1, facts.maxNumSeqs)), room, Double(load.requests))))
    }

    private func decodeSeconds(_ steady: SteadyState) -> Double {
        steady.inputs.decodeSteps * steady.stepSeconds
    }

    private func kvShare(_ steady: SteadyState) -> Double {
        let blocks = Double(prepared.facts.kvBlocks * max(1, prepared.facts.blockSize))
        return blocks > 0 ? min(1, steady.running * steady.inputs.context / blocks) : 0
    }

    /// From sending to the first token: API work, the wait for the scheduler, under asynchronous scheduling the step
    /// that it had composed already, the request's own steps, and the way back.
    private func firstTokenSeconds(_ steady: SteadyState, _ oracle: CompiledOracle) -> Double {
        let prompt = Int(min(steady.inputs.promptTokens.rounded(), 1e9))
        var wait = steady.residualSeconds
        if let queue {
            var state = QueueState()
            state.runningRequests = Int(min(steady.running.rounded(), 1e9))
            state.kvBlocksTotal = prepared.facts.kvBlocks
            state.kvBlocksUsed = Int(kvShare(steady) * Double(prepared.facts.kvBlocks))
            state.promptTokens = prompt
            wait = queue.meanSeconds(state)
        }
        if prepared.facts.asyncScheduling { wait += steady.busyShare * steady.stepSeconds }
        return oracle.arrivalSeconds(promptTokens: prompt) + wait + steady.ownPrefillSeconds
            + oracle.postSeconds(outputTokens: 1)
    }

    /// The load of a client that keeps `most` requests in flight: its rate is in balance with its latency.
    private func limited(_ inputs: SteadyState.Inputs, to most: Double, _ oracle: CompiledOracle)
        -> SteadyState
    {
        var (low, high) = (0.0, inputs.rate)
        for _ in 0..<40 {
            let rate = (low + high) / 2
            let steady = SteadyState(inputs.at(rate))
            let latency = firstTokenSeconds(steady, oracle) + decodeSeconds(steady)
            if steady.isStable && rate * latency <= most { low = rate } else { high = rate }
        }
        return SteadyState(inputs.at(low))
    }
}
