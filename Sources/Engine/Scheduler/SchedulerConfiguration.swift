/// The order in which waiting requests are admitted and running ones preempted: `--scheduling-policy`.
public enum SchedulingPolicy: String, Sendable, Codable, CaseIterable {
    /// First come, first served; the latest admitted is preempted first.
    case fcfs
    /// Lowest `priority` value first, then earliest arrival; the highest value is preempted first.
    case priority
}

/// Which release's rules apply. SEMANTICS differ between two families only.
public enum SchedulerVersion: String, Sendable, Codable, CaseIterable {
    /// vLLM 0.15: no full-prompt admission gate, freed blocks all go to the tail of the free queue.
    case v015 = "0.15"
    /// vLLM 0.19 to 0.32.
    case v032 = "0.32"

    var appendsAllFreedBlocks: Bool { self == .v015 }
    /// Whether a lone request is exempt from the long-prefill threshold.
    var exemptsLoneRequest: Bool { self != .v015 }
    /// Whether preempting a running request below the cursor moves the cursor even if it had no tokens yet.
    var movesCursorForAnyVictim: Bool { self != .v015 }
}

/// Everything that decides what the scheduler does, under vLLM's names.
///
/// Source: `vllm/config/scheduler.py`, `vllm/config/cache.py`; defaults come from `Catalog`.
public struct SchedulerConfiguration: Sendable, Equatable {
    /// Most tokens computed in a step.
    public var maxNumBatchedTokens: Int
    /// Most tokens scheduled in a step, where that is less.
    public var maxNumScheduledTokens: Int?
    /// Most running requests.
    public var maxNumSeqs: Int
    /// Most running requests for which new ones are admitted, where that is less.
    public var maxNumActiveSeqs: Int?
    /// Tokens per KV block.
    public var blockSize: Int
    /// KV blocks, the null block included: vLLM's `num_gpu_blocks`.
    public var numBlocks: Int
    /// Longest sequence, prompt and output together.
    public var maxModelLen: Int
    /// Whether a prompt may be computed over several steps.
    public var enableChunkedPrefill = true
    /// Whether cached blocks are shared between requests.
    public var enablePrefixCaching = true
    /// Most tokens of one request in a step; 0 for no limit.
    public var longPrefillTokenThreshold = 0
    /// Whether that limit grows when few requests compete.
    public var longPrefillTokenThresholdAdaptive = false
    /// Order of admission and preemption.
    public var policy = SchedulingPolicy.fcfs
    /// Whether a step is scheduled while the one before it runs.
    public var asyncScheduling = true
    /// Whether a request is admitted only if its whole sequence fits the free blocks.
    public var schedulerReserveFullISL = true
    /// Share of the blocks that admission leaves free.
    public var watermark = 0.0
    /// Rules of which release.
    public var version = SchedulerVersion.v032
    /// CPU memory as a second tier of the KV cache; nil without. Every request is then visited in every step.
    public var offload: OffloadConfiguration?
    /// Whether every request is visited in every step, instead of advancing decoding requests together. The
    /// schedule is the same either way; this is slower.
    public var exactSteps = false
    /// Whether every change is followed by a check of all invariants. Slow; on in debug builds.
    public var checksInvariants = _isDebugAssertConfiguration()

    /// A configuration with vLLM's defaults for what is left out.
    public init(
        maxNumBatchedTokens: Int, maxNumSeqs: Int, blockSize: Int = 16, numBlocks: Int, maxModelLen: Int
    ) {
        self.maxNumBatchedTokens = maxNumBatchedTokens
        self.maxNumSeqs = maxNumSeqs
        self.blockSize = blockSize
        self.numBlocks = numBlocks
        self.maxModelLen = maxModelLen
    }
}
