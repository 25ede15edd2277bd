import ServingCore

/// The header of a recorded scheduler scenario, format `vllm-v1-sched/1`: the engine's limits and the requests,
/// by the step at which they arrive.
public struct SchedulerScenario: Codable, Sendable {
    /// Inputs of vLLM's scheduler, under vLLM's names.
    public struct Configuration: Codable, Sendable {
        var max_num_batched_tokens: Int
        var max_num_seqs: Int
        var block_size: Int
        var num_blocks: Int
        var max_model_len: Int
        var enable_chunked_prefill: Bool
        var enable_prefix_caching: Bool
        var long_prefill_token_threshold: Int
        var long_prefill_token_threshold_adaptive: Bool
        var policy: SchedulingPolicy
        var async_scheduling: Bool
        var scheduler_reserve_full_isl: Bool
        var watermark: Double
        var max_num_active_seqs: Int?
        var max_num_scheduled_tokens: Int?
        var offload: JSONValue?
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
        var arrival_step: Int
        var arrival_time: Double
        var prompt: [Segment]
        var output_tokens: Int
        var priority: Int
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
        try check("config.max_num_batched_tokens", config.max_num_batched_tokens, many)
        try check("config.max_num_seqs", config.max_num_seqs, many)
        try check("config.block_size", config.block_size, many)
        try check("config.num_blocks", config.num_blocks, 2...Self.limit)
        try check("config.max_model_len", config.max_model_len, many)
        try check("config.long_prefill_token_threshold", config.long_prefill_token_threshold, 0...Self.limit)
        if let value = config.max_num_active_seqs { try check("config.max_num_active_seqs", value, many) }
        if let value = config.max_num_scheduled_tokens {
            try check("config.max_num_scheduled_tokens", value, many)
        }
        guard config.watermark >= 0, config.watermark < 1 else {
            throw InvalidInput(
                source: source, line: 1, field: "config.watermark", value: String(config.watermark),
                "is out of range", accepted: "0 to less than 1")
        }
        if let offload = config.offload, offload != .null {
            throw InvalidInput(
                source: source, line: 1, field: "config.offload", "is not supported yet", accepted: "null")
        }
        for (position, request) in requests.enumerated() {
            let field = "requests[\(position)]"
            try check(field + ".id", request.id, position...position)
            try check(field + ".arrival_step", request.arrival_step, 0...Self.limit)
            try check(field + ".output_tokens", request.output_tokens, many)
            try check(field + ".priority", request.priority, -Self.limit...Self.limit)
            guard request.arrival_time.isFinite else {
                throw InvalidInput(
                    source: source, line: 1, field: field + ".arrival_time",
                    value: String(request.arrival_time),
                    "is not finite", accepted: "a number")
            }
            var tokens = 0
            for segment in request.prompt {
                try check(field + ".prompt", segment.tokens, 0...Self.limit)
                tokens += segment.tokens
            }
            try check(field + ".prompt (tokens)", tokens, 1...max(config.max_model_len - 1, 1))
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
            maxNumBatchedTokens: config.max_num_batched_tokens, maxNumSeqs: config.max_num_seqs,
            blockSize: config.block_size, numBlocks: config.num_blocks, maxModelLen: config.max_model_len)
        result.maxNumScheduledTokens = config.max_num_scheduled_tokens
        result.maxNumActiveSeqs = config.max_num_active_seqs
        result.enableChunkedPrefill = config.enable_chunked_prefill
        result.enablePrefixCaching = config.enable_prefix_caching
        result.longPrefillTokenThreshold = config.long_prefill_token_threshold
        result.longPrefillTokenThresholdAdaptive = config.long_prefill_token_threshold_adaptive
        result.policy = config.policy
        result.asyncScheduling = config.async_scheduling
        result.schedulerReserveFullISL = config.scheduler_reserve_full_isl
        result.watermark = config.watermark
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
            result.outputTokens = request.output_tokens
            result.maxTokens = request.output_tokens
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
