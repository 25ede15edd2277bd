import ServingCore

/// The header of a recorded scheduler scenario, format `vllm-v1-sched/1`: the engine's limits and the requests,
/// by the step at which they arrive.
public struct SchedulerScenario: Codable, Sendable {
    /// Inputs of vLLM's scheduler, under vLLM's names.
    public struct Configuration: Codable, Sendable {
        var maxNumBatchedTokens: Int
        var maxNumSeqs: Int
        var blockSize: Int
        var numBlocks: Int
        var maxModelLen: Int
        var enableChunkedPrefill: Bool
        var enablePrefixCaching: Bool
        var longPrefillTokenThreshold: Int
        var longPrefillTokenThresholdAdaptive: Bool
        var policy: SchedulingPolicy
        var asyncScheduling: Bool
        var schedulerReserveFullISL: Bool
        var watermark: Double
        var maxNumActiveSeqs: Int?
        var maxNumScheduledTokens: Int?
        var offload: OffloadScenario?

        enum CodingKeys: String, CodingKey {
            case maxNumBatchedTokens = "max_num_batched_tokens"
            case maxNumSeqs = "max_num_seqs"
            case blockSize = "block_size"
            case numBlocks = "num_blocks"
            case maxModelLen = "max_model_len"
            case enableChunkedPrefill = "enable_chunked_prefill"
            case enablePrefixCaching = "enable_prefix_caching"
            case longPrefillTokenThreshold = "long_prefill_token_threshold"
            case longPrefillTokenThresholdAdaptive = "long_prefill_token_threshold_adaptive"
            case policy
            case asyncScheduling = "async_scheduling"
            case schedulerReserveFullISL = "scheduler_reserve_full_isl"
            case watermark
            case maxNumActiveSeqs = "max_num_active_seqs"
            case maxNumScheduledTokens = "max_num_scheduled_tokens"
            case offload
        }
    }

    /// A named piece of a prompt, written `[name, length]`.
    public struct Segment: Codable, Sendable {
        var name: String
        var tokens: Int

        /// Reads `[name, length]`.
        public init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            name = try container.decode(String.self)
            tokens = try container.decode(Int.self)
        }

        /// Writes `[name, length]`.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.unkeyedContainer()
            try container.encode(name)
            try container.encode(tokens)
        }
    }

    /// One request.
    public struct Request: Codable, Sendable {
        var id: Int
        var arrivalStep: Int
        var arrivalTime: Double
        var prompt: [Segment]
        var outputTokens: Int
        var priority: Int

        enum CodingKeys: String, CodingKey {
            case id, prompt, priority
            case arrivalStep = "arrival_step"
            case arrivalTime = "arrival_time"
            case outputTokens = "output_tokens"
        }
    }

    var format: String
    /// Name of the scenario.
    public var name: String
    var config: Configuration
    var requests: [Request]
    /// `[step, id]` pairs.
    var aborts: [[Int]]

    /// Largest count that a scenario may name; keeps sums far from overflow.
    static let limit = 1 << 28

    /// Checks every value.
    /// - Throws: `InvalidInput` naming the first field that cannot be used.
    public func validate(source: String) throws {
        func check(_ field: String, _ value: Int, _ range: ClosedRange<Int>) throws {
            guard range.contains(value) else {
                throw InvalidInput(
                    source: source, line: 1, field: field, value: String(value), "is out of range",
                    accepted: "\(range.lowerBound) to \(range.upperBound)")
            }
        }
        guard format == "vllm-v1-sched/1" else {
            throw InvalidInput(
                source: source, line: 1, field: "format", value: format, "is not known",
                accepted: "vllm-v1-sched/1")
        }
        let many = 1...Self.limit
        try check("config.max_num_batched_tokens", config.maxNumBatchedTokens, many)
        try check("config.max_num_seqs", config.maxNumSeqs, many)
        try check("config.block_size", config.blockSize, many)
        try check("config.num_blocks", config.numBlocks, 2...Self.limit)
        try check("config.max_model_len", config.maxModelLen, many)
        try check("config.long_prefill_token_threshold", config.longPrefillTokenThreshold, 0...Self.limit)
        if let value = config.maxNumActiveSeqs { try check("config.max_num_active_seqs", value, many) }
        if let value = config.maxNumScheduledTokens {
            try check("config.max_num_scheduled_tokens", value, many)
        }
        guard config.watermark >= 0, config.watermark < 1 else {
            throw InvalidInput(
                source: source, line: 1, field: "config.watermark", value: String(config.watermark),
                "is out of range", accepted: "0 to less than 1")
        }
        try config.offload?.validate(check)
        for (position, request) in requests.enumerated() {
            let field = "requests[\(position)]"
            try check(field + ".id", request.id, position...position)
            try check(field + ".arrival_step", request.arrivalStep, 0...Self.limit)
            try check(field + ".output_tokens", request.outputTokens, many)
            try check(field + ".priority", request.priority, -Self.limit...Self.limit)
            guard request.arrivalTime.isFinite else {
                throw InvalidInput(
                    source: source, line: 1, field: field + ".arrival_time",
                    value: String(request.arrivalTime),
                    "is not finite", accepted: "a number")
            }
            var tokens = 0
            for segment in request.prompt {
                try check(field + ".prompt", segment.tokens, 0...Self.limit)
                tokens += segment.tokens
            }
            try check(field + ".prompt (tokens)", tokens, 1...max(config.maxModelLen - 1, 1))
        }
        for abort in aborts {
            guard abort.count == 2, abort[0] >= 0, requests.indices.contains(abort[1]) else {
                throw InvalidInput(
                    source: source, line: 1, field: "aborts", value: "\(abort)",
                    "is not a step and a request id",
                    accepted: "[step, id]")
            }
        }
    }

    /// The scheduler's configuration.
    var schedulerConfiguration: SchedulerConfiguration {
        var result = SchedulerConfiguration(
            maxNumBatchedTokens: config.maxNumBatchedTokens, maxNumSeqs: config.maxNumSeqs,
            blockSize: config.blockSize, numBlocks: config.numBlocks, maxModelLen: config.maxModelLen)
        result.maxNumScheduledTokens = config.maxNumScheduledTokens
        result.maxNumActiveSeqs = config.maxNumActiveSeqs
        result.enableChunkedPrefill = config.enableChunkedPrefill
        result.enablePrefixCaching = config.enablePrefixCaching
        result.longPrefillTokenThreshold = config.longPrefillTokenThreshold
        result.longPrefillTokenThresholdAdaptive = config.longPrefillTokenThresholdAdaptive
        result.policy = config.policy
        result.asyncScheduling = config.asyncScheduling
        result.schedulerReserveFullISL = config.schedulerReserveFullISL
        result.watermark = config.watermark
        result.offload = config.offload?.configuration
        return result
    }

    /// The requests as an engine takes them.
    ///
    /// Text that only one prompt holds is left private unless `sharesEverything` is set; both must give the
    /// same schedule.
    func incomingRequests(sharesEverything: Bool) -> [IncomingRequest] {
        var ids: [String: SegmentID] = [:]
        var uses: [String: Int] = [:]
        for request in requests {
            for segment in request.prompt {
                ids[segment.name] = ids[segment.name] ?? SegmentID(ids.count)
                uses[segment.name, default: 0] += 1
            }
        }
        return requests.map { request in
            var result = IncomingRequest()
            let pieces = request.prompt.filter { $0.tokens > 0 }
            result.promptTokens = pieces.reduce(0) { $0 + $1.tokens }
            result.outputTokens = request.outputTokens
            result.maxTokens = request.outputTokens
            result.priority = request.priority
            for piece in pieces {
                guard sharesEverything || uses[piece.name]! > 1 || piece.name.hasPrefix("out") else { break }
                result.sharedSegments.append(PromptSegment(segment: ids[piece.name]!, tokens: piece.tokens))
            }
            let output = "out\(request.id)"
            if let id = ids[output] {
                result.outputSegment = id
            } else if sharesEverything {
                result.outputSegment = SegmentID(ids.count + request.id)
            }
            return result
        }
    }
}
