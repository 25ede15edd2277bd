/// What one engine step does, in plain counts: the inputs of every step-time feature.
///
/// The simulator fills one per step, the trace readers one per row; both hand it to the same feature code.
/// A request in a step is a *decode* when it computes exactly one token and its prompt is done, otherwise a
/// *prefill* (first chunk, later chunk, or recomputation after preemption). Counts are totals over the batch.
public struct StepState: Equatable, Sendable {
    /// Requests that compute prompt (or recomputed) tokens in this step.
    public var prefillRequests = 0
    /// Tokens computed for those requests in this step.
    public var prefillTokens = 0
    /// Sum over prefill requests of the tokens already computed before this step.
    public var prefillContextTokens = 0
    /// Sum over prefill requests of `n * c + n * (n + 1) / 2`, with `n` new tokens on a context of `c`:
    /// the query-key pairs that causal attention visits.
    public var prefillAttentionPairs = 0.0
    /// Requests that compute exactly one token beyond their prompt.
    public var decodeRequests = 0
    /// Sum over decode requests of the context length read, the new token included.
    public var decodeContextTokens = 0
    /// Requests in the running list after scheduling, whether or not they got tokens.
    public var runningRequests = 0
    /// Requests waiting after scheduling.
    public var waitingRequests = 0
    /// KV blocks in use after scheduling (free and cached-but-free blocks are not in use).
    public var kvBlocksUsed = 0
    /// KV blocks of the pool, the null block left out.
    public var kvBlocksTotal = 0
    /// KV blocks copied from GPU to CPU memory by transfers that start in this step.
    public var blocksToOffload = 0
    /// KV blocks copied from CPU to GPU memory by transfers that start in this step.
    public var blocksToRestore = 0

    /// Tokens that the other data-parallel engines compute in the same step, and that meet the experts of this one's ranks;
    /// nil where that is not known, and stands for as many as this engine's each.
    public var peerTokens: Int?

    /// An empty step.
    public init() {}

    /// Tokens computed in this step, prefill and decode together.
    public var batchTokens: Int { prefillTokens + decodeRequests }

    /// Share of the KV pool in use, 0 when its size is unknown.
    public var kvUsageRatio: Double { kvBlocksTotal > 0 ? Double(kvBlocksUsed) / Double(kvBlocksTotal) : 0 }

    /// Adds one prefill request that computes `newTokens` on a context of `computedTokens`.
    public mutating func addPrefill(newTokens: Int, computedTokens: Int) {
        prefillRequests += 1
        prefillTokens += newTokens
        prefillContextTokens += computedTokens
        let n = Double(newTokens)
        prefillAttentionPairs += n * Double(computedTokens) + n * (n + 1) / 2
    }

    /// Adds one decode request whose context, the new token included, is `contextTokens` long.
    public mutating func addDecode(contextTokens: Int) {
        decodeRequests += 1
        decodeContextTokens += contextTokens
    }
}
