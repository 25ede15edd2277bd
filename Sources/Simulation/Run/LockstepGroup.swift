import ServingCore

/// Data-parallel engines of a mixture of experts: every layer's exchange of tokens makes them step together.
///
/// Each has its own queue, scheduler and KV cache. A step begins on all of them when the one before has ended on all, and
/// takes what the slowest takes; one without work takes part with a dummy batch. Whether any has work left they ask one
/// another after every 32nd step only, so an idle group goes on that long, and a request that arrives meanwhile waits for the
/// rest of a dummy step (`v1/engine/core.py: DPEngineCoreProc.run_busy_loop`).
struct LockstepGroup {
    /// Steps from one question to the next.
    static let stepsPerPoll = 32

    /// The engines: consecutive ones of the run.
    let engines: Range<Int>
    /// When the step that runs ends, or a sleeping group wakes; `.max` when nothing is due.
    private(set) var nextEvent: Ticks = .max
    /// Whether a step runs.
    private var isAwake = false
    /// Steps since it woke, or since the last poll.
    private var steps = 0

    /// So many engines from the first on.
    init(first: Int, count: Int) { engines = first..<first + count }

    /// Looks at what a request that has come or gone changes.
    mutating func wake(_ drivers: [EngineDriver]) {
        guard !isAwake else { return }
        nextEvent = .max
        for i in engines { nextEvent = min(nextEvent, drivers[i].nextEvent) }
    }

    /// Ends the step that has run until `nextEvent`, and begins the next.
    mutating func runBoundary(_ drivers: inout [EngineDriver], _ context: inout RunContext) {
        let time = nextEvent
        isAwake = true
        var tokens = 0
        var isInFlight = false
        for i in engines {
            drivers[i].endStepOfGroup(at: time, &context)
            drivers[i].composeStepOfGroup(at: time, &context)
            tokens += drivers[i].tokensOfNextStep
            isInFlight = isInFlight || drivers[i].flightCount > 0
        }
        if tokens == 0, steps == 0, !isInFlight {
            isAwake = false
            return wake(drivers)
        }
        var seconds = tokens == 0 ? drivers[engines.lowerBound].secondsOfDummyStep : 0
        for i in engines { seconds = max(seconds, drivers[i].secondsOfNextStep(ofTokens: tokens)) }
        nextEvent = time + max(Ticks(seconds: seconds), 1)
        for i in engines {
            drivers[i].beginStepOfGroup(at: time, end: nextEvent, seconds: seconds)
            drivers[i].composeAheadOfGroup(at: time, &context)
        }
        steps = (steps + 1) % Self.stepsPerPoll
    }
}
