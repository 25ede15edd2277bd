import LatencyOracle
import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How long an engine's steps take while `n` requests decode and others are admitted at some rate: the longer a
/// step, the more prefills come together in the next, and the longer that takes.
struct StepBalance {
    /// What a request is on average.
    struct Request {
        var promptTokens = 1.0
        var cachedTokens = 0.0
        /// Steps after the one with the first token.
        var decodeSteps = 0.0
        /// Context length while it decodes, averaged over steps.
        var context = 0.0
        /// Query-key pairs of its prefill.
        var prefillPairs = 0.0

        /// Prompt tokens to compute.
        var newTokens: Double { max(1, promptTokens - cachedTokens) }
    }

    let oracle: CompiledOracle
    let facts: DeploymentFacts
    let request: Request
    let batch: Double
    let rate: Double
    /// Mean step, a step without and one with prefill, seconds.
    private(set) var stepSeconds = 0.0
    private(set) var decodeSeconds = 0.0
    private(set) var mixedSeconds = 0.0
    /// Share of the steps with prefill.
    private(set) var prefillShare = 0.0

    /// Steps of `batch` decoding requests with `rate` requests a second admitted.
    init(oracle: CompiledOracle, facts: DeploymentFacts, request: Request, batch: Double, rate: Double) {
        self.oracle = oracle
        self.facts = facts
        self.request = request
        self.batch = batch
        self.rate = rate
        decodeSeconds = seconds(batch, prefills: 0)
        stepSeconds = decodeSeconds
        mixedSeconds = decodeSeconds
        for _ in 0..<60 {
            let arrivals = rate * stepSeconds
            guard arrivals > 0, arrivals.isFinite else { break }
            // Some step has a prefill as soon as somebody came during the one before; all have when tokens fill them.
            prefillShare = min(1, max(1 - exp(-arrivals), arrivals * request.newTokens / budget))
            mixedSeconds = seconds(batch, prefills: min(arrivals / prefillShare, budget / request.newTokens))
            let next = (1 - prefillShare) * decodeSeconds + prefillShare * mixedSeconds
            let isSettled = abs(next - stepSeconds) <= 1e-7 * next
            stepSeconds = next
            if isSettled { break }
        }
    }

    /// Tokens that a step has for prefill.
    var budget: Double { max(1, Double(facts.maxNumBatchedTokens) - batch) }

    /// Requests a second whose prompts the engine can compute at most.
    var greatestRate: Double {
        let prefills = budget / request.newTokens
        return prefills / seconds(batch, prefills: prefills)
    }

    /// From being queued to the first token: the rest of the running step, under asynchronous scheduling the next, which
    /// is composed already, and the steps of the prompt with what else came meanwhile.
    /// - Parameter wait: until the scheduler looks at the queue, seconds; nil for the rest of the running step.
    func firstTokenSeconds(wait: Double?) -> Double {
        // Nobody may be there.
        let busy = 1 - exp(-batch)
        let square =
            (1 - prefillShare) * decodeSeconds * decodeSeconds + prefillShare * mixedSeconds * mixedSeconds
        let rest = stepSeconds > 0 ? busy * square / (2 * stepSeconds) : 0
        let composed = facts.asyncScheduling ? busy * stepSeconds : 0
        let together = min(1 + rate * stepSeconds, max(1, budget / request.newTokens))
        let steps = max(1, together * request.newTokens / budget)
        return (wait ?? rest) + composed + steps * seconds(batch, prefills: together / steps)
    }

    /// A step of `batch` decoding requests and `prefills` prefills (not whole numbers: between two states a line).
    private func seconds(_ batch: Double, prefills: Double) -> Double {
        let low = min(max(0, batch), 1e6).rounded(.down)
        func at(_ decode: Double) -> Double {
            var state = StepState()
            state.decodeRequests = Int(decode)
            state.decodeContextTokens = Int(min(decode * request.context, 1e15))
            state.prefillTokens = Int(min(prefills * request.newTokens, 1e7).rounded())
            state.prefillRequests = prefills > 0 ? max(1, Int(min(prefills, 1e6).rounded())) : 0
            state.prefillContextTokens = Int(min(prefills * request.cachedTokens, 1e15))
            state.prefillAttentionPairs = prefills * request.prefillPairs
            state.runningRequests = state.decodeRequests + state.prefillRequests
            state.kvBlocksTotal = facts.kvBlocks
            let blocks = decode * request.context / Double(max(1, facts.blockSize))
            state.kvBlocksUsed = Int(min(blocks, Double(max(0, facts.kvBlocks))))
            return oracle.stepSeconds(state)
        }
        guard batch > low else { return at(low) }
        return at(low) + (batch - low) * (at(low + 1) - at(low))
    }
}
