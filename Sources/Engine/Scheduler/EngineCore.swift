import ServingCore

/// The loop around the scheduler: `EngineCore.step` and `step_with_batch_queue` (`v1/engine/core.py`).
///
/// Under async scheduling a step is scheduled before the output of the one before is known; at most two are in
/// flight. The caller owns the clock: it calls `advance` whenever the loop would turn, and learns from the
/// result when it must wait for the oldest step in flight before it may process that step's output.
public struct EngineCore: Sendable {
    /// The scheduler and its cache.
    public var scheduler: Scheduler
    /// Steps in flight, at most two; `oldest` is the one that ends first.
    private var batches = [Batch(), Batch()]
    private var oldest = 0
    /// How many steps are in flight.
    public private(set) var inFlight = 0

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
    }

    /// The step that was scheduled last. Valid until the second next call of `advance`.
    public var newestBatch: Batch {
        _read { yield batches[(oldest + inFlight - 1) & 1] }
    }

    /// The step in flight that ends first.
    public var oldestBatch: Batch {
        _read { yield batches[oldest] }
    }

    /// Schedules a step if there is anything to do.
    public mutating func advance() -> Turn {
        guard scheduler.hasRequests else { return inFlight == 0 ? .idle : .mustUpdate(scheduled: false) }
        let newest = (oldest + inFlight) & 1
        scheduler.schedule(into: &batches[newest])
        inFlight += 1
        let depth = scheduler.configuration.asyncScheduling ? 2 : 1
        if inFlight < depth && (batches[newest].totalTokens > 0 || scheduler.hasRequests) {
            return .scheduled
        }
        return .mustUpdate(scheduled: true)
    }

    /// Processes the output of the oldest step in flight; see `Scheduler.update`.
    public mutating func update(stamp: Int64, outputs: inout [Scheduler.Output]) -> Scheduler.CohortOutput {
        defer {
            oldest = (oldest + 1) & 1
            inFlight -= 1
        }
        return scheduler.update(from: batches[oldest], stamp: stamp, outputs: &outputs)
    }

    /// Transfers to or from CPU memory are complete; call it right after the `update` of the step that reports them.
    /// - Parameter jobs: numbers of `TransferJob`s, ascending.
    public mutating func completeTransfers(_ jobs: [Int]) { scheduler.completeTransfers(jobs) }
}
