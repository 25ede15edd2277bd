import ServingCore

/// What load a deployment is put under, described rather than listed: when requests arrive, how long they are,
/// what their prompts share, and how conversations go on.
///
/// Read from YAML (`init(contentsOf:)`), built from the flags of `vllm bench serve` (`random(…)`), or filled in
/// by a program. `RequestStream` turns it into requests.
public struct WorkloadSpecification: Equatable, Sendable {
    /// Short name, for reports.
    public var name = ""
    /// One line about what it stands for.
    public var description = ""
    /// When requests arrive.
    public var arrivals = ArrivalProcess(rate: .infinite)
    /// Requests that arrive; a conversation counts once, its later turns come on top. Nil: no limit but
    /// `duration` or the last stage; not with an infinite rate.
    public var numPrompts: Int? = 1000
    /// Nothing arrives from this many seconds on.
    public var duration: Double?
    /// Requests that the client keeps in flight at most.
    public var maxConcurrency: Int?
    /// Seconds after sending at which the client gives up.
    public var clientTimeout: Double?
    /// Kinds of request, mixed by weight; at least one.
    public var classes: [RequestClass] = [RequestClass()]

    /// 1,000 requests of one token each at time 0; fill in what matters.
    public init() {}
}

/// One kind of request in a workload.
public struct RequestClass: Equatable, Sendable {
    /// Short name, for reports.
    public var name = ""
    /// How often it comes, relative to the other classes.
    public var weight = 1.0
    /// New tokens of a prompt, on top of a shared prefix and, in a conversation, of what was said before.
    public var inputLength = Distribution.constant(1)
    /// Tokens generated.
    public var outputLength = Distribution.constant(1)
    /// What prompts begin with in common, if anything.
    public var sharedPrefix: SharedPrefix?
    /// How conversations go on, if requests are conversations.
    public var multiTurn: MultiTurn?
    /// Priorities and how often each comes; empty means 0 always.
    public var priorities: [Int: Double] = [:]

    /// Requests of one token in, one token out.
    public init() {}
}

/// Prefixes that groups of requests share.
public struct SharedPrefix: Equatable, Sendable {
    /// How requests choose their group.
    public enum Popularity: Equatable, Sendable {
        /// Every group is as likely.
        case uniform
        /// The group of rank `r` is chosen in proportion to `r` to the power of minus this.
        case zipf(exponent: Double)
        /// Groups (and their questions) take turns in a shuffled order, as in inference-perf.
        case roundRobin
    }

    /// Number of different prefixes.
    public var groups = 1
    /// Tokens of each prefix, drawn once per group.
    public var length = Distribution.constant(1)
    /// How requests choose their group.
    public var popularity = Popularity.uniform
    /// Different questions asked in each group, so that whole prompts recur; nil when every question is new. The
    /// length of a question is drawn once.
    public var questionsPerGroup: Int?

    /// One prefix of one token.
    public init() {}
}

/// Conversations in which each prompt repeats all that was said before.
public struct MultiTurn: Equatable, Sendable {
    /// Turns of a conversation, the first included.
    public var turns = Distribution.constant(1)
    /// Seconds from the end of an answer to the next prompt.
    public var thinkTime = Distribution(.constant(0), minimum: 0, maximum: 1e9)
    /// A conversation ends before a turn whose prompt and output would be longer than this, in tokens.
    public var maxContextLength: Int?

    /// Conversations of one turn.
    public init() {}
}

extension WorkloadSpecification {
    /// The load of `vllm bench serve --dataset-name random`: prompts that share nothing but a prefix.
    ///
    /// Lengths are uniform over the whole numbers from `floor(length * (1 - rangeRatio))` to
    /// `ceil(length * (1 + rangeRatio))` and at least 1; the prefix comes on top. Gaps are gamma with shape
    /// `burstiness`, stretched so that the requests take `numPrompts / requestRate` seconds in all
    /// (vllm/benchmarks/datasets.py, RandomDataset; vllm/benchmarks/serve.py, get_request).
    /// - Parameters:
    ///   - requestRate: requests per second; infinity sends everything at time 0.
    ///   - burstiness: shape of the gamma distribution of gaps; 1 is Poisson, infinity makes gaps alike.
    /// - Throws: `InvalidInput` that names the flag whose value is out of range.
    public static func random(
        inputLength: Int = 1024, outputLength: Int = 128, rangeRatio: Double = 0, prefixLength: Int = 0,
        requestRate: Double = .infinity, burstiness: Double = 1, numPrompts: Int = 1000,
        maxConcurrency: Int? = nil
    ) throws(InvalidInput) -> WorkloadSpecification {
        try ValueRange.whole(inputLength, "--random-input-len", from: prefixLength > 0 ? 0 : 1)
        try ValueRange.whole(outputLength, "--random-output-len", from: 1)
        try ValueRange.whole(prefixLength, "--random-prefix-len", from: 0)
        guard rangeRatio >= 0, rangeRatio < 1 else {
            throw InvalidInput(
                .usage, field: "--random-range-ratio", value: "\(rangeRatio)", "is out of range",
                accepted: "a number of at least 0 and below 1")
        }
        var specification = WorkloadSpecification()
        specification.name = "random"
        var requests = RequestClass()
        requests.inputLength = ranged(inputLength, rangeRatio)
        requests.outputLength = ranged(outputLength, rangeRatio)
        if prefixLength > 0 {
            var prefix = SharedPrefix()
            prefix.length = .constant(prefixLength)
            requests.sharedPrefix = prefix
        }
        specification.classes = [requests]
        try specification.apply(
            requestRate: requestRate, burstiness: burstiness, numPrompts: numPrompts,
            maxConcurrency: maxConcurrency)
        return specification
    }

    /// Overrides parts of a workload as the flags of `vllm bench serve` of the same name do; nil leaves a part
    /// as it is. A rate replaces the whole arrival process.
    /// - Throws: `InvalidInput` that names the flag whose value is out of range.
    public mutating func apply(
        requestRate: Double? = nil, burstiness: Double? = nil, numPrompts: Int? = nil,
        maxConcurrency: Int? = nil
    ) throws(InvalidInput) {
        if let burstiness {
            guard burstiness >= ValueRange.smallestShape else {
                throw InvalidInput(
                    .usage, field: "--burstiness", value: "\(burstiness)", "is out of range",
                    accepted: "a number of at least \(ValueRange.smallestShape), or inf")
            }
            if requestRate == nil {
                arrivals.gaps = burstiness.isInfinite ? .constant : .gamma(shape: burstiness)
            }
        }
        if let requestRate {
            guard requestRate >= ValueRange.smallestRate,
                requestRate <= ValueRange.largestRate
                    || requestRate.isInfinite
            else {
                throw InvalidInput(
                    .usage, field: "--request-rate", value: "\(requestRate)", "is out of range",
                    accepted:
                        "requests per second from \(ValueRange.smallestRate) to \(ValueRange.largestRate), or inf"
                )
            }
            let shape = burstiness ?? 1
            arrivals =
                requestRate.isInfinite
                ? ArrivalProcess(rate: .infinite)
                : ArrivalProcess(
                    gaps: shape.isInfinite ? .constant : shape == 1 ? .poisson : .gamma(shape: shape),
                    rate: .steady(requestRate), normalized: true)
        }
        if let numPrompts {
            try ValueRange.whole(numPrompts, "--num-prompts", from: 1, to: ValueRange.mostRequests)
            self.numPrompts = numPrompts
        }
        if let maxConcurrency {
            try ValueRange.whole(maxConcurrency, "--max-concurrency", from: 1)
            self.maxConcurrency = maxConcurrency
        }
        // Only a known number of requests can be stretched to a known time.
        if case .steady = arrivals.rate, self.numPrompts == nil { arrivals.normalized = false }
    }

    /// Applies the parts of trace options that mean something for a specification.
    mutating func apply(_ options: TraceOptions) throws(InvalidInput) {
        if let limit = options.limit { numPrompts = min(limit, numPrompts ?? .max) }
        if let limit = options.maxConcurrency { maxConcurrency = limit }
        if let timeout = options.clientTimeout { clientTimeout = timeout }
        arrivals.scaleRate(by: options.rateScale)
    }

    private static func ranged(_ length: Int, _ ratio: Double) -> Distribution {
        if ratio == 0 { return Distribution(.constant(Double(length)), minimum: Double(min(length, 1))) }
        let low = max((Double(length) * (1 - ratio)).rounded(.down), 0)
        let high = (Double(length) * (1 + ratio)).rounded(.up)
        return Distribution(.uniform(low: low, high: high), minimum: Double(min(length, 1)))
    }
}

/// Ranges of values that reach the generators, wherever they come from.
enum ValueRange {
    /// Below this shape nearly all gaps underflow to nothing.
    static let smallestShape = 0.001
    static let smallestRate = 1e-9
    static let largestRate = 1e9
    /// Conversations are numbered in 43 bits.
    static let mostRequests = 1 << 43

    static func whole(_ value: Int, _ flag: String, from low: Int, to high: Int = Int(Int32.max))
        throws(InvalidInput)
    {
        guard value < low || value > high else { return }
        throw InvalidInput(
            .usage, field: flag, value: "\(value)", value < 0 ? "is negative" : "is out of range",
            accepted: "a whole number from \(low) to \(high)")
    }
}
