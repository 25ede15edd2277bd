import ServingCore

/// Names a request inside one engine. Numbers are reused once a request has ended; the generation tells
/// a later request with the same number apart.
public struct RequestHandle: Equatable, Sendable {
    /// Index of the request's state.
    public var slot: Int32
    /// Which request of those that had the slot.
    public var generation: UInt32

    /// No request.
    public static let none = RequestHandle(slot: -1, generation: 0)
}

/// vLLM's `RequestStatus`, as far as it is told apart here.
enum RequestPhase: UInt8 {
    case free
    case waiting
    case running
    case preempted
    /// vLLM's `WAITING_FOR_REMOTE_KVS`: its blocks are being loaded from CPU memory.
    case loading
    /// Ended, but the CPU tier still has to do with it.
    case ended
}

/// A request as the scheduler sees it. Source: `vllm/v1/request.py`.
struct RequestState {
    /// The caller's number for it.
    var id: Int = -1
    var generation: UInt32 = 0
    var phase = RequestPhase.free
    /// Whether it was still mid-prefill after it was last scheduled: vLLM's `is_prefill_chunk`.
    var isPrefillChunk = false
    var priority: Int32 = 0
    /// Tie-break between equal priorities.
    var arrivalTime: Double = 0
    /// Neighbours in the waiting or running list; `previous` is the heap position under the priority policy.
    var previous: Int32 = -1
    var next: Int32 = -1
    var promptTokens: Int32 = 0
    /// Prompt and output tokens known so far: vLLM's `num_tokens`.
    var numTokens: Int32 = 0
    /// `prompt + max_tokens`: what the scheduler may know of the end.
    var maxTotalTokens: Int32 = 0
    /// `prompt + output` at which it really stops, which the scheduler may not know.
    var stopTotalTokens: Int32 = 0
    /// vLLM's `num_computed_tokens`.
    var numComputedTokens: Int32 = 0
    /// Sampled but not yet delivered tokens under async scheduling: vLLM's `num_output_placeholders`.
    var placeholders: Int32 = 0
    /// Tokens scheduled in steps whose output has not been processed.
    var inFlightTokens: Int32 = 0
    /// Of these, tokens scheduled before the last preemption.
    var staleTokens: Int32 = 0
    var preemptions: Int32 = 0
    /// Prompt tokens found in the prefix cache at first admission; -1 before.
    var firstHitTokens: Int32 = -1
    /// Position in the order of admission, which is the order of the running list.
    var sequence: Int64 = -1
    /// Cohort step at which it joined the decode cohort, -1 while it is scheduled by itself. The counts above
    /// and below are those of that moment; `DecodeCohort.bringUpToDate` gives those of now.
    var cohortStart: Int64 = -1
    /// Cohort step in which it produces its last token.
    var dueStep: Int64 = -1
    /// Cohort step with a token in flight for it although it has left the cohort; -1 when there is none.
    var cohortStepInFlight: Int64 = -1
    /// The caller's stamp of the update that delivered its last token.
    var lastStamp: Int64 = -1
    var blocks = RequestBlocks()

    /// Output tokens known so far.
    var outputTokens: Int32 { numTokens - promptTokens }
}
