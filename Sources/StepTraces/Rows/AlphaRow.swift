import ServingCore

/// What a request's journey says about time outside engine steps: targets of the alpha models.
///
/// Times are differences of the monotonic clock in seconds; one that the trace does not give is not a number.
public struct AlphaRow: Equatable, Sendable {
    /// ARRIVED -> QUEUED: API work before the scheduler knows of the request.
    public var arrivedToQueued = Double.nan
    /// QUEUED -> first SCHEDULED: waiting.
    public var queuedToScheduled = Double.nan
    /// FINISHED -> DEPARTED: detokenising and answering.
    public var finishedToDeparted = Double.nan
    /// What the request met when it was queued.
    public var queue = QueueState()
    /// Where `queue` comes from.
    public var queueSource = QueueStateSource.unknown
    /// Prompt tokens.
    public var promptTokens = 0
    /// Tokens generated.
    public var outputTokens = 0
    /// When it was queued (arrived, if that is all there is), in the trace's clock; -1 when unknown.
    public var queuedAt: Ticks = -1
    /// Index in the reader's `groups`: which deployment.
    public var group = 0

    /// A row that says nothing.
    public init() {}
}

/// Where an alpha row's queue state comes from.
public enum QueueStateSource: UInt8, Sendable, CaseIterable {
    /// The journey states it.
    case recorded
    /// The last step scheduled before the request was queued.
    case steps
    /// Nothing tells; running and waiting are 0.
    case unknown
}

/// What a load generator saw of one request: targets for calibration from request-level measurements.
///
/// Times in seconds; one that the file does not give is not a number.
public struct RequestRow: Equatable, Sendable {
    /// When it was sent, from the first request's.
    public var sent = Double.nan
    /// Prompt tokens.
    public var promptTokens = 0
    /// Tokens received.
    public var outputTokens = 0
    /// Time to first token.
    public var timeToFirstToken = Double.nan
    /// Time to the last token.
    public var endToEnd = Double.nan
    /// Mean time between tokens after the first.
    public var timePerOutputToken = Double.nan
    /// Whether it was answered.
    public var succeeded = true
    /// Index in the reader's `groups`.
    public var group = 0

    /// A row that says nothing.
    public init() {}
}
