import ServingCore

/// The loop around the scheduler: `EngineCore.step` and `step_with_batch_queue` (`v1/engine/core.py`).
///
/// Under async scheduling a step is scheduled before the output of the one before is known; at most two are in
/// flight. The caller owns the clock: it calls `advance` whenever the loop would turn, and learns from the
/// result when it must wait for the oldest step in flight before it may process that step's output.
public struct EngineCore: Sendable {
    /// The scheduler and its cache.
    public var scheduler: Scheduler
    /// Steps in flight, at most two, in turns. Side by side rather than in an array, which would be copied from.
    private var even = Batch()
    private var odd = Batch()
    /// Whether the step in flight that ends first is `odd`.
    private var isOldestOdd = false
    /// How many steps are in flight.
    public private(set) var inFlight = 0
    private let depth: Int

    /// What one turn of the loop did first.
    public enum Turn: Sendable {
        /// Nothing to schedule and nothing in flight.
        case idle
        /// A step was scheduled and another may be scheduled behind it at once.
        case scheduled
        /// The output of the oldest step in flight has to be processed next. `scheduled` tells whether a step
        /// was scheduled before.
        case mustUpdate(scheduled: Bool)
    }

    /// An idle engine.
    public init(configuration: SchedulerConfiguration) {
        scheduler = Scheduler(configuration: configuration)
        depth = configuration.asyncScheduling ? 2 : 1
    }

    /// The step that was scheduled last. Valid until the second next call of `advance`.
    public var newestBatch: Batch {
        _read {
            if isNewestOdd { yield odd } else { yield even }
        }
    }
    private var isNewestOdd: Bool { isOldestOdd != (inFlight & 1 == 0) }

    // Stored, because asking a method of so large a struct costs a copy of it.
    /// Tokens of the step that was scheduled last.
    public private(set) var newestTokens = 0
    /// Step-time inputs of the step that was scheduled last.
    public private(set) var newestState = StepState()
    /// Whether the step that was scheduled last admitted requests.
    public private(set) var hasNewestAdmissions = false
    /// Requests in the running list after the last `update`.
    public private(set) var runningAfterUpdate = 0

    /// Fills `list` with the requests that the step scheduled last admitted.
    public mutating func newestAdmissions(into list: inout [ScheduledRequest]) {
        list.clear()
        for request in isNewestOdd ? odd.requests : even.requests where request.kind != .running {
            list.append(request)
        }
    }

    /// Schedules a step if there is anything to do.
    public mutating func advance() -> Turn {
        guard scheduler.hasRequests else { return inFlight == 0 ? .idle : .mustUpdate(scheduled: false) }
        inFlight += 1
        if isNewestOdd {
            scheduler.schedule(into: &odd)
            (newestTokens, newestState, hasNewestAdmissions) = (odd.totalTokens, odd.state, odd.hasAdmissions)
        } else {
            scheduler.schedule(into: &even)
            (newestTokens, newestState, hasNewestAdmissions) =
                (even.totalTokens, even.state, even.hasAdmissions)
        }
        if inFlight < depth && (newestTokens > 0 || scheduler.hasRequests) {
            return .scheduled
        }
        return .mustUpdate(scheduled: true)
    }

    // MARK: Steady steps

    /// How the coming steps may be scheduled.
    public enum Outlook: Sendable {
        /// One by one.
        case unsteady
        /// As steady steps; what is in flight is to be processed as usual.
        case steadyBehindOther
        /// As steady steps; what is in flight, if anything, is nothing but the decode cohort's share of a step.
        case steady
    }

    /// Whether `scheduleSteadyStep` may take the place of `advance`, in turns with `updateSteadyStep` in that of
    /// `update`, until `endSteadySteps`.
    public mutating func outlook() -> Outlook {
        guard inFlight == depth - 1, scheduler.mayBeSteady() else { return .unsteady }
        guard inFlight == 1 else { return .steady }
        return (isOldestOdd ? isSteady(odd) : isSteady(even)) ? .steady : .steadyBehindOther
    }

    @inline(__always)
    private mutating func isSteady(_ batch: borrowing Batch) -> Bool {
        batch.cohortStep == scheduler.cohort.scheduled - 1 && batch.cohortStep != scheduler.dissolvedStep
            && batch.requests.isEmpty && scheduler.strays.isEmpty
    }

    /// Schedules a step that gives every request of the decode cohort its token and nothing to others.
    /// - Parameter state: all zero, or that of the steady step before.
    /// - Returns: false, with nothing changed, if something else is due.
    public mutating func scheduleSteadyStep(_ state: inout StepState) -> Bool {
        guard scheduler.scheduleSteadyStep(&state) else { return false }
        inFlight += 1
        return true
    }

    /// Processes the output of the oldest step in flight, a steady one.
    /// - Parameter count: its decoding requests.
    public mutating func updateSteadyStep(count: Int, stamp: Int64) -> Scheduler.CohortOutput {
        let step = scheduler.cohort.scheduled - Int64(inFlight)
        inFlight -= 1
        return scheduler.updateSteadyStep(step, count: count, stamp: stamp)
    }

    /// Ends a stretch of at least one steady step; of those at most one may be in flight.
    /// - Parameter state: that of the last.
    public mutating func endSteadySteps(_ state: borrowing StepState) {
        scheduler.hasUnflushedFinishes = false
        guard inFlight > 0 else { return }
        if isNewestOdd {
            odd.becomeSteady(scheduler.cohort.scheduled - 1, state)
        } else {
            even.becomeSteady(scheduler.cohort.scheduled - 1, state)
        }
    }

    /// Processes the output of the oldest step in flight; see `Scheduler.update`.
    public mutating func update(stamp: Int64, outputs: inout [Scheduler.Output]) -> Scheduler.CohortOutput {
        let isOdd = isOldestOdd
        isOldestOdd.toggle()
        inFlight -= 1
        let together =
            isOdd
            ? scheduler.update(from: &odd, stamp: stamp, outputs: &outputs)
            : scheduler.update(from: &even, stamp: stamp, outputs: &outputs)
        runningAfterUpdate = scheduler.running.count
        return together
    }

    /// Transfers to or from CPU memory are complete; call it right after the `update` of the step that reports them.
    /// - Parameter jobs: numbers of `TransferJob`s, ascending.
    public mutating func completeTransfers(_ jobs: [Int]) { scheduler.completeTransfers(jobs) }
}
