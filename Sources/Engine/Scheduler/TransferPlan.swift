/// One copy between GPU and CPU memory.
public struct TransferJob: Sendable, Equatable {
    /// Number of the job, in order of creation.
    public var id: Int
    /// The caller's number of the request.
    public var request: Int
    /// Chunks of the request's sequence that are copied.
    public var chunks: [Int]
    /// GPU blocks that are copied.
    public var blocks: Int

    /// The copy of `blocks` blocks that make up `chunks`.
    public init(id: Int, request: Int, chunks: [Int], blocks: Int) {
        self.id = id
        self.request = request
        self.chunks = chunks
        self.blocks = blocks
    }
}

/// What one step has the workers copy between GPU and CPU memory: vLLM's `OffloadingConnectorMetadata`.
public struct TransferPlan: Sendable, Equatable {
    /// Tokens that a load brings to a request.
    public struct ExternalHit: Sendable, Equatable {
        /// Which request.
        public var handle: RequestHandle
        /// The caller's number of the request.
        public var request: Int
        /// Tokens found in GPU memory.
        public var localTokens: Int
        /// Tokens to be loaded behind them.
        public var externalTokens: Int
    }

    /// Requests set loading, in order.
    public var externalHits: [ExternalHit] = []
    /// CPU to GPU; the workers begin them with this step.
    public var loads: [TransferJob] = []
    /// GPU to CPU; the workers begin them with the next step.
    public var stores: [TransferJob] = []
    /// Jobs that must be complete before this step computes anything, ascending.
    public var flush: [Int] = []
    /// Chunks evicted from CPU memory.
    public var evictedChunks = 0
    /// Stores refused for want of room; they are tried again in the next step.
    public var refusedStores = 0
    /// Chunks in CPU memory, those being written included.
    public var residentChunks = 0

    /// Whether any copy is asked for.
    public var hasJobs: Bool { !loads.isEmpty || !stores.isEmpty }

    /// Nothing to copy.
    public init() {}

    mutating func clear() {
        if !externalHits.isEmpty { externalHits.clear() }
        if !loads.isEmpty { loads.clear() }
        if !stores.isEmpty { stores.clear() }
        if !flush.isEmpty { flush.clear() }
        (evictedChunks, refusedStores, residentChunks) = (0, 0, 0)
    }
}
