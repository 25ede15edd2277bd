import DequeModule
import Engine
import LatencyOracle
import ServingCore

/// One engine on the clock: turns its loop when something is due and asks the oracle how long each step takes.
///
/// With synchronous scheduling a step is scheduled, runs, and is processed before the next. With asynchronous
/// scheduling step s+1 is scheduled at the moment step s is launched, so that an arrival waits for the rest of
/// the step that runs and for all of the next before its own (`v1/engine/core.py: step_with_batch_queue`).
struct EngineDriver {
    enum Phase {
        /// Nothing to do until a request arrives.
        case asleep
        case schedule
        /// Nothing to compute, but copies under way: look again when they may be complete.
        case poll
        /// The output of the oldest step in flight is due.
        case update
    }

    /// A request on its way from the API server to the scheduler.
    struct Arrival {
        var time: Ticks
        var sent: Ticks
        var index: Int
        var request: IncomingRequest
    }

    /// What is known of a live request, by its slot in the scheduler.
    private struct Live {
        var record = RequestRecord()
        var session: Int32 = -1
        /// `.none` once it has ended.
        var handle = RequestHandle.none
        /// Tokens that were found in GPU memory before others were loaded; -1 if none were.
        var localTokens: Int32 = -1
    }

    /// When its next event is due; `.max` when none is.
    var nextEvent: Ticks = .max
    /// When its last one was.
    var lastEvent: Ticks = 0
    var core: EngineCore
    /// Requests sent to it and not ended.
    private(set) var inSystem = 0
    let number: Int
    let oracle: CompiledOracle
    private let latency: LatencyMode
    private let fixedScore: Double
    private var noise: RandomStream
    var phase = Phase.asleep
    var inbox = Deque<Arrival>()
    private var live: [Live] = []
    /// Steps in flight, in turns; a second one only under async scheduling. `oldest` is the one that ends first.
    var flights: InlineArray<2, StepRecord> = [StepRecord(), StepRecord()]
    var oldest = 0
    var flightCount = 0
    var acceleratorFree: Ticks = 0
    private var outputs: [Scheduler.Output] = []
    private var admissions: [ScheduledRequest] = []
    var stepCount = 0
    /// Copies to and from host memory; nil without offload.
    private(set) var transfers: KVTransfers?
    private let hasTransfers: Bool
    /// Whether a group decides how long its steps take.
    private let isLockstep: Bool

    init(_ configuration: SimulationConfiguration, number: Int) {
        core = EngineCore(configuration: configuration.scheduler)
        self.number = number
        oracle = configuration.oracle
        latency = configuration.latency
        hasTransfers = configuration.scheduler.offload != nil
        isLockstep = configuration.isLockstep
        if hasTransfers {
            var link = HostLinkConfiguration(bandwidth: .infinity, bytesPerBlock: 0)
            link.latency = 0
            transfers = KVTransfers(configuration.hostLink ?? link)
        }
        noise = RandomStream(seed: configuration.seed, purpose: "step noise", index: UInt64(number))
        switch configuration.latency {
        case .quantile(let probability):
            fixedScore = configuration.oracle.noiseScore(probability: probability)
        case .mean, .median, .sample: fixedScore = 0
        }
    }

    /// vLLM's measure of how busy a data-parallel engine is (`v1/engine/core_client.py: DPLBAsyncMPClient`).
    var loadScore: Int {
        let waiting = core.scheduler.waitingCount + inbox.count
        return 4 * waiting + core.scheduler.runningCount
    }

    // MARK: Requests

    /// Takes a request that reaches the scheduler at `time`.
    mutating func accept(_ request: consuming IncomingRequest, index: Int, sent: Ticks, arrives time: Ticks) {
        inSystem += 1
        let time = max(time, inbox.last?.time ?? time)
        inbox.append(Arrival(time: time, sent: sent, index: index, request: request))
        if phase == .asleep {
            phase = .schedule
            nextEvent = max(inbox[0].time, acceleratorFree)
        } else if phase == .poll {
            nextEvent = min(nextEvent, inbox[0].time)
        }
    }

    mutating func takeIn(until time: Ticks, _ context: inout RunContext) {
        while !inbox.isEmpty, inbox[0].time <= time {
            let arrival = inbox.removeFirst()
            // The order of sending stands for the time: real clocks never tie, and among equal times the priority
            // policy would preempt the oldest request, over and over.
            let handle = core.scheduler.add(
                arrival.request, id: arrival.index, arrivalTime: Double(arrival.index))
            var item = Live()
            item.record.index = arrival.index
            item.record.sent = arrival.sent
            item.record.queued = time
            item.record.promptTokens = arrival.request.promptTokens
            item.record.engine = number
            item.session = arrival.request.session
            item.handle = handle
            if Int(handle.slot) < live.count { live[Int(handle.slot)] = item } else { live.append(item) }
            context.track(handle, engine: number, sent: arrival.sent)
        }
    }

    /// The client of a request gives up. Does nothing if the request has ended.
    mutating func giveUp(_ handle: RequestHandle, at time: Ticks, _ context: inout RunContext) {
        var item = live[Int(handle.slot)]
        guard item.handle == handle else { return }
        item.record.status = .timedOut
        item.record.finished = time
        item.record.outputTokens = core.scheduler.outputTokens(of: handle)
        item.record.preemptions = core.scheduler.preemptions(of: handle)
        core.scheduler.abort(handle)
        live[Int(handle.slot)].handle = .none
        inSystem -= 1
        context.ended(item.record, session: item.session)
        if phase == .asleep && core.scheduler.hasRequests {
            phase = .schedule
            nextEvent = max(time, acceleratorFree)
        }
    }

    /// Reports every request that has not ended.
    mutating func endAll(_ context: inout RunContext) {
        for item in live where item.handle != .none {
            var record = item.record
            record.outputTokens = core.scheduler.outputTokens(of: item.handle)
            record.preemptions = core.scheduler.preemptions(of: item.handle)
            context.unfinished.append(record)
        }
        for arrival in inbox {
            var record = RequestRecord()
            record.index = arrival.index
            record.sent = arrival.sent
            record.promptTokens = arrival.request.promptTokens
            record.engine = number
            context.unfinished.append(record)
        }
    }

    // MARK: Loop

    /// Does what is due at `nextEvent`, and what is due next as long as that is before `limit` and nothing has
    /// happened that may move the limit.
    /// - Returns: how many events that were, `most` at most.
    mutating func runEvents(before limit: Ticks, atMost most: Int, _ context: inout RunContext) -> Int {
        let changes = context.changesOfLimit
        var count = 0
        repeat {
            if phase == .schedule {
                let outlook = core.outlook()
                let events =
                    switch outlook {
                    case .unsteady: 0
                    case .steadyBehindOther: runSteadyStep(before: limit, atMost: most - count, &context)
                    case .steady: runSteadySteps(before: limit, atMost: most - count, &context)
                    }
                count += events
                if events > 0 { continue }
            }
            lastEvent = nextEvent
            runEvent(at: nextEvent, &context)
            count += 1
        } while nextEvent < limit && count < most && context.changesOfLimit == changes
        return count
    }

    @inline(__always)
    private mutating func runEvent(at time: Ticks, _ context: inout RunContext) {
        switch phase {
        case .asleep: break
        case .update: update(at: time, &context)
        case .schedule, .poll:
            phase = .schedule
            takeIn(until: time, &context)
            schedule(at: time, &context)
        }
    }

    mutating func schedule(at time: Ticks, _ context: inout RunContext) {
        switch core.advance() {
        case .idle: sleep()
        case .scheduled: launch(at: time, &context)
        case .mustUpdate(let scheduled):
            if scheduled { launch(at: time, &context) }
            phase = .update
            nextEvent = max(flights[oldest].end, time)
        }
    }

    private mutating func sleep() {
        if let first = inbox.first {
            phase = .schedule
            nextEvent = max(first.time, nextEvent)
        } else {
            phase = .asleep
            nextEvent = .max
        }
    }

    /// Sends the step just scheduled to the accelerators, behind the one that runs.
    private mutating func launch(at time: Ticks, _ context: inout RunContext) {
        let i = (oldest + flightCount) & 1
        flightCount += 1
        var start = max(time, acceleratorFree)
        let beganTransfers = hasTransfers && beginTransfers(&start)
        guard core.newestTokens > 0 else {
            flights[i].launch(scheduled: time, start: start, end: start, beganTransfers: beganTransfers)
            return
        }
        // In a group the end is known once all have composed the step.
        let seconds = isLockstep ? 0 : stepSeconds(core.newestState)
        let end = isLockstep ? .max : start + max(Ticks(seconds: seconds), 1)
        flights[i].launch(
            core.newestState, engine: number, index: stepCount, scheduled: time, start: start, end: end,
            seconds: seconds, beganTransfers: beganTransfers)
        stepCount += 1
        if !isLockstep { acceleratorFree = end }
        if hasTransfers { transfers!.readWeights(at: start) }
        if core.hasNewestAdmissions { noteAdmissions(start: start, &context) }
    }

    /// Begins the copies of the step just scheduled, and moves its start behind those that it has to wait for.
    /// - Returns: whether it asks for copies.
    @inline(never)
    private mutating func beginTransfers(_ start: inout Ticks) -> Bool {
        let plan = core.newestBatch.transfers
        start = transfers!.begin(plan, start: start)
        for hit in plan.externalHits { live[Int(hit.handle.slot)].localTokens = Int32(hit.localTokens) }
        return plan.hasJobs
    }

    @inline(__always)
    mutating func stepSeconds(_ state: borrowing StepState) -> Double {
        switch latency {
        case .mean: oracle.stepSeconds(state)
        case .median, .quantile: oracle.stepSeconds(state, noiseScore: fixedScore)
        case .sample: oracle.stepSeconds(state, uniform: noise.uniform())
        }
    }

    private mutating func noteAdmissions(start: Ticks, _ context: inout RunContext) {
        core.newestAdmissions(into: &admissions)
        for share in admissions where share.kind == .new {
            let slot = Int(share.handle.slot)
            live[slot].record.scheduled = start
            live[slot].record.cachedTokens = Int(share.computedTokens)
            context.prefixCacheQueries += live[slot].record.promptTokens
            let local = live[slot].localTokens
            if local < 0 {
                context.prefixCacheHits += Int(share.computedTokens)
            } else {
                context.prefixCacheHits += Int(local)
                context.externalCacheHits += Int(share.computedTokens - local)
            }
        }
    }

    mutating func update(at time: Ticks, _ context: inout RunContext) {
        let flight = oldest
        oldest = (oldest + 1) & 1
        flightCount -= 1
        let isEmpty = flights[flight].end == flights[flight].start
        if !isEmpty { context.finishedStep(&flights[flight]) }
        let together = core.update(stamp: time, outputs: &outputs)
        var hasNews = false
        if hasTransfers {
            // A step's workers report what is complete at its end.
            let done = transfers!.complete(by: isEmpty ? time : flights[flight].end)
            core.completeTransfers(done)
            hasNews = !done.isEmpty || flights[flight].beganTransfers
        }
        let tokens = together.tokens + outputs.count
        if tokens > 0 { context.collector.delivered(tokens, at: time) }
        // All tokens that follow one of the update before have the same gap, however they were scheduled.
        var following = together.tokens
        for k in outputs.indices {
            let output = outputs[k]
            if output.previousStamp == together.previousStamp && !output.isFirstToken {
                following += 1
            } else if !output.isFirstToken {
                context.collector.addInterTokenGaps(time - output.previousStamp, count: 1, at: time)
            }
        }
        context.collector.addInterTokenGaps(time - together.previousStamp, count: following, at: time)
        for output in outputs where output.isFirstToken || output.isFinished {
            deliver(output, at: time, &context)
        }
        phase = .schedule
        nextEvent = time
        guard isEmpty else { return }
        let isOtherEmpty = flightCount == 0 || flights[oldest].end == flights[oldest].start
        if let transfers, core.scheduler.hasTransfers,
            flightCount == 0 || flights[oldest].end <= time
        {
            phase = .poll
            let poll = hasNews ? time + KVTransfers.pollInterval : transfers.nextPoll(after: time)
            nextEvent = min(poll, max(time, inbox.first?.time ?? .max))
            return
        }
        // A queue whose head can never be admitted moves only when a request arrives or gives up.
        if isOtherEmpty && core.scheduler.runningCount == 0 && core.scheduler.waitingCount > 0 {
            sleep()
        }
    }

    private mutating func deliver(_ output: Scheduler.Output, at time: Ticks, _ context: inout RunContext) {
        let slot = Int(output.slot)
        if output.isFirstToken {
            // A step's outputs come in the order of the running list, whose end this request has just joined.
            let ahead = max(0, core.runningAfterUpdate - 1)
            live[slot].record.firstToken = time + context.postTime(outputTokens: 1, requestsAhead: ahead)
        }
        guard output.isFinished else { return }
        var record = live[slot].record
        record.status = .completed
        record.outputTokens = Int(output.outputTokens)
        record.preemptions = Int(output.preemptions)
        record.finished = max(
            time + context.postTime(outputTokens: Int(output.outputTokens)), record.firstToken)
        inSystem -= 1
        live[slot].handle = .none
        context.ended(record, session: live[slot].session)
    }
}
