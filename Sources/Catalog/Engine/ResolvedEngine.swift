/// An engine configuration with nothing left open: what vLLM would print at start-up.
public struct ResolvedEngine: Sendable, Equatable {
    /// The release whose rules apply.
    public var version: EngineVersion
    /// How the model is spread.
    public var layout: ParallelLayout
    /// Arithmetic of what isn't quantised: `bfloat16`, `float16` or `float32`.
    public var dtype: String
    /// `auto` resolved: `bfloat16`, `float16`, `float32` or an `fp8` kind.
    public var kvCacheDtype: String
    /// Bytes of one cached key or value element.
    public var cacheElementBytes: Double
    /// Longest sequence, prompt and output.
    public var maxModelLen: Int
    /// Whether `maxModelLen` is to be the longest that fits.
    public var fitsMaxModelLen: Bool
    /// Tokens of one step at most.
    public var maxNumBatchedTokens: Int
    /// Running requests at most.
    public var maxNumSeqs: Int
    /// `max_num_active_seqs`; nil for no such limit.
    public var maxNumActiveSeqs: Int?
    /// `max_num_scheduled_tokens`; nil for `maxNumBatchedTokens`.
    public var maxNumScheduledTokens: Int?
    /// Share of the GPU's memory that the engine takes.
    public var gpuMemoryUtilization: Double
    /// `num_gpu_blocks_override`.
    public var numGPUBlocksOverride: Int?
    /// `kv_cache_memory_bytes`.
    public var kvCacheMemoryBytes: Int?
    /// Tokens per KV block.
    public var blockSize: Int
    /// Whether full blocks are found again by content.
    public var enablePrefixCaching: Bool
    /// Whether a prompt may be computed over several steps.
    public var enableChunkedPrefill: Bool
    /// Whether a step is scheduled before the output of the one before it is known.
    public var asyncScheduling: Bool
    /// Order of the waiting queue and choice of the victim of preemption.
    public var schedulingPolicy: EngineConfiguration.SchedulingPolicy
    /// Tokens of one prompt in one step at most; 0 for no such limit.
    public var longPrefillTokenThreshold: Int
    /// Whether that limit rises when few requests are there.
    public var longPrefillTokenThresholdAdaptive: Bool
    /// Share of the blocks kept free at admission.
    public var watermark: Double
    /// Whether a request is admitted only if its whole prompt fits.
    public var schedulerReserveFullISL: Bool
    /// Whether blocks without a hash are freed to the head of the free queue.
    public var freesUnhashedBlocksFirst: Bool
    /// Whether CUDA graphs are off.
    public var enforceEager: Bool
    /// Captured token counts, ascending; empty with `enforceEager`.
    public var cudagraphCaptureSizes: [Int]
    /// Whether windowed layers keep only their window.
    public var hybridKVCacheManager: Bool
    /// KV offload to CPU memory; nil without.
    public var kvOffload: KVOffload?
    /// Bytes of weights kept in host memory, per GPU.
    public var cpuOffloadBytes: Double
    /// Seed of the engine.
    public var seed: Int
    /// Arguments that were given and change nothing here.
    public var withoutEffect: [String]

    /// CPU memory as a second tier of the KV cache (`OffloadingConnector`).
    public struct KVOffload: Sendable, Equatable {
        /// CPU bytes over all ranks of one engine.
        public var cpuBytes: Double
        /// Tokens of one offloaded chunk; nil for the GPU's block size.
        public var blockSize: Int?
        /// Whether only prompts are offloaded.
        public var promptOnly: Bool
        /// Which chunks give way when the memory is full.
        public var evictionPolicy = EvictionPolicy.lru

        /// `eviction_policy`.
        public enum EvictionPolicy: String, Sendable, CaseIterable {
            /// Least recently used first.
            case lru
            /// Adaptive replacement cache.
            case arc
        }
    }
}
