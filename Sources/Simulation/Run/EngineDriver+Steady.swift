import Engine
import ServingCore

/// Stretches in which every running request just gets its token: the same events as those of `schedule` and `update`,
/// in one loop.
extension EngineDriver {
    /// Runs steady steps until something else is due.
    /// - Returns: how many events that were, `most` at most.
    @inline(never)
    mutating func runSteadySteps(before limit: Ticks, atMost most: Int, _ context: inout RunContext) -> Int {
        let isAsync = flightCount == 1
        let limitOfScheduling = min(limit, inbox.first?.time ?? .max)
        var state = StepState()
        var count = 0
        // With a step in flight the next update comes at its end, whatever the step scheduled now takes.
        while count + 2 <= most, nextEvent < limitOfScheduling,
            !isAsync || max(flights[oldest].end, nextEvent) < limit, core.scheduleSteadyStep(&state)
        {
            let time = nextEvent
            launchSteadyStep(state, at: time)
            lastEvent = time
            count += 1
            nextEvent = max(flights[oldest].end, time)
            guard nextEvent < limit else {
                phase = .update
                break
            }
            finishSteadyStep(at: nextEvent, &context)
            lastEvent = nextEvent
            count += 1
        }
        if count > 0 { core.endSteadySteps(state) }
        return count
    }

    @inline(__always)
    private mutating func finishSteadyStep(at time: Ticks, _ context: inout RunContext) {
        let flight = oldest
        oldest = 1 - oldest
        flightCount -= 1
        context.finishedStep(&flights[flight])
        let together = core.updateSteadyStep(
            count: flights[flight].state.decodeRequests, stamp: time)
        if together.tokens > 0 { context.collector.delivered(together.tokens, at: time) }
        context.collector.addInterTokenGaps(time - together.previousStamp, count: together.tokens, at: time)
    }

    /// Schedules one steady step and processes what was in flight before it as usual.
    /// - Returns: how many events that were: 2, or 0 if something else is due.
    @inline(never)
    mutating func runSteadyStep(before limit: Ticks, atMost most: Int, _ context: inout RunContext) -> Int {
        var state = StepState()
        let time = max(flights[oldest].end, nextEvent)
        guard most >= 2, time < limit, nextEvent < inbox.first?.time ?? .max, core.scheduleSteadyStep(&state)
        else { return 0 }
        core.endSteadySteps(state)
        launchSteadyStep(state, at: nextEvent)
        lastEvent = time
        update(at: time, &context)
        return 2
    }

    @inline(__always)
    private mutating func launchSteadyStep(_ state: borrowing StepState, at time: Ticks) {
        let i = (oldest + flightCount) & 1
        flightCount += 1
        let start = max(time, acceleratorFree)
        let seconds = stepSeconds(state)
        let end = start + max(Ticks(seconds: seconds), 1)
        flights[i].launch(
            state, engine: number, index: stepCount, scheduled: time, start: start, end: end,
            seconds: seconds,
            beganTransfers: false)
        stepCount += 1
        acceleratorFree = end
    }
}
