import ServingCore

/// Recorded requests, in compact arrays: 16 bytes a request and 4 bytes a hashed block.
public struct RequestTrace: Sendable {
    /// How a trace was written.
    public enum Format: String, Sendable, CaseIterable {
        /// Azure LLM inference traces of 2023 and 2024.
        case azure
        /// Mooncake: JSON lines with hashes of 512-token blocks.
        case mooncake
        /// Qwen-Bailian: JSON lines with hashes of 16-token blocks.
        case bailian
        /// BurstGPT.
        case burstGPT = "burstgpt"
        /// Vidur.
        case vidur
        /// A measured run: what was sent and the latencies that came of it.
        case measuredRun = "measured-run"
        /// A CSV file whose columns are known by their names.
        case csv
    }

    /// How the file was written.
    public internal(set) var format: Format
    /// Name of the file, for messages.
    public internal(set) var source: String
    /// What a person should know about the file, one line each.
    public internal(set) var warnings: [String] = []
    /// The client gives up after this.
    public var clientTimeout: Ticks?
    /// Requests that the client keeps in flight at most.
    public var maxConcurrency: Int?

    // One entry per request.
    var arrivals: [Ticks] = []
    var promptTokens: [Int32] = []
    var outputTokens: [Int32] = []
    /// Where the blocks of a request begin in `blocks`, with one entry more at the end; empty without hashes.
    var blockStarts: [Int] = []
    /// Numbers of hashed blocks; equal hashes have equal numbers.
    var blocks: [Int32] = []
    /// Tokens that a full block stands for.
    var blockTokens = 0
    /// Different hashes.
    var distinctBlocks = 0
    /// Which prompt each request sent, where the same ones recur; empty where they don't.
    var promptNumbers: [Int32] = []

    init(format: Format, source: String) {
        self.format = format
        self.source = source
    }

    /// Requests in memory, one entry of each array a request, in any order; times are seconds.
    /// - Throws: `InvalidInput` without requests, and for times and lengths that cannot be.
    public init(
        arrivals: [Double], promptTokens: [Int], outputTokens: [Int], source: String,
        options: TraceOptions = TraceOptions()
    ) throws {
        guard arrivals.count == promptTokens.count, arrivals.count == outputTokens.count else {
            throw InvalidInput(
                source: source,
                "has \(arrivals.count) times, \(promptTokens.count) prompts and "
                    + "\(outputTokens.count) outputs", accepted: "one of each per request")
        }
        var builder = TraceBuilder(format: .csv, source: source)
        for (index, arrival) in arrivals.enumerated() {
            guard arrival.isFinite, abs(arrival) <= 4e9, promptTokens[index] >= 1, outputTokens[index] >= 1
            else {
                throw InvalidInput(
                    source: source, field: "request \(index)", "has a time or a length out of range",
                    accepted: "a time within 100 years and lengths of at least 1")
            }
            builder.add(
                arrival: Ticks(seconds: arrival), prompt: promptTokens[index], output: outputTokens[index])
        }
        self = try builder.finish(options, blockTokens: 0)
    }

    /// Number of requests.
    public var count: Int { arrivals.count }

    /// Fills `request` with number `index`.
    func fill(_ request: inout IncomingRequest, _ index: Int) {
        let prompt = Int(promptTokens[index])
        request.arrival = arrivals[index]
        request.promptTokens = prompt
        request.outputTokens = Int(outputTokens[index])
        request.maxTokens = request.outputTokens
        request.priority = 0
        request.outputSegment = nil
        request.session = -1
        if !request.sharedSegments.isEmpty { request.sharedSegments.removeAll(keepingCapacity: true) }
        if !promptNumbers.isEmpty {
            request.sharedSegments.append(
                PromptSegment(segment: SegmentNames.tracePrompt(promptNumbers[index]), tokens: prompt))
        } else if !blockStarts.isEmpty {
            var left = prompt
            for position in blockStarts[index]..<blockStarts[index + 1] {
                guard left > 0 else { break }
                let tokens = min(left, blockTokens)
                request.sharedSegments.append(
                    PromptSegment(segment: SegmentNames.traceBlock(blocks[position]), tokens: tokens))
                left -= tokens
            }
        }
    }
}

/// How a trace is to be used.
public struct TraceOptions: Hashable, Sendable {
    /// Use this many requests, the earliest ones; nil uses all.
    public var limit: Int?
    /// Send faster by this factor: arrival times are divided by it.
    public var rateScale = 1.0
    /// The same prompts recur, whole: equally long ones at the distance at which lengths recur, or any equally long ones
    /// where there is no such distance.
    public var equalLengthsShare = false
    /// What the server was told to generate. Recorded output lengths below 0.9 times the median of the run are
    /// replaced by this: clients that re-tokenise text lose tokens.
    public var outputLength: Int?
    /// Tokens per hashed block; nil takes the format's own (512 for Mooncake, 16 for Bailian).
    public var blockTokens: Int?
    /// Requests that the client keeps in flight at most.
    public var maxConcurrency: Int?
    /// Seconds after sending at which the client gives up.
    public var clientTimeout: Double?

    /// All of the trace as it is.
    public init() {}
}
