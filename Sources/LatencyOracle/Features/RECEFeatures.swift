import ServingCore

/// The candidates of the RECE design exactly as it lists them (16 for the queue, 20 for the step), in its order
/// and under its names. Bandwidths are GB/s, latency microseconds, KV transfers counted in blocks, and tokens
/// per expert is batch tokens x active experts / experts, which the design leaves undefined.
enum RECEFeatures {
    static let step: [StepFeature] =
        BSRARDFeatures.step.filter { shared.contains($0.name) } + [
            StepFeature(
                "(tp_degree - 1) * batch_tokens / interconnect_bandwidth", unit: "tokens / GB/s",
                "all-reduce cost"
            ) {
                let perToken = ratio(Double($0.tensorParallelSize - 1), $0.interconnectBandwidth / 1e9)
                return [.prefillTokens: perToken, .decodeRequests: perToken]
            },
            StepFeature(
                "(tp_degree - 1) * running_depth / interconnect_latency", unit: "requests / us",
                "synchronisation cost"
            ) {
                [.runningRequests: ratio(Double($0.tensorParallelSize - 1), $0.interconnectLatency * 1e6)]
            },
            StepFeature(
                "cpu_offload_enabled * kv_blocks_to_offload / pcie_bandwidth", unit: "blocks / GB/s",
                "offload"
            ) { [.blocksToOffload: $0.cpuOffload * ratio(1, $0.hostLinkBandwidth / 1e9)] },
            StepFeature(
                "cpu_offload_enabled * kv_blocks_to_restore / pcie_bandwidth", unit: "blocks / GB/s",
                "restore"
            ) { [.blocksToRestore: $0.cpuOffload * ratio(1, $0.hostLinkBandwidth / 1e9)] },
            StepFeature("moe_indicator * expert_parallel_degree", unit: "ranks", "expert parallelism") {
                [.one: $0.mixtureOfExperts * Double($0.expertParallelSize)]
            },
            StepFeature(
                "moe_indicator * tokens_per_expert * expert_flops / hardware_tflops", unit: "FLOP / TFLOP/s",
                "expert compute"
            ) {
                let tokensPerExpert = ratio(Double($0.expertsPerToken), Double($0.experts))
                let perToken =
                    $0.mixtureOfExperts * tokensPerExpert * ratio($0.expertFlopsPerTokenPerRank, $0.teraflops)
                return [.prefillTokens: perToken, .decodeRequests: perToken]
            },
        ]

    /// Features that the design takes over from BSR-ARD.
    private static let shared: Set<String> = [
        "constant", "prefill_tokens * flops_per_token / hardware_tflops",
        "decode_tokens * kv_bytes_per_token / hardware_bandwidth", "batch_tokens / max_batch_tokens",
        "(prefill_tokens / max_batch_tokens)^2", "(decode_tokens / max_batch_tokens)^2",
        "prefill_tokens * decode_tokens / max_batch_tokens^2",
        "prefill_tokens * kv_usage_ratio / max_batch_tokens",
        "decode_tokens * running_depth / max_batch_tokens", "kv_usage_ratio", "kv_usage_ratio^2",
        "1 / tp_degree", "moe_indicator * num_active_experts / 8", "cpu_offload_enabled",
    ]

    static let queue: [QueueFeature] =
        BSRARDFeatures.queue.filter { sharedQueue.contains($0.name) } + [
            QueueFeature("tp_degree > 1", "communication exists") { indicator($1.tensorParallelSize > 1) },
            QueueFeature("(tp_degree - 1) * prompt_tokens / interconnect_bandwidth", "communication cost") {
                ratio(
                    Double($1.tensorParallelSize - 1) * Double($0.promptTokens),
                    $1.interconnectBandwidth / 1e9)
            },
            QueueFeature("running_depth / max_num_seqs", "occupancy") {
                Double($0.runningRequests) * $1.perSequence
            },
            QueueFeature("running_depth * kv_usage_ratio / max_num_seqs", "occupancy under pressure") {
                Double($0.runningRequests) * $0.kvUsageRatio * $1.perSequence
            },
        ]

    private static let sharedQueue: Set<String> = [
        "constant", "queue_depth / max_num_seqs", "queue_depth^2 / max_num_seqs^2", "kv_usage_ratio",
        "kv_usage_ratio^2", "prompt_tokens / max_context_length", "(prompt_tokens / max_context_length)^2",
        "queue_depth * kv_usage_ratio / max_num_seqs", "prompt_tokens * kv_usage_ratio / max_context_length",
        "1 / tp_degree", "prefix_caching_enabled", "chunked_prefill_enabled",
    ]
}
