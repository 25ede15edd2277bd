/// Names a piece of text; two prompts share tokens only where the same segments stand at the same place.
public typealias SegmentID = Int64

/// A piece of a prompt: the first `tokens` tokens of a segment. A token is identified by its segment and its
/// offset in it, so no token ids are ever stored.
public struct PromptSegment: Equatable, Sendable {
    /// Which text.
    public var segment: SegmentID
    /// How many of its tokens, from its start.
    public var tokens: Int

    /// The first `tokens` tokens of `segment`.
    public init(segment: SegmentID, tokens: Int) {
        self.segment = segment
        self.tokens = tokens
    }
}

/// One request as a client sends it. What it will really generate is here too; the scheduler never reads that
/// before the tokens come.
public struct IncomingRequest: Equatable, Sendable {
    /// When the client means to send it.
    public var arrival: Ticks = 0
    /// Prompt length in tokens, at least 1.
    public var promptTokens = 1
    /// Tokens it generates before it stops, at least 1.
    public var outputTokens = 1
    /// `max_tokens` of the request; generation stops here at the latest. Usually equal to `outputTokens`.
    public var maxTokens = 1
    /// Lower is more urgent; read only under `--scheduling-policy priority`.
    public var priority = 0
    /// The leading part of the prompt that other requests may share, piece by piece. The rest of the prompt
    /// (`promptTokens` less the sum of these) belongs to this request alone.
    public var sharedSegments: [PromptSegment] = []
    /// Names this request's output when a later prompt may repeat it (the next turn of a conversation).
    public var outputSegment: SegmentID?
    /// The conversation it belongs to, when its end triggers the next turn; -1 otherwise.
    public var session: Int32 = -1

    /// A request of one prompt token and one output token at time 0.
    public init() {}
}
