/// What a run came to: the figures of `vllm bench serve`, with its definitions, and what only a simulator sees.
///
/// Requests sent during warm-up count nowhere but in `warmUpRequests`. Rates are per second of `duration`.
public struct SimulationMetrics: Equatable, Sendable {
    // Requests.
    /// Requests left out because they were sent during warm-up.
    public var warmUpRequests = 0
    /// Requests that delivered all of their tokens.
    public var completed = 0
    /// Requests that the engine refused.
    public var rejected = 0
    /// Requests whose client gave up.
    public var timedOut = 0
    /// Requests that were not done when the run ended.
    public var unfinished = 0
    /// Everything that is not completed.
    public var failed: Int { rejected + timedOut + unfinished }

    // Rates.
    /// First measured request sent, seconds of simulated time.
    public var start = 0.0
    /// From the first measured request sent to the last one ended, seconds.
    public var duration = 0.0
    /// Prompt tokens of completed requests.
    public var totalInputTokens = 0
    /// Tokens delivered by completed requests.
    public var totalOutputTokens = 0
    /// Completed requests per second.
    public var requestThroughput = 0.0
    /// Completed requests per second that met every objective; nil without objectives.
    public var requestGoodput: Double?
    /// Share of all measured requests that completed and met every objective; nil without objectives.
    public var goodShare: Double?
    /// Output tokens per second.
    public var outputThroughput = 0.0
    /// Prompt and output tokens per second.
    public var totalTokenThroughput = 0.0
    /// Most output tokens delivered in one second, counted in whole seconds from the start.
    public var maxOutputTokensPerSecond = 0
    /// Most completed requests alive in one such second.
    public var maxConcurrentRequests = 0

    // Latencies in milliseconds.
    /// Time to first token of completed requests.
    public var ttft = LatencySummary()
    /// Time per output token, (E2E - TTFT) / (output - 1), of completed requests with more than one output token.
    public var tpot = LatencySummary()
    /// Gaps between tokens, pooled over all requests.
    public var itl = LatencySummary()
    /// End-to-end latency of completed requests.
    public var e2el = LatencySummary()
    /// Mean time from entering the queue to being scheduled, of completed requests.
    public var meanQueueTime = 0.0

    // The engines over time.
    /// Mean number of requests waiting, all engines together.
    public var meanWaitingRequests = 0.0
    /// Most requests waiting on one engine.
    public var peakWaitingRequests = 0
    /// Mean number of requests running, all engines together.
    public var meanRunningRequests = 0.0
    /// Most requests running on one engine.
    public var peakRunningRequests = 0
    /// Mean share of KV blocks in use.
    public var meanKVUsage = 0.0
    /// Largest share of KV blocks in use on one engine.
    public var peakKVUsage = 0.0
    /// Share of the time in which a step ran, averaged over engines.
    public var busyShare = 0.0
    /// The same over time, warm-up included.
    public var timeline: [StateSample] = []
    /// Prompt tokens of completed requests that their first admission found in the prefix cache.
    public var cachedPromptTokens = 0
    /// Preemptions of completed requests.
    public var preemptions = 0
    /// Completed requests that were preempted at least once.
    public var preemptedRequests = 0

    /// Whether the deployment kept up.
    public var saturation = Saturation()

    /// Metrics of nothing.
    public init() {}
}
