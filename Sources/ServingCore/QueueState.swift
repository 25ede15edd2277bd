/// What a request finds when it enters the waiting queue: the inputs of every queueing (alpha) feature.
public struct QueueState: Equatable, Sendable {
    /// Requests waiting ahead of it.
    public var waitingRequests = 0
    /// Requests in the running list.
    public var runningRequests = 0
    /// KV blocks in use.
    public var kvBlocksUsed = 0
    /// KV blocks of the pool, the null block left out.
    public var kvBlocksTotal = 0
    /// Prompt tokens of the request itself.
    public var promptTokens = 0

    /// An empty system.
    public init() {}

    /// Share of the KV pool in use, 0 when its size is unknown.
    public var kvUsageRatio: Double { kvBlocksTotal > 0 ? Double(kvBlocksUsed) / Double(kvBlocksTotal) : 0 }
}
