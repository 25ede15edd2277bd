import ServingCore

/// What one engine copied between GPU and host memory. Bytes are those of one rank; every rank copies as many.
public struct KVTransferMetrics: Equatable, Sendable {
    /// Copies from host to GPU memory, one per request that had its prefix loaded.
    public var loads = 0
    /// Copies from GPU to host memory.
    public var stores = 0
    /// Bytes loaded, per rank.
    public var bytesToDevice = 0.0
    /// Bytes stored, per rank.
    public var bytesToHost = 0.0
    /// Time in which the link carried data to the GPU, weights included.
    public var busyToDevice: Ticks = 0
    /// Time in which it carried data to the host.
    public var busyToHost: Ticks = 0
    /// Sum over loads of the time from submission to the last byte.
    public var loadTime: Ticks = 0
    /// The longest of these.
    public var longestLoad: Ticks = 0
    /// Steps that waited for a store because its blocks were given away.
    public var flushes = 0
    /// Time they waited.
    public var flushTime: Ticks = 0
    /// Chunks evicted from host memory.
    public var evictedChunks = 0
    /// Times that a store was refused for want of room; it is tried again in the next step.
    public var refusedStores = 0
    /// Most chunks in host memory at once.
    public var peakResidentChunks = 0

    /// Nothing copied.
    public init() {}

    /// Adds what another engine copied.
    mutating func add(_ other: KVTransferMetrics) {
        loads += other.loads
        stores += other.stores
        bytesToDevice += other.bytesToDevice
        bytesToHost += other.bytesToHost
        busyToDevice += other.busyToDevice
        busyToHost += other.busyToHost
        loadTime += other.loadTime
        longestLoad = max(longestLoad, other.longestLoad)
        flushes += other.flushes
        flushTime += other.flushTime
        evictedChunks += other.evictedChunks
        refusedStores += other.refusedStores
        peakResidentChunks = max(peakResidentChunks, other.peakResidentChunks)
    }
}

/// The CPU tier of the KV cache in one simulation; all engines together.
public struct OffloadMetrics: Equatable, Sendable {
    /// Chunks that each engine's tier holds.
    public var cpuChunks = 0
    /// GPU blocks in a chunk.
    public var blocksPerChunk = 1
    /// Bytes of host memory for the tier, all ranks of one engine.
    public var cpuBytes = 0.0
    /// Prompt tokens that were looked up at first admission.
    public var promptTokens = 0
    /// Of these, tokens found in GPU memory.
    public var gpuHitTokens = 0
    /// Tokens loaded from host memory.
    public var cpuHitTokens = 0
    /// What crossed the links.
    public var transfers = KVTransferMetrics()
    /// Share of the simulated time in which a link carried data to the GPU, mean over engines.
    public var linkUtilizationToDevice = 0.0
    /// The same to the host.
    public var linkUtilizationToHost = 0.0

    /// Nothing looked up.
    public init() {}

    /// Tokens that had to be computed.
    public var missedTokens: Int { promptTokens - gpuHitTokens - cpuHitTokens }
    /// Mean milliseconds from submission of a load to its last byte.
    public var meanLoadTime: Double {
        transfers.loads > 0 ? transfers.loadTime.seconds * 1e3 / Double(transfers.loads) : 0
    }
}
