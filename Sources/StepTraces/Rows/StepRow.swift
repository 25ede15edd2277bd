import ServingCore

/// One engine step as a trace recorded it: what to learn from.
public struct StepRow: Equatable, Sendable {
    /// Feature inputs.
    public var state = StepState()
    /// The target: seconds for which the step executed. Not a number when the row has none.
    public var seconds = Double.nan
    /// Start of the execution in the trace's own clock; -1 when the trace has no clock.
    public var start: Ticks = -1
    /// The scheduler's step counter.
    public var stepID: Int64 = 0
    /// Index in `StepTraceReader.groups`: which deployment.
    public var group = 0
    /// Counts runs (one uninterrupted clock and step counter) over all files read.
    public var run = 0
    /// Where the context lengths come from.
    public var contextSource = ContextSource.unknown
    /// Where the target comes from.
    public var targetSource = TargetSource.none
    /// Why the row must not be trained on; nil for a usable one.
    public var exclusion: StepExclusion?

    /// A row that says nothing.
    public init() {}

    /// Whether the row may be trained on.
    public var isUsable: Bool { exclusion == nil }
}

/// Where a row's context lengths come from, best first.
public enum ContextSource: UInt8, Sendable, CaseIterable {
    /// The trace states them for the step.
    case recorded
    /// Summed over `step.REQUEST_SNAPSHOT` events of every running request.
    case snapshots
    /// Rebuilt from the journeys of all requests.
    case journeys
    /// Estimated from the KV blocks in use.
    case kvUsage
    /// Not known: context sums are 0.
    case unknown

    /// Name in files and reports.
    public var name: String {
        switch self {
        case .recorded: "recorded"
        case .snapshots: "snapshots"
        case .journeys: "journeys"
        case .kvUsage: "kv-usage"
        case .unknown: "unknown"
        }
    }
}

/// Where a row's target comes from.
public enum TargetSource: UInt8, Sendable, CaseIterable {
    /// The trace states the execution time of the step.
    case recorded
    /// From the start of this `schedule()` to the next one: synchronous scheduling.
    case synchronousCycle
    /// From the next `schedule()` to the one after it: asynchronous scheduling, queue depth 2.
    case asynchronousCycle
    /// The elapsed time of vLLM's iteration log, checked to contain the execution.
    case iterationLog
    /// There is no target.
    case none

    /// Name in files and reports.
    public var name: String {
        switch self {
        case .recorded: "recorded"
        case .synchronousCycle: "synchronous-cycle"
        case .asynchronousCycle: "asynchronous-cycle"
        case .iterationLog: "iteration-log"
        case .none: "none"
        }
    }
}

/// Why a row cannot be trained on.
public enum StepExclusion: UInt8, Sendable, CaseIterable {
    /// No tokens were computed: the step only flushed finished requests.
    case emptyStep
    /// A step that the target needs was not recorded (sampling) or is the end of the run.
    case neighbourMissing
    /// The engine ran out of work, so the interval holds idle time.
    case idle
    /// The clock went backwards or jumped.
    case clockChange
    /// The step was recorded more than once with different values.
    case conflictingDuplicate
    /// An attribute that the target or the features need is missing.
    case incomplete
    /// The trace itself marks the row as wrong, or its target is not a positive time.
    case suspect
    /// The recorded times leave the execution out.
    case targetLeavesExecutionOut
    /// Written while the engine warmed up.
    case warmUp
    /// The row's time belongs to another step, and its prefill tokens make that matter.
    case misaligned
    /// The row's time is NaN or infinite.
    case notFinite

    /// What a report says.
    public var name: String {
        switch self {
        case .emptyStep: "empty step (no tokens)"
        case .neighbourMissing: "the step after it was not recorded"
        case .idle: "engine idle within the interval"
        case .clockChange: "clock change"
        case .conflictingDuplicate: "recorded twice with different values"
        case .incomplete: "a needed attribute is missing"
        case .suspect: "marked suspect or without a positive time"
        case .targetLeavesExecutionOut: "recorded time leaves execution out"
        case .warmUp: "engine warm-up"
        case .misaligned: "time belongs to the step before"
        case .notFinite: "time is not finite"
        }
    }
}
