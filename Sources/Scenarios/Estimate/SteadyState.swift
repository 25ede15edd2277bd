import LatencyOracle
import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// An engine that has served the same load for ever: its batch and its step time hold each other in balance.
///
/// `n` requests decode; a step then takes T(n), and with `r` arrivals a second that decode for `o` steps each,
/// n = r o T(n) (Little's law). A request in the batch sees the others and itself, so its own steps take T(n + 1).
/// Prefills come in steps of their own share, as many together as arrive during a step.
struct SteadyState {
    /// What the engine and its load are.
    struct Inputs {
        var oracle: CompiledOracle
        var facts: DeploymentFacts
        /// Requests a second on this engine.
        var rate: Double
        /// Means per request.
        var promptTokens: Double
        var cachedTokens: Double
        var decodeSteps: Double
        /// Context length of a decoding request, averaged over steps.
        var context: Double
        /// Query-key pairs of a request's prefill.
        var prefillPairs: Double
        /// Requests that can run at a time.
        var slots: Double

        /// The same engine with another load.
        func at(_ rate: Double) -> Inputs {
            var result = self
            result.rate = rate
            return result
        }
    }

    let inputs: Inputs
    /// Decoding requests.
    private(set) var running = 0.0
    /// Mean step of a decoding request, seconds: its TPOT.
    private(set) var stepSeconds = 0.0
    /// Share of the steps with prefill.
    private(set) var prefillShare = 0.0
    /// A step with and one without prefill, seconds.
    private(set) var mixedSeconds = 0.0
    private(set) var decodeSeconds = 0.0
    /// Whether the load can be served for ever.
    private(set) var isStable = true

    /// Finds the balance; with a load too heavy the engine runs full.
    init(_ inputs: Inputs) {
        self.inputs = inputs
        var batch = 0.0
        // The batch of an empty system grows until it is in balance; what never is outgrows the slots.
        for _ in 0..<400 {
            let isServed = solveStep(batch + 1)
            let next = inputs.rate * inputs.decodeSteps * stepSeconds
            if !isServed || next > inputs.slots {
                isStable = false
                batch = inputs.slots
                _ = solveStep(batch)
                break
            }
            if abs(next - batch) <= 1e-6 * max(batch, 1e-3) {
                batch = next
                break
            }
            batch = next
        }
        running = batch
    }

    /// Step times with `batch` requests decoding.
    /// - Returns: false when prefills alone fill every step.
    private mutating func solveStep(_ batch: Double) -> Bool {
        let budget = max(1, Double(inputs.facts.maxNumBatchedTokens) - batch)
        let tokens = max(1, inputs.promptTokens - inputs.cachedTokens)
        decodeSeconds = seconds(batch, prefills: 0)
        stepSeconds = decodeSeconds
        mixedSeconds = decodeSeconds
        for _ in 0..<60 {
            let arrivals = inputs.rate * stepSeconds
            guard arrivals > 0, arrivals.isFinite else { break }
            // Prefills of one step, or as many steps as their tokens fill.
            let share = max(1 - exp(-arrivals), arrivals * tokens / budget)
            guard share < 1 else {
                mixedSeconds = seconds(batch, prefills: budget / tokens)
                stepSeconds = mixedSeconds
                prefillShare = 1
                // Full steps of prefill serve budget / tokens requests each.
                return inputs.rate * mixedSeconds <= budget / tokens
            }
            mixedSeconds = seconds(batch, prefills: arrivals / share)
            let next = (1 - share) * decodeSeconds + share * mixedSeconds
            prefillShare = share
            let isSettled = abs(next - stepSeconds) <= 1e-9 * next
            stepSeconds = next
            if isSettled { break }
        }
        return true
    }

    /// A step of `batch` decoding requests and `prefills` prefills (not whole numbers: between two states a line).
    private func seconds(_ batch: Double, prefills: Double) -> Double {
        let low = batch.rounded(.down)
        func at(_ count: Double) -> Double {
            var state = StepState()
            let decode = max(0, min(count, 1e6))
            state.decodeRequests = Int(decode)
            state.decodeContextTokens = Int(min(decode * inputs.context, 1e15))
            let new = min(prefills * (inputs.promptTokens - inputs.cachedTokens), 1e7)
            state.prefillTokens = Int(new.rounded())
            state.prefillRequests = prefills > 0 ? max(1, Int(prefills.rounded())) : 0
            state.prefillContextTokens = Int(min(prefills * inputs.cachedTokens, 1e15))
            state.prefillAttentionPairs = prefills * inputs.prefillPairs
            state.runningRequests = state.decodeRequests + state.prefillRequests
            state.kvBlocksTotal = inputs.facts.kvBlocks
            let blockSize = Double(max(1, inputs.facts.blockSize))
            state.kvBlocksUsed = Int(
                min(decode * inputs.context / blockSize, Double(max(0, inputs.facts.kvBlocks))))
            return inputs.oracle.stepSeconds(state)
        }
        guard batch > low else { return at(low) }
        return at(low) + (batch - low) * (at(low + 1) - at(low))
    }

    /// Share of the time in which a step runs: one less the chance that nobody is there.
    var busyShare: Double {
        isStable ? 1 - exp(-(running + inputs.rate * (prefillShare > 0 ? mixedSeconds : 0))) : 1
    }

    /// How near the engine is to its limit: of its slots, and of its steps those with prefill that leave no room.
    var occupancy: Double {
        let tokens = max(1, inputs.promptTokens - inputs.cachedTokens)
        let budget = max(1, Double(inputs.facts.maxNumBatchedTokens) - running)
        return max(running / inputs.slots, inputs.rate * stepSeconds * tokens / budget)
    }

    /// Until the scheduler looks at the queue: the rest of the step that runs, if one does.
    var residualSeconds: Double {
        let square =
            (1 - prefillShare) * decodeSeconds * decodeSeconds + prefillShare * mixedSeconds * mixedSeconds
        return stepSeconds > 0 ? busyShare * square / (2 * stepSeconds) : 0
    }

    /// The steps that compute a request's own prompt, with what else arrived to be computed.
    var ownPrefillSeconds: Double {
        let together = 1 + inputs.rate * stepSeconds
        let tokens = max(1, inputs.promptTokens - inputs.cachedTokens)
        let budget = max(1, Double(inputs.facts.maxNumBatchedTokens) - running)
        let steps = max(1, together * tokens / budget)
        return steps * seconds(running, prefills: together / steps)
    }

    /// Mean wait for a free slot, seconds (Erlang's formula for M/M/c): 0 where slots are plenty.
    var slotWaitSeconds: Double {
        guard isStable, inputs.slots >= 1, running > 0, running < inputs.slots else { return 0 }
        // 1 / B(c) = 1 + (c / a) / B(c - 1), from B(0) = 1.
        var inverse = 1.0
        for servers in 1...Int(min(inputs.slots, 1e5)) {
            inverse = 1 + Double(servers) / running * inverse
            if inverse > 1e15 { return 0 }
        }
        let load = running / inputs.slots
        let waits = 1 / (load + (1 - load) * inverse)
        return waits * inputs.decodeSteps * stepSeconds / (inputs.slots - running)
    }

    /// Requests a second that the engine can serve at most.
    var capacity: Double {
        var (low, high) = isStable ? (inputs.rate, max(2 * inputs.rate, 1e-3)) : (0, inputs.rate)
        while isStable, high < 1e6, SteadyState(inputs.at(high)).isStable { (low, high) = (high, 2 * high) }
        for _ in 0..<40 {
            let rate = (low + high) / 2
            if SteadyState(inputs.at(rate)).isStable { low = rate } else { high = rate }
        }
        return low
    }
}
