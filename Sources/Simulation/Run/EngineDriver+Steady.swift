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
        let arrival = inbox.first?.time ?? .max
        var state = StepState()
        // The step in flight, which under synchronous scheduling is that of the same turn.
        var flight = flights[oldest]
        var count = 0
        // With a step in flight the next update comes at its end, whatever the step scheduled now takes.
        while count + 2 <= most, nextEvent < min(limit, arrival),
            !isAsync || max(flight.end, nextEvent) < limit, core.scheduleSteadyStep(&state)
        {
            lastEvent = nextEvent
            count += 1
            var finished: StepRecord
            if isAsync {
                finished = flight
                launch(state, at: nextEvent, into: &flight)
            } else {
                launch(state, at: nextEvent, into: &flight)
                guard flight.end < limit else {
                    phase = .update
                    nextEvent = flight.end
                    flightCount = 1
                    break
                }
                finished = flight
            }
            let time = max(finished.end, nextEvent)
            context.finishedStep(&finished)
            let together = core.updateSteadyStep(finished.state, stamp: time)
            if together.tokens > 0 { context.collector.delivered(together.tokens, at: time) }
            context.collector.addInterTokenGaps(
                time - together.previousStamp, count: together.tokens, at: time)
            nextEvent = time
            lastEvent = time
            count += 1
        }
        if count > 0 {
            flights[oldest] = flight
            core.endSteadySteps(state)
        }
        return count
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
        var flight = StepRecord()
        launch(state, at: nextEvent, into: &flight)
        flights[1 - oldest] = flight
        flightCount = 2
        lastEvent = time
        update(at: time, &context)
        return 2
    }

    @inline(__always)
    private mutating func launch(_ state: borrowing StepState, at time: Ticks, into flight: inout StepRecord)
    {
        let start = max(time, acceleratorFree)
        let seconds = stepSeconds(state)
        let end = start + max(Ticks(seconds: seconds), 1)
        flight.launch(
            state, engine: number, index: stepCount, scheduled: time, start: start, end: end,
            seconds: seconds,
            beganTransfers: false)
        stepCount += 1
        acceleratorFree = end
    }
}
