import ServingCore

/// What a person said about the engine, by vLLM's names; nil where they said nothing and vLLM decides.
///
/// Comes from the command line, a pasted `vllm serve` line, vLLM's `--config` YAML or a scenario. `resolve` fills in
/// what vLLM would.
public struct EngineConfiguration: Sendable, Equatable {
    /// `--model`, or the argument of `vllm serve`.
    public var model: String?
    /// `--hf-overrides`, a JSON object.
    public var hfOverrides: ConfigValue?
    /// `--dtype`.
    public var dtype: String?
    /// `--quantization`.
    public var quantization: String?
    /// `--kv-cache-dtype`.
    public var kvCacheDtype: String?
    /// `--max-model-len`.
    public var maxModelLen: MaxModelLen?
    /// `--tensor-parallel-size`.
    public var tensorParallelSize: Int?
    /// `--data-parallel-size`.
    public var dataParallelSize: Int?
    /// `--enable-expert-parallel`.
    public var enableExpertParallel: Bool?
    /// `--max-num-batched-tokens`.
    public var maxNumBatchedTokens: Int?
    /// `--max-num-seqs`.
    public var maxNumSeqs: Int?
    /// `--max-num-active-seqs`.
    public var maxNumActiveSeqs: Int?
    /// `--max-num-scheduled-tokens`.
    public var maxNumScheduledTokens: Int?
    /// `--gpu-memory-utilization`.
    public var gpuMemoryUtilization: Double?
    /// `--num-gpu-blocks-override`.
    public var numGPUBlocksOverride: Int?
    /// `--kv-cache-memory-bytes`.
    public var kvCacheMemoryBytes: Int?
    /// `--block-size`.
    public var blockSize: Int?
    /// `--enable-prefix-caching`.
    public var enablePrefixCaching: Bool?
    /// `--enable-chunked-prefill`.
    public var enableChunkedPrefill: Bool?
    /// `--async-scheduling`.
    public var asyncScheduling: Bool?
    /// `--scheduling-policy`.
    public var schedulingPolicy: SchedulingPolicy?
    /// `--long-prefill-token-threshold`.
    public var longPrefillTokenThreshold: Int?
    /// `--long-prefill-token-threshold-adaptive`.
    public var longPrefillTokenThresholdAdaptive: Bool?
    /// `--watermark`.
    public var watermark: Double?
    /// `--scheduler-reserve-full-isl`.
    public var schedulerReserveFullISL: Bool?
    /// `--enforce-eager`.
    public var enforceEager: Bool?
    /// `--cudagraph-capture-sizes`.
    public var cudagraphCaptureSizes: [Int]?
    /// `--max-cudagraph-capture-size`.
    public var maxCudagraphCaptureSize: Int?
    /// `--performance-mode`.
    public var performanceMode: PerformanceMode?
    /// `--disable-hybrid-kv-cache-manager`.
    public var disableHybridKVCacheManager: Bool?
    /// `--disable-sliding-window`.
    public var disableSlidingWindow: Bool?
    /// `--kv-offloading-size`, GiB over all tensor-parallel ranks.
    public var kvOffloadingSize: Double?
    /// `--kv-transfer-config`, a JSON object.
    public var kvTransferConfig: ConfigValue?
    /// `--cpu-offload-gb`, GiB of weights per GPU.
    public var cpuOffloadGB: Double?
    /// `--seed`.
    public var seed: Int?

    /// Flags that were given and change nothing in a forecast, in order.
    public var withoutEffect: [String] = []

    /// Nothing said.
    public init() {}

    /// Value of `--max-model-len`.
    public enum MaxModelLen: Sendable, Equatable {
        /// Tokens.
        case tokens(Int)
        /// `auto` or -1: the longest that fits.
        case auto
    }

    /// Value of `--scheduling-policy`.
    public enum SchedulingPolicy: String, Sendable, CaseIterable {
        /// First come, first served.
        case fcfs
        /// By the request's priority.
        case priority
    }

    /// Value of `--performance-mode`.
    public enum PerformanceMode: String, Sendable, CaseIterable {
        /// The default.
        case balanced
        /// More CUDA graphs for small batches.
        case interactivity
        /// Twice the batch limits.
        case throughput
    }

    /// Fields set in `other` replace these.
    public mutating func override(with other: EngineConfiguration) {
        func take<T>(_ path: WritableKeyPath<EngineConfiguration, T?>) {
            if let value = other[keyPath: path] { self[keyPath: path] = value }
        }
        take(\.model); take(\.hfOverrides); take(\.dtype); take(\.quantization); take(\.kvCacheDtype)
        take(\.maxModelLen); take(\.tensorParallelSize); take(\.dataParallelSize);
        take(\.enableExpertParallel)
        take(\.maxNumBatchedTokens); take(\.maxNumSeqs); take(\.maxNumActiveSeqs);
        take(\.maxNumScheduledTokens)
        take(\.gpuMemoryUtilization); take(\.numGPUBlocksOverride); take(\.kvCacheMemoryBytes);
        take(\.blockSize)
        take(\.enablePrefixCaching); take(\.enableChunkedPrefill); take(\.asyncScheduling);
        take(\.schedulingPolicy)
        take(\.longPrefillTokenThreshold); take(\.longPrefillTokenThresholdAdaptive); take(\.watermark)
        take(\.schedulerReserveFullISL); take(\.enforceEager); take(\.cudagraphCaptureSizes)
        take(\.maxCudagraphCaptureSize); take(\.performanceMode); take(\.disableHybridKVCacheManager)
        take(\.disableSlidingWindow); take(\.kvOffloadingSize); take(\.kvTransferConfig); take(\.cpuOffloadGB)
        take(\.seed)
        withoutEffect += other.withoutEffect
    }
}
