import ServingCore

/// The candidates of the BSR-ARD design exactly as it lists them, in its order and under its names.
///
/// FLOPs and bytes are of the whole model, not per rank, rates are TFLOP/s and GB/s, and "decode tokens" is the
/// number of decode requests: `physics` has the same ideas with the units put right.
enum BSRARDFeatures {
    static let step: [StepFeature] = [
        StepFeature("constant", unit: "1", "1") { _ in [.one: 1] },
        StepFeature(
            "prefill_tokens * flops_per_token / hardware_tflops", unit: "FLOP / TFLOP/s", "prefill compute"
        ) { [.prefillTokens: ratio(2 * $0.activeParameters, $0.teraflops)] },
        StepFeature(
            "decode_tokens * kv_bytes_per_token / hardware_bandwidth", unit: "B / GB/s", "decode memory"
        ) { [.decodeRequests: ratio($0.kvBytesPerToken, $0.gigabytesPerSecond)] },
        StepFeature("batch_tokens / max_batch_tokens", unit: "1", "batch fill") {
            [.prefillTokens: ratio(1, $0.maxTokens), .decodeRequests: ratio(1, $0.maxTokens)]
        },
        StepFeature("(prefill_tokens / max_batch_tokens)^2", unit: "1", "attention scaling") {
            [.prefillTokensSquared: ratio(1, $0.maxTokens * $0.maxTokens)]
        },
        StepFeature("(decode_tokens / max_batch_tokens)^2", unit: "1", "attention scaling") {
            [.decodeRequestsSquared: ratio(1, $0.maxTokens * $0.maxTokens)]
        },
        StepFeature("prefill_tokens * decode_tokens / max_batch_tokens^2", unit: "1", "mixed batch effect") {
            [.prefillTimesDecode: ratio(1, $0.maxTokens * $0.maxTokens)]
        },
        StepFeature("prefill_tokens * kv_usage_ratio / max_batch_tokens", unit: "1", "prefill under pressure")
        {
            [.prefillTimesKvUsage: ratio(1, $0.maxTokens)]
        },
        StepFeature(
            "decode_tokens * running_depth / max_batch_tokens", unit: "requests", "decode concurrency"
        ) {
            [.decodeTimesRunning: ratio(1, $0.maxTokens)]
        },
        StepFeature("kv_usage_ratio", unit: "1", "KV pressure") { _ in [.kvUsage: 1] },
        StepFeature("kv_usage_ratio^2", unit: "1", "KV saturation") { _ in [.kvUsageSquared: 1] },
        StepFeature("1 / tp_degree", unit: "1", "tensor parallelism") {
            [.one: ratio(1, Double($0.tensorParallelSize))]
        },
        StepFeature("moe_indicator * num_active_experts / 8", unit: "1", "active experts") {
            [.one: $0.mixtureOfExperts * Double($0.expertsPerToken) / 8]
        },
        StepFeature("cpu_offload_enabled", unit: "1", "CPU offload") { [.one: $0.cpuOffload] },
        StepFeature(
            "moe_indicator * decode_tokens / hardware_bandwidth", unit: "requests / GB/s", "MoE decode"
        ) {
            [.decodeRequests: ratio($0.mixtureOfExperts, $0.gigabytesPerSecond)]
        },
        StepFeature("num_prefill_reqs", unit: "requests", "prefill requests") { _ in [.prefillRequests: 1] },
        StepFeature("num_decode_reqs", unit: "requests", "decode requests") { _ in [.decodeRequests: 1] },
        StepFeature("running_depth / max_num_seqs", unit: "1", "occupancy") {
            [.runningRequests: ratio(1, Double($0.maxNumSeqs))]
        },
    ]

    static let queue: [QueueFeature] = [
        QueueFeature("constant", "1") { _, _ in 1 },
        QueueFeature("queue_depth", "requests waiting") { state, _ in state.depth },
        QueueFeature("queue_depth / max_num_seqs", "the same, scaled") { $0.depth * $1.perSequence },
        QueueFeature("queue_depth^2 / max_num_seqs^2", "its square") {
            let scaled = $0.depth * $1.perSequence
            return scaled * scaled
        },
        QueueFeature("kv_usage_ratio", "KV pressure") { state, _ in state.kvUsageRatio },
        QueueFeature("kv_usage_ratio^2", "KV saturation") { state, _ in
            state.kvUsageRatio * state.kvUsageRatio
        },
        QueueFeature("1 / (1 - kv_usage_ratio + 0.05)", "KV pressure, bounded") { state, _ in
            1 / (1 - min(state.kvUsageRatio, 1) + 0.05)
        },
        QueueFeature("prompt_tokens / max_context_length", "prompt length") { $0.promptShare($1) },
        QueueFeature("(prompt_tokens / max_context_length)^2", "its square") {
            $0.promptShare($1) * $0.promptShare($1)
        },
        QueueFeature("queue_depth * kv_usage_ratio / max_num_seqs", "queue under pressure") {
            $0.depth * $0.kvUsageRatio * $1.perSequence
        },
        QueueFeature("prompt_tokens * kv_usage_ratio / max_context_length", "prompt under pressure") {
            $0.promptShare($1) * $0.kvUsageRatio
        },
        QueueFeature(
            "prompt_tokens * queue_depth / (max_context_length * max_num_seqs)", "long prompt in a long queue"
        ) { $0.promptShare($1) * $0.depth * $1.perSequence },
        QueueFeature("1 / tp_degree", "tensor parallelism") { ratio(1, Double($1.tensorParallelSize)) },
        QueueFeature("prefix_caching_enabled", "prefix caching") { indicator($1.prefixCaching) },
        QueueFeature("chunked_prefill_enabled", "chunked prefill") { indicator($1.chunkedPrefill) },
        QueueFeature("prefix_caching_enabled * kv_usage_ratio", "cache hits under pressure") {
            indicator($1.prefixCaching) * $0.kvUsageRatio
        },
        QueueFeature("chunked_prefill_enabled * queue_depth / max_num_seqs", "chunking in a long queue") {
            indicator($1.chunkedPrefill) * $0.depth * $1.perSequence
        },
        QueueFeature("running_depth / max_num_seqs", "occupancy") {
            Double($0.runningRequests) * $1.perSequence
        },
    ]
}

/// Quantities in the units in which the two designs write them.
extension DeploymentFacts {
    var teraflops: Double { peakFlops / 1e12 }
    var gigabytesPerSecond: Double { memoryBandwidth / 1e9 }
    var maxTokens: Double { Double(maxNumBatchedTokens) }
    var perSequence: Double { ratio(1, Double(maxNumSeqs)) }
    var cpuOffload: Double { indicator(kvOffload || offloadedWeightBytesPerRank > 0) }
    /// KV bytes of a token over all ranks.
    var kvBytesPerToken: Double { kvBytesPerTokenPerRank * Double(max(1, tensorParallelSize)) }
}

extension QueueState {
    var depth: Double { Double(waitingRequests) }

    func promptShare(_ facts: DeploymentFacts) -> Double {
        ratio(Double(promptTokens), Double(facts.maxModelLen))
    }
}
