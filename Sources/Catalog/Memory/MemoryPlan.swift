import ServingCore

/// How one GPU's memory is spent and how many KV blocks are left: vLLM's start-up profiling as one formula.
///
///     available = total x gpu_memory_utilization
///               - weights                      (checkpoint's share, absorbed latent projections; less cpu_offload_gb)
///               - rotary table                 (max position x rotary size x 2 bytes, once)
///               - activations                  (peak of a dummy step of max_num_batched_tokens: the widest layer, or sampling)
///               - communication                (NCCL and custom all-reduce buffers, more than one rank only)
///               - runtime                      (cuBLAS workspace, loaded kernels, persistent inputs)
///               - CUDA graphs                  (only from 0.21 on, as vLLM does; before, they lie outside the budget)
///     blocks    = available / bytes per block
///
/// Sources: `v1/worker/gpu_worker.py: determine_available_memory`, `utils/mem_utils.py: memory_profiling`,
/// `v1/core/kv_cache_utils.py`. The constants are documented in `MemoryOverheads`; none depends on the model.
public struct MemoryPlan: Sendable, Equatable {
    /// One term of the formula.
    public struct Term: Sendable, Equatable {
        /// What it is.
        public var name: String
        /// Bytes per GPU.
        public var bytes: Double
    }

    /// What CUDA reports as total.
    public var totalBytes: Double
    /// Total times `gpu_memory_utilization`.
    public var requestedBytes: Double
    /// What is taken off, in the order of the formula; empty when the profiling is bypassed.
    public var terms: [Term]
    /// Left for the KV cache.
    public var availableBytes: Double
    /// Bytes of one block: all layers of one group.
    public var bytesPerBlock: Double
    /// Groups of layers that share the pool, each with blocks of its own for every request.
    public var groups: [CacheGroup]
    /// Blocks of the pool, as vLLM logs them.
    public var numGPUBlocks: Int
    /// Tokens per block.
    public var blockSize: Int
    /// Longest sequence: the given one, or the longest that fits with `--max-model-len auto`.
    public var maxModelLen: Int
    /// What decided the block count.
    public var basis: Basis
    /// Tokens of one step at most; bounds what a windowed group holds.
    var maxNumBatchedTokens: Int

    /// What decided the block count.
    public enum Basis: String, Sendable {
        /// The formula.
        case gpuMemoryUtilization = "gpu_memory_utilization"
        /// `--kv-cache-memory-bytes`.
        case kvCacheMemoryBytes = "kv_cache_memory_bytes"
        /// `--num-gpu-blocks-override`.
        case numGPUBlocksOverride = "num_gpu_blocks_override"
    }

    /// Layers that cache alike and use a block together.
    public struct CacheGroup: Sendable, Equatable {
        /// Layers in it.
        public var layers: Int
        /// Which tokens stay cached.
        public var span: AttentionSpan
        /// Whether it keeps one state per request instead of tokens.
        public var isState: Bool
    }

    /// Blocks that requests can use: vLLM keeps one as the null block.
    public var usableBlocks: Int { max(0, numGPUBlocks - 1) }

    /// Blocks that a request of `tokens` tokens holds, all groups together.
    public func blocks(forTokens tokens: Int) -> Double {
        let size = Double(blockSize)
        let full = (Double(max(0, tokens)) / size).rounded(.up)
        return groups.reduce(0) { sum, group in
            if group.isState { return sum + 1 }
            switch group.span {
            case .full: return sum + full
            case .sliding(let window):
                let held = Double(window - 1) + Double(maxNumBatchedTokens)
                return sum + min(full, (held / size).rounded(.up) + 1)
            case .chunked(let chunk):
                let held = Double(chunk) + Double(maxNumBatchedTokens)
                return sum + min(full, (held / size).rounded(.up))
            }
        }
    }

    /// Blocks a running request of `tokens` tokens holds in a steady state: of a windowed group only the window.
    func steadyBlocks(forTokens tokens: Int) -> Double {
        let size = Double(blockSize)
        let full = (Double(max(0, tokens)) / size).rounded(.up)
        return groups.reduce(0) { sum, group in
            if group.isState { return sum + 1 }
            guard let window = group.span.window else { return sum + full }
            return sum + min(full, (Double(window) / size).rounded(.up) + 1)
        }
    }

    /// Usable blocks of a pool in which every request of `contextTokens` tokens holds `contextTokens / blockSize` of them,
    /// such that as many requests fit: the size of the pool for a simulation that knows only one group. Equals
    /// `usableBlocks` for a model without windows and recurrent layers.
    public func equivalentBlocks(contextTokens: Int) -> Int {
        guard groups.count > 1 || groups.first?.span.window != nil || groups.first?.isState == true else {
            return usableBlocks
        }
        let plain = (Double(max(1, contextTokens)) / Double(blockSize)).rounded(.up)
        let scaled = Double(usableBlocks) * plain / max(1, steadyBlocks(forTokens: contextTokens))
        return Int(min(scaled, 1e15))
    }

    /// The formula with its numbers, one term a line, as printed with a forecast.
    public var lines: [String] {
        func line(_ name: String, _ bytes: Double) -> String {
            let text = MemoryPlan.gib(bytes)
            let dots = String(repeating: " ", count: max(1, 24 - name.count))
            return name + dots + String(repeating: " ", count: max(0, 8 - text.count)) + text + " GiB"
        }
        var lines = [line("GPU memory", totalBytes)]
        if basis == .gpuMemoryUtilization { lines.append(line("requested", requestedBytes)) }
        lines += terms.map { line("- " + $0.name, $0.bytes) }
        if basis != .numGPUBlocksOverride { lines.append(line("= KV cache", availableBytes)) }
        lines.append("KV blocks: \(numGPUBlocks) of \(blockSize) tokens (from \(basis.rawValue))")
        return lines
    }

    /// Requests of `maxModelLen` tokens that fit at once: vLLM's "Maximum concurrency".
    public var maxConcurrency: Double { Double(usableBlocks) / max(1, blocks(forTokens: maxModelLen)) }
}
