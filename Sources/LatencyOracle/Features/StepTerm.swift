/// The quantities of a step that change within a run. Every step-time feature is, for one deployment, a linear
/// form in these; that is why any linear model over any features compiles to one form per scenario.
///
/// The last eight are functions of the token counts of the batch and of its data-parallel peers alone and need the
/// deployment's facts.
@frozen
public enum StepTerm: Int, CaseIterable, Sendable {
    /// 1.
    case one
    /// Tokens computed for prefill requests.
    case prefillTokens
    /// Prefill requests.
    case prefillRequests
    /// Tokens that prefill requests had computed before.
    case prefillContextTokens
    /// Query-key pairs of causal attention in prefill.
    case prefillAttentionPairs
    /// Decode requests (one token each).
    case decodeRequests
    /// Context lengths summed over decode requests.
    case decodeContextTokens
    /// Requests in the running list.
    case runningRequests
    /// 1 when the step computes any prompt token, else 0.
    case hasPrefill

    /// Requests waiting.
    case waitingRequests
    /// Prefill pairs inside a sliding window: the pairs, at most a window for each query.
    case windowedPrefillPairs
    /// Decode context inside a sliding window: the contexts, at most a window for each request.
    case windowedDecodeContext
    /// KV blocks going to CPU memory.
    case blocksToOffload
    /// KV blocks coming from CPU memory.
    case blocksToRestore
    /// Share of KV blocks in use.
    case kvUsage
    /// Its square.
    case kvUsageSquared
    /// Prefill tokens squared.
    case prefillTokensSquared
    /// Decode requests squared.
    case decodeRequestsSquared
    /// Prefill tokens times decode requests.
    case prefillTimesDecode
    /// Prefill tokens times KV usage.
    case prefillTimesKvUsage
    /// Decode requests times running requests.
    case decodeTimesRunning
    /// Requests waiting, at most `mostQueuedRequests`.
    case queuedRequests
    /// Prefill tokens times the decode requests beside them, at most `mostDecodesBesidePrefill`.
    case prefillBesideDecodes
    /// Prefill tokens beyond `burstTokens`.
    case sustainedPrefillTokens

    /// Batch tokens rounded up to a captured CUDA graph.
    case paddedTokens
    /// Padded tokens beyond 128.
    case tokensAbove128
    /// Padded tokens beyond 512.
    case tokensAbove512
    /// The longer of reading the dense weights and multiplying with them, seconds at the data-sheet rates.
    case matrixRoofline
    /// Distinct routed experts that a rank must read in one layer.
    case distinctExperts
    /// Routed tokens by which the busiest expert exceeds the mean.
    case expertLoadSpread
    /// Routed tokens by which the busiest expert-parallel rank exceeds the mean.
    case rankLoadSpread
    /// Tokens of the other data-parallel engines, which meet the experts, too; 0 for a dense model.
    case peerTokens

    /// Number of terms.
    public static let count = StepTerm.allCases.count
    /// First of the terms that depend on token counts alone.
    static let firstTokenFunction = StepTerm.paddedTokens.rawValue
    /// Requests waiting beyond these cost nothing more: a queue of any length has a bounded effect.
    public static let mostQueuedRequests = 256
    /// Decode requests beyond these slow prefill no further: about as many as were measured beside prefill.
    public static let mostDecodesBesidePrefill = 16
    /// Prefill tokens beyond these are computed at the rate of a GPU that has been at work for a while: about as many as the
    /// steps measured on real engines prefill at once.
    public static let burstTokens = 1024
}
