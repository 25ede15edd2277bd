/// CPU memory as a second tier of the KV cache, as vLLM's `OffloadingConnector` with a `CPUOffloadingSpec` has it.
public struct OffloadConfiguration: Sendable, Equatable {
    /// Which chunks give way when the tier is full: `eviction_policy`.
    public enum EvictionPolicy: String, Sendable, Codable, CaseIterable {
        /// Least recently used first.
        case lru
        /// Adaptive replacement: chunks used once and chunks used again share the tier.
        case arc
    }

    /// Chunks that the tier holds.
    public var cpuChunks: Int
    /// GPU blocks in a chunk.
    public var blocksPerChunk = 1
    /// Which chunks give way.
    public var evictionPolicy = EvictionPolicy.lru
    /// Whether only prompts are stored: `offload_prompt_only`.
    public var offloadPromptOnly = true

    /// A tier of `cpuChunks` chunks of one block each, with vLLM's defaults.
    public init(cpuChunks: Int) { self.cpuChunks = cpuChunks }
}
