import ServingCore

/// How a request came into a step.
public enum ScheduledKind: UInt8, Sendable {
    /// It was running already.
    case running
    /// Admitted for the first time.
    case new
    /// Admitted again after preemption.
    case resumed
}

/// One request's share of a step.
public struct ScheduledRequest: Sendable {
    /// Which request.
    public var handle: RequestHandle
    /// Tokens computed in the step.
    public var tokens: Int32
    /// `num_computed_tokens` before the step; at admission the prefix-cache hit.
    public var computedTokens: Int32
    /// Position in the order of admission.
    var sequence: Int64
    /// How it came in.
    public var kind: ScheduledKind
    /// Whether the step samples a token for it.
    public var producesToken: Bool
}

/// What one call of `schedule()` decided: vLLM's `SchedulerOutput`.
public struct Batch: Sendable {
    /// Requests scheduled one by one, in scheduling order: running ones first, then admitted ones.
    public var requests: [ScheduledRequest] = []
    /// Decoding requests that were scheduled together, one token each.
    public var cohortCount = 0
    /// Which step of the decode cohort this is, -1 if it took no part.
    var cohortStep: Int64 = -1
    /// Tokens computed in the step.
    public var totalTokens = 0
    /// Caller's numbers of the requests preempted, in order.
    public var preempted: [Int] = []
    /// The inputs of the step-time model.
    public var state = StepState()

    /// What goes to and from CPU memory; empty without offload.
    public var transfers = TransferPlan()

    /// An empty batch.
    public init() {}

    /// Whether requests were admitted in the step.
    var hasAdmissions = false

    /// Becomes a step in which the decode cohort took part and nobody else.
    mutating func becomeSteady(_ step: Int64, _ state: borrowing StepState) {
        clear()
        cohortStep = step
        cohortCount = state.decodeRequests
        totalTokens = state.decodeRequests
        self.state = copy state
    }

    mutating func clear() {
        requests.clear()
        preempted.clear()
        hasAdmissions = false
        cohortCount = 0
        cohortStep = -1
        totalTokens = 0
        state = StepState()
    }
}
