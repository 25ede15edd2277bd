/// How a request ended.
public enum RequestStatus: UInt8, Sendable, CaseIterable {
    /// All of its tokens were delivered.
    case completed
    /// The engine refused it before it was queued (prompt not shorter than `--max-model-len`).
    case rejected
    /// The client gave up waiting and the engine aborted it.
    case timedOut
    /// Still unfinished when the simulation's horizon was reached or the engine could never admit it.
    case unfinished
}

/// What happened to one request, with every moment that a latency metric is made of.
///
/// Moments that were never reached are -1.
public struct RequestRecord: Equatable, Sendable {
    /// Number of the request in order of sending, from 0.
    public var index = 0
    /// How it ended.
    public var status = RequestStatus.unfinished
    /// The client sent it.
    public var sent: Ticks = -1
    /// The engine's scheduler knew of it.
    public var queued: Ticks = -1
    /// It was first scheduled: the start of the step in which its first prompt tokens were computed.
    public var scheduled: Ticks = -1
    /// Its first token reached the client.
    public var firstToken: Ticks = -1
    /// Its last token reached the client, or the client gave up.
    public var finished: Ticks = -1
    /// Prompt length.
    public var promptTokens = 0
    /// Prompt tokens found in the prefix cache at first admission.
    public var cachedTokens = 0
    /// Tokens delivered.
    public var outputTokens = 0
    /// Times it was preempted.
    public var preemptions = 0
    /// Data-parallel engine that served it.
    public var engine = 0

    /// A record of a request that nothing has happened to.
    public init() {}

    /// Time to first token.
    public var timeToFirstToken: Ticks { firstToken - sent }
    /// End-to-end latency.
    public var endToEnd: Ticks { finished - sent }
    /// (E2E - TTFT) / (output - 1) in ticks; nil for fewer than two tokens. The formula of `vllm bench serve`.
    public var timePerOutputToken: Double? {
        outputTokens > 1 ? Double(finished - firstToken) / Double(outputTokens - 1) : nil
    }
}
