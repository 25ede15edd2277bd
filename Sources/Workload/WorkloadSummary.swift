import ServingCore

/// What a workload amounts to, from its first requests.
public struct WorkloadSummary: Equatable, Sendable, Encodable {
    /// Mean and quantiles of a length in tokens.
    public struct Lengths: Equatable, Sendable, Encodable {
        /// Arithmetic mean.
        public var mean = 0.0
        /// Smallest.
        public var min = 0
        /// Median and upper quantiles (nearest rank).
        public var p50 = 0, p90 = 0, p99 = 0
        /// Largest.
        public var max = 0

        init(_ values: [Int32]) {
            guard !values.isEmpty else { return }
            let sorted = values.sorted()
            mean = sorted.reduce(0.0) { $0 + Double($1) } / Double(sorted.count)
            min = Int(sorted[0])
            max = Int(sorted[sorted.count - 1])
            func quantile(_ p: Double) -> Int {
                Int(sorted[Swift.max(0, Int((p * Double(sorted.count)).rounded(.up)) - 1)])
            }
            (p50, p90, p99) = (quantile(0.5), quantile(0.9), quantile(0.99))
        }
    }

    /// Requests looked at, later turns of conversations included.
    public var requests = 0
    /// Of these, arrivals: a conversation counts once.
    public var arrivals = 0
    /// Whether the workload goes on after these.
    public var isPartial = false
    /// Time of the last arrival looked at, seconds.
    public var duration = 0.0
    /// Arrivals per second; 0 when all come at once.
    public var requestRate = 0.0
    /// Standard deviation over mean of the gaps between arrivals: 1 for a Poisson process.
    public var gapVariation = 0.0
    /// Most arrivals in any one second of the clock.
    public var peakRequestsPerSecond = 0
    /// Prompt lengths.
    public var inputLengths = Lengths([])
    /// Output lengths.
    public var outputLengths = Lengths([])
    /// Sum of prompt lengths.
    public var totalInputTokens = 0
    /// Sum of output lengths.
    public var totalOutputTokens = 0
    /// Share of all prompt tokens that an earlier prompt or answer began with too: what a prefix cache without limits
    /// would hit, to the token.
    public var sharedPrefixShare = 0.0
    /// Requests by priority.
    public var priorities: [Int: Int] = [:]
    /// Requests that the client keeps in flight at most.
    public var maxConcurrency: Int?
    /// Seconds after which the client gives up.
    public var clientTimeout: Double?
    /// Remarks about the input.
    public var warnings: [String] = []

    private enum CodingKeys: String, CodingKey {
        case requests, arrivals, duration, priorities, warnings
        case isPartial = "partial"
        case requestRate = "request_rate"
        case gapVariation = "gap_cv"
        case peakRequestsPerSecond = "peak_requests_per_s"
        case inputLengths = "input_len"
        case outputLengths = "output_len"
        case totalInputTokens = "total_input_tokens"
        case totalOutputTokens = "total_output_tokens"
        case sharedPrefixShare = "shared_prefix_share"
        case maxConcurrency = "max_concurrency"
        case clientTimeout = "client_timeout"
    }

    /// Sums up the first `limit` arrivals of a stream, every conversation to its end.
    /// - Throws: what the stream throws.
    public init(_ stream: RequestStream, limit: Int) throws {
        var stream = stream
        maxConcurrency = stream.maxConcurrency
        clientTimeout = stream.clientTimeout.map(\.seconds)
        warnings = stream.warnings
        var tally = Tally()
        var request = IncomingRequest()
        while arrivals < limit, try stream.next(&request) {
            arrivals += 1
            tally.addArrival(request.arrival)
            tally.add(request)
            while request.session >= 0 {
                tally.learn(request)
                guard stream.followUp(session: request.session, finishedAt: request.arrival, &request) else {
                    break
                }
                tally.add(request)
            }
        }
        isPartial = try arrivals == limit && stream.next(&request)
        requests = tally.inputs.count
        duration = tally.lastArrival.seconds
        requestRate = duration > 0 ? Double(arrivals) / duration : 0
        gapVariation = tally.gapVariation
        peakRequestsPerSecond = tally.peak
        inputLengths = Lengths(tally.inputs)
        outputLengths = Lengths(tally.outputs)
        totalInputTokens = tally.inputs.reduce(0) { $0 + Int($1) }
        totalOutputTokens = tally.outputs.reduce(0) { $0 + Int($1) }
        sharedPrefixShare = totalInputTokens > 0 ? Double(tally.sharedTokens) / Double(totalInputTokens) : 0
        priorities = tally.priorities
    }
}

/// What is kept while looking at requests.
private struct Tally {
    var inputs: [Int32] = []
    var outputs: [Int32] = []
    var priorities: [Int: Int] = [:]
    var sharedTokens = 0
    var lastArrival: Ticks = 0
    var peak = 0
    /// Tokens of each text that some prompt or answer has held.
    private var known: [SegmentID: Int] = [:]
    private var gaps = 0
    private var gapMean = 0.0
    private var gapSquares = 0.0
    private var second: Ticks = -1
    private var inSecond = 0

    /// Standard deviation over mean of the gaps.
    var gapVariation: Double {
        gaps > 0 && gapMean > 0 ? (gapSquares / Double(gaps)).squareRoot() / gapMean : 0
    }

    mutating func addArrival(_ arrival: Ticks) {
        if !inputs.isEmpty {
            // Welford's running mean and sum of squares.
            let gap = (arrival - lastArrival).seconds
            gaps += 1
            let change = gap - gapMean
            gapMean += change / Double(gaps)
            gapSquares += change * (gap - gapMean)
        }
        lastArrival = arrival
        if arrival / .perSecond == second {
            inSecond += 1
        } else {
            second = arrival / .perSecond
            inSecond = 1
        }
        peak = max(peak, inSecond)
    }

    mutating func add(_ request: IncomingRequest) {
        inputs.append(Int32(clamping: request.promptTokens))
        outputs.append(Int32(clamping: request.outputTokens))
        priorities[request.priority, default: 0] += 1
        var isPrefix = true
        for piece in request.sharedSegments {
            let held = known[piece.segment] ?? 0
            if isPrefix { sharedTokens += min(held, piece.tokens) }
            isPrefix = isPrefix && held >= piece.tokens
            if held < piece.tokens { known[piece.segment] = piece.tokens }
        }
    }

    /// An answer that a later prompt may repeat.
    mutating func learn(_ request: IncomingRequest) {
        if let answer = request.outputSegment { known[answer] = request.outputTokens }
    }
}
