/// What spans brought: events in compact form, in the order read, and counts of what was wrong.
struct OTLPEvents {
    var steps: [StepEvent] = []
    var snapshots: [SnapshotEvent] = []
    var journeys: [JourneyEvent] = []
    /// Identities of engines (resource attributes without those of the SDK), by first appearance.
    var resources: [String] = []
    var malformed = 0
    var incomplete = 0
    var malformedLines = 0
    var droppedByExporter = 0
    /// Spans of requests that only upstream vLLM's `llm_request` describes.
    var requests: [SpanRequest] = []

    /// Core spans that do not name their parent: to be joined to the API span whose request id theirs begins with.
    var orphans: [Orphan] = []
    /// API spans by the hash of their request id.
    var requestIDs: [RequestID] = []

    /// A core span without a parent.
    struct Orphan {
        /// What its events carry until it is joined.
        var key: UInt64
        /// Hashes of the engine's request id without its last part, without its last two, and whole.
        var candidates: InlineArray<3, UInt64>
    }

    /// An API span.
    struct RequestID {
        var hash: UInt64
        var key: UInt64
    }

    /// Joins orphans to the API spans that their request ids name.
    mutating func joinOrphans() {
        guard !orphans.isEmpty else { return }
        var keys: [UInt64: UInt64] = [:]
        for request in requestIDs { keys[request.hash] = request.key }
        var renamed: [UInt64: UInt64] = [:]
        for orphan in orphans {
            for index in 0..<3 {
                if let key = keys[orphan.candidates[index]] {
                    renamed[orphan.key] = key
                    break
                }
            }
        }
        for index in journeys.indices {
            if let key = renamed[journeys[index].request] { journeys[index].request = key }
        }
        orphans = []
    }

    /// Sizes to go back to when a line or frame turns out to be damaged.
    struct Checkpoint: Equatable {
        fileprivate var steps = 0
        fileprivate var snapshots = 0
        fileprivate var journeys = 0
        fileprivate var requests = 0
        fileprivate var orphans = 0
        fileprivate var requestIDs = 0
        fileprivate var malformed = 0
        fileprivate var incomplete = 0
        fileprivate var dropped = 0

        init() {}
    }

    var checkpoint: Checkpoint {
        var mark = Checkpoint()
        mark.steps = steps.count
        mark.snapshots = snapshots.count
        mark.journeys = journeys.count
        mark.requests = requests.count
        mark.orphans = orphans.count
        mark.requestIDs = requestIDs.count
        mark.malformed = malformed
        mark.incomplete = incomplete
        mark.dropped = droppedByExporter
        return mark
    }

    mutating func rollBack(to mark: Checkpoint) {
        steps.removeLast(steps.count - mark.steps)
        snapshots.removeLast(snapshots.count - mark.snapshots)
        journeys.removeLast(journeys.count - mark.journeys)
        requests.removeLast(requests.count - mark.requests)
        orphans.removeLast(orphans.count - mark.orphans)
        requestIDs.removeLast(requestIDs.count - mark.requestIDs)
        malformed = mark.malformed
        incomplete = mark.incomplete
        droppedByExporter = mark.dropped
    }

    /// The number of a resource.
    mutating func resource(_ identity: String) -> Int32 {
        if let known = resources.firstIndex(of: identity) { return Int32(known) }
        guard resources.count < 4096 else { return 4095 }
        resources.append(identity)
        return Int32(resources.count - 1)
    }

    /// Takes one event over.
    /// - Returns: whether it is a journey event that its span has yet to name.
    @inline(__always)
    mutating func add(_ values: EventValues, resource: Int32, file: Int16) {
        var outcome = EventOutcome.kept
        switch values.kind {
        case .batchSummary:
            if let event = StepEvent(values, resource: resource, file: file, outcome: &outcome) {
                steps.append(event)
            }
        case .requestSnapshot:
            if let event = SnapshotEvent(values, resource: resource, outcome: &outcome) {
                snapshots.append(event)
            }
        case .other:
            if values.malformed { outcome = .malformed }
        default:
            if let event = JourneyEvent(values, resource: resource, outcome: &outcome) {
                journeys.append(event)
            }
        }
        switch outcome {
        case .kept: break
        case .malformed: malformed += 1
        case .incomplete: incomplete += 1
        }
    }
}

/// What upstream vLLM's `llm_request` span says of a request (`gen_ai.latency.*`, seconds).
struct SpanRequest {
    var request: UInt64 = 0
    var startUnixNanoseconds: Int64 = 0
    var promptTokens: Int64 = -1
    var completionTokens: Int64 = -1
    var timeInQueue = Double.nan
    var timeToFirstToken = Double.nan
    var endToEnd = Double.nan
}
