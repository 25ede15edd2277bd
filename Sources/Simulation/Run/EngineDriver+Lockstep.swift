import ServingCore

/// The turns of an engine that steps together with others; see `LockstepGroup`.
///
/// The oldest step in flight is the group's next or the one that runs; its end is `.max` until the group knows it. One that
/// was composed of no tokens ends when it starts, and takes part as a dummy.
extension EngineDriver {
    /// Processes the output of the step that ends now.
    mutating func endStepOfGroup(at time: Ticks, _ context: inout RunContext) {
        lastEvent = time
        if flightCount > 0 { update(at: time, &context) }
    }

    /// Composes the next step if that has not been done ahead.
    mutating func composeStepOfGroup(at time: Ticks, _ context: inout RunContext) {
        if flightCount == 0 { compose(at: time, &context) }
    }

    /// Composes the step after the one that begins, as asynchronous scheduling does.
    mutating func composeAheadOfGroup(at time: Ticks, _ context: inout RunContext) {
        if flightCount == 1 { compose(at: time, &context) }
    }

    private mutating func compose(at time: Ticks, _ context: inout RunContext) {
        guard phase == .schedule, nextEvent <= time else { return }
        takeIn(until: time, &context)
        schedule(at: time, &context)
    }

    private var hasTokensInNextStep: Bool { flightCount > 0 && flights[oldest].end == .max }

    /// Tokens of the group's next step on this engine.
    var tokensOfNextStep: Int { hasTokensInNextStep ? flights[oldest].state.batchTokens : 0 }

    /// Seconds that this engine needs for the group's next step, 0 without tokens.
    /// - Parameter tokens: of all engines of the group.
    mutating func secondsOfNextStep(ofTokens tokens: Int) -> Double {
        guard hasTokensInNextStep else { return 0 }
        flights[oldest].state.peerTokens = tokens - flights[oldest].state.batchTokens
        return stepSeconds(flights[oldest].state)
    }

    /// Seconds of a step that computes a token for nobody.
    var secondsOfDummyStep: Double {
        mutating get {
            var state = StepState()
            state.decodeRequests = 1
            state.decodeContextTokens = 1
            return stepSeconds(state)
        }
    }

    /// Begins the group's next step.
    mutating func beginStepOfGroup(at start: Ticks, end: Ticks, seconds: Double) {
        acceleratorFree = end
        if phase == .update { nextEvent = end }
        guard flightCount > 0 else { return }
        flights[oldest].start = hasTokensInNextStep ? start : end
        flights[oldest].end = end
        flights[oldest].seconds = seconds
    }
}
