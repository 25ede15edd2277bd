/// A `step.BATCH_SUMMARY` event in compact form.
struct StepEvent: Equatable {
    var id: Int64
    /// Start of `schedule()`, monotonic ns.
    var start: Int64
    /// Moment of emission, monotonic ns.
    var end: Int64
    /// `step.duration_us`; never a target.
    var durationMicroseconds: Int64
    var unixNanoseconds: Int64
    var kvUsage: Double
    var decodeContextSum: Int64
    var prefillNewTimesContext: Int64
    var prefillNewSquared: Int64
    var running: Int32
    var waiting: Int32
    var prefillRequests: Int32
    var decodeRequests: Int32
    var scheduledTokens: Int32
    var prefillTokens: Int32
    var decodeTokens: Int32
    var finished: Int32
    var preempted: Int32
    /// -1 when the event has no KV attributes.
    var kvBlocksTotal: Int32
    var kvBlocksFree: Int32
    var chunkRequests: Int32
    var singleDecodeRequests: Int32
    var recomputeTokens: Int32
    /// Which engine: spans of one resource.
    var resource: Int32
    var file: Int16
    /// The event states its context sums.
    var hasContext: Bool
    /// An attribute that the features or the target need is missing.
    var isIncomplete: Bool
    /// Recorded more than once with different values.
    var inConflict = false

    var hasKV: Bool { kvBlocksTotal >= 0 }
}

/// Reading one event: what became of it.
enum EventOutcome {
    case kept, malformed, incomplete
}

extension StepEvent {
    private static let timeNeeded = EventField.stepID.bit | EventField.startNanoseconds.bit
    private static let needed: UInt64 = {
        let fields: [EventField] = [
            .stepID, .startNanoseconds, .durationMicroseconds, .runningDepth, .waitingDepth, .prefillRequests,
            .decodeRequests, .scheduledTokens, .prefillTokens, .decodeTokens,
        ]
        return fields.reduce(0) { $0 | $1.bit }
    }()
    private static let context: UInt64 = {
        let fields: [EventField] = [
            .chunkRequests, .singleDecodeRequests, .decodeContextSum, .prefillNewTimesContext,
            .prefillNewSquared,
        ]
        return fields.reduce(0) { $0 | $1.bit }
    }()
    private static let kv = EventField.kvBlocksTotal.bit | EventField.kvBlocksFree.bit
    private static let counts: [EventField] = [
        .runningDepth, .waitingDepth, .prefillRequests, .decodeRequests, .scheduledTokens, .prefillTokens,
        .decodeTokens, .finished, .preempted, .kvBlocksTotal, .kvBlocksFree, .chunkRequests,
        .singleDecodeRequests, .recomputeTokens,
    ]
    private static let sums: [EventField] = [.decodeContextSum, .prefillNewTimesContext, .prefillNewSquared]
    /// Longest time that is taken for one: 292 years less room for sums.
    private static let timeLimit: Int64 = 4_000_000_000_000_000_000

    /// Takes an event's values over.
    /// - Returns: nil when a value is malformed or out of range, or step number or time are missing.
    init?(_ values: EventValues, resource: Int32, file: Int16, outcome: inout EventOutcome) {
        outcome = .malformed
        let present = values.present
        if values.malformed { return nil }
        for field in Self.counts where present & field.bit != 0 {
            let value = values.whole(field)
            if value < 0 || value > Int64(Int32.max) { return nil }
        }
        for field in Self.sums where present & field.bit != 0 {
            let value = values.whole(field)
            if value < 0 || value > 1 << 60 { return nil }
        }
        let hasDuration = present & EventField.durationMicroseconds.bit != 0
        let duration = hasDuration ? values.whole(.durationMicroseconds) : 0
        if hasDuration, duration <= 0 || duration > Self.timeLimit / 1000 { return nil }
        if present & EventField.kvUsage.bit != 0 {
            let usage = values.real(.kvUsage)
            if !(usage >= 0 && usage <= 1.000001) { return nil }
        }
        if values.unixNanoseconds < 0 || values.unixNanoseconds > Self.timeLimit { return nil }
        guard present & Self.timeNeeded == Self.timeNeeded else {
            outcome = .incomplete
            return nil
        }
        let start = values.whole(.startNanoseconds)
        let id = values.whole(.stepID)
        guard id >= 0, id < 1 << 53, start > 0, start < Self.timeLimit else { return nil }
        var end = start
        if present & EventField.endNanoseconds.bit != 0 {
            end = values.whole(.endNanoseconds)
            if end < start || end > Self.timeLimit { return nil }
        }
        let hasKV = present & Self.kv == Self.kv
        if hasKV, values.count(.kvBlocksFree) > values.count(.kvBlocksTotal) { return nil }
        self.id = id
        self.start = start
        self.end = end
        durationMicroseconds = duration
        unixNanoseconds = values.unixNanoseconds
        kvUsage = present & EventField.kvUsage.bit != 0 ? values.real(.kvUsage) : 0
        decodeContextSum = values.has(.decodeContextSum) ? values.whole(.decodeContextSum) : 0
        prefillNewTimesContext =
            values.has(.prefillNewTimesContext) ? values.whole(.prefillNewTimesContext) : 0
        prefillNewSquared = values.has(.prefillNewSquared) ? values.whole(.prefillNewSquared) : 0
        running = values.count(.runningDepth)
        waiting = values.count(.waitingDepth)
        prefillRequests = values.count(.prefillRequests)
        decodeRequests = values.count(.decodeRequests)
        scheduledTokens = values.count(.scheduledTokens)
        prefillTokens = values.count(.prefillTokens)
        decodeTokens = values.count(.decodeTokens)
        finished = values.count(.finished)
        preempted = values.count(.preempted)
        kvBlocksTotal = hasKV ? values.count(.kvBlocksTotal) : -1
        kvBlocksFree = hasKV ? values.count(.kvBlocksFree) : 0
        chunkRequests = values.count(.chunkRequests)
        singleDecodeRequests = values.count(.singleDecodeRequests)
        recomputeTokens = values.count(.recomputeTokens)
        self.resource = resource
        self.file = file
        hasContext = present & Self.context == Self.context
        isIncomplete = present & Self.needed != Self.needed
        outcome = isIncomplete ? .incomplete : .kept
    }

    /// Whether two records of a step agree in all that the features and the target read.
    func agrees(with other: StepEvent) -> Bool {
        start == other.start && running == other.running && waiting == other.waiting
            && prefillRequests == other.prefillRequests && decodeRequests == other.decodeRequests
            && scheduledTokens == other.scheduledTokens && prefillTokens == other.prefillTokens
            && decodeTokens == other.decodeTokens && kvBlocksTotal == other.kvBlocksTotal
            && kvBlocksFree == other.kvBlocksFree
    }

    /// Whether two records of a step are the same in every field, files aside.
    func isSame(as other: StepEvent) -> Bool {
        var copy = other
        copy.file = file
        copy.inConflict = inConflict
        return self == copy
    }
}

/// One `step.REQUEST_SNAPSHOT`, what the context sums need of it.
struct SnapshotEvent {
    var step: Int64
    var prompt: Int64
    var computed: Int64
    var outputs: Int64
    var scheduled: Int32
    var resource: Int32

    /// - Returns: nil when a value is malformed or missing.
    init?(_ values: EventValues, resource: Int32, outcome: inout EventOutcome) {
        outcome = .malformed
        if values.malformed { return nil }
        let fields: [EventField] = [
            .promptTokens, .computedTokens, .outputTokens, .scheduledThisStep, .requestPreemptions,
            .blocksAllocated,
            .blocksCached, .effectivePromptLength, .stepID,
        ]
        for field in fields where values.has(field) {
            if values.whole(field) < 0 || values.whole(field) > 1 << 40 { return nil }
        }
        guard values.has(.stepID), values.has(.promptTokens), values.has(.computedTokens),
            values.has(.scheduledThisStep), values.whole(.scheduledThisStep) <= Int64(Int32.max)
        else {
            outcome = .incomplete
            return nil
        }
        step = values.whole(.stepID)
        prompt = values.whole(.promptTokens)
        computed = values.whole(.computedTokens)
        outputs = values.has(.outputTokens) ? values.whole(.outputTokens) : 0
        scheduled = Int32(values.whole(.scheduledThisStep))
        self.resource = resource
        outcome = .kept
    }
}

/// One event of a request's journey.
struct JourneyEvent {
    /// Joins core and API spans: hash of the trace and of the API span.
    var request: UInt64
    /// Monotonic ns; -1 when missing.
    var time: Int64
    var step: Int64
    var kind: EventKind
    var resource: Int32
    var prefillDone: Int32
    var prefillTotal: Int32
    var decodeDone: Int32
    var preemptions: Int32
    /// Depths when it was queued; -1 when the event does not say.
    var queueRunning: Int32
    var queueWaiting: Int32

    /// - Returns: nil when a value is malformed.
    init?(_ values: EventValues, resource: Int32, outcome: inout EventOutcome) {
        outcome = .malformed
        if values.malformed { return nil }
        let counts: [EventField] = [
            .schedulerStep, .prefillDone, .prefillTotal, .decodeDone, .decodeMaximum, .journeyPreemptions,
            .queueRunning, .queueWaiting,
        ]
        for field in counts where values.has(field) {
            let limit = field == .schedulerStep ? 1 << 53 : Int64(Int32.max)
            if values.whole(field) < 0 || values.whole(field) > limit { return nil }
        }
        let isAPI = values.kind.rawValue >= EventKind.arrived.rawValue
        guard
            let time = isAPI
                ? values.time(.apiMonotonicNanoseconds, .apiMonotonic)
                : values.time(.monotonicNanoseconds, .monotonic)
        else { return nil }
        request = 0
        self.time = time
        step = values.has(.schedulerStep) ? values.whole(.schedulerStep) : -1
        kind = values.kind
        self.resource = resource
        prefillDone = values.count(.prefillDone, missing: -1)
        prefillTotal = values.count(.prefillTotal, missing: -1)
        decodeDone = values.count(.decodeDone, missing: -1)
        preemptions = values.count(.journeyPreemptions)
        queueRunning = values.count(.queueRunning, missing: -1)
        queueWaiting = values.count(.queueWaiting, missing: -1)
        outcome = time < 0 ? .incomplete : .kept
    }
}
