/// The scheduler's side of vLLM's `OffloadingConnector`: what it knows of requests, of jobs under way, and of blocks
/// that jobs still read.
///
/// Source: `distributed/kv_transfer/kv_connector/v1/offloading/scheduler.py`.
struct KVOffloader {
    /// A copy under way.
    struct Job {
        var slot: Int32
        var isStore: Bool
        var keys: [Int32]
        /// Blocks that a store reads.
        var source: [Int32]
    }

    /// What is known of the request in a slot.
    struct Request {
        /// Chunks from the start that were offered for storing or came from CPU memory.
        var offeredChunks = 0
        /// Chunks that it stored, offered again or loaded, and of these the ones it didn't store itself.
        var seen = ChunkSet()
        var reused = ChunkSet()
        /// Its jobs under way, ascending.
        var jobs: [Int] = []
        /// Whether its load is complete and no `schedule()` has noticed yet.
        var hasReceived = false
        /// Whether it has tokens to prefill whose blocks a load may not take.
        var isPrefilling = false
        /// After its end: whether its blocks were known to hold computed tokens, and how many tokens.
        var canStore = false
        var storableTokens = 0
        /// After its end: whether a `schedule()` has told the workers.
        var isSignalled = false
        /// After its end: whether it still holds its blocks, and the step whose output must come before they are free.
        var holdsBlocks = false
        var freeAfterStep: Int64 = -1
    }

    let configuration: OffloadConfiguration
    let chunkTokens: Int
    var tier: OffloadTier
    var blocks: BlockIdentities
    var requests: [Request] = []
    var jobs: [Int: Job] = [:]
    var nextJob = 0
    /// Slots of requests that ended since the last `schedule()`, in order.
    var finished: [Int32] = []
    /// Jobs that read blocks of requests that have ended.
    var pendingReaders: [Int32: [Int]] = [:]
    /// Requests that are loading or mid-prefill.
    var prefilling: [Int32] = []
    /// By block: the step in which it was last given to a request.
    var allocatedIn: [Int64]
    /// Ended requests whose blocks wait for a step in flight, in order.
    var deferredFrees: [Int32] = []
    var scheduledSteps: Int64 = 0
    var processedSteps: Int64 = 0
    /// GPU blocks of the stores that the workers begin with the next step.
    var blocksToStoreNext = 0
    // Storage of calls.
    var keys: [Int32] = []
    var accepted: [Int] = []

    init(_ configuration: OffloadConfiguration, scheduler: SchedulerConfiguration) {
        self.configuration = configuration
        chunkTokens = configuration.blocksPerChunk * scheduler.blockSize
        tier = OffloadTier(capacity: configuration.cpuChunks, policy: configuration.evictionPolicy)
        blocks = BlockIdentities(
            capacity: scheduler.numBlocks - 1, unhashedFirst: !scheduler.version.appendsAllFreedBlocks)
        allocatedIn = Array(repeating: -1, count: scheduler.numBlocks)
    }

    mutating func open(_ slot: Int32) {
        blocks.open(slot)
        while requests.count <= Int(slot) { requests.append(Request()) }
        requests[Int(slot)] = Request()
    }

    mutating func setPrefilling(_ slot: Int32, _ isPrefilling: Bool) {
        guard requests[Int(slot)].isPrefilling != isPrefilling else { return }
        requests[Int(slot)].isPrefilling = isPrefilling
        if isPrefilling { prefilling.append(slot) } else { prefilling.removeAll { $0 == slot } }
    }

    /// Whether copies for a request are under way.
    func hasJobs(_ slot: Int32) -> Bool { !requests[Int(slot)].jobs.isEmpty }

    /// A job begins.
    mutating func begin(_ job: Job) -> Int {
        let id = nextJob
        nextJob += 1
        requests[Int(job.slot)].jobs.append(id)
        jobs[id] = job
        return id
    }

    /// The blocks that a job reads may be given away from now on, but then the job must be waited for.
    mutating func fence(_ id: Int) {
        for block in jobs[id]!.source { pendingReaders[block, default: []].append(id) }
    }

    mutating func liftFence(_ id: Int, _ job: Job) {
        for block in job.source {
            guard var readers = pendingReaders[block] else { continue }
            readers.removeAll { $0 == id }
            pendingReaders[block] = readers.isEmpty ? nil : readers
        }
    }

    /// Notes that a block was given to a request in this step, and which jobs must be waited for because of it.
    mutating func allocated(_ block: Int32, flush: inout [Int]) {
        allocatedIn[Int(block)] = scheduledSteps
        if let readers = pendingReaders[block] { flush += readers }
    }

    func isAllocatedNow(_ block: Int32) -> Bool { allocatedIn[Int(block)] == scheduledSteps }
}

/// A set of chunk numbers.
struct ChunkSet {
    private var words: [UInt64] = []

    func contains(_ chunk: Int) -> Bool {
        chunk >> 6 < words.count && words[chunk >> 6] >> UInt64(chunk & 63) & 1 == 1
    }

    mutating func insert(_ chunk: Int) {
        while words.count <= chunk >> 6 { words.append(0) }
        words[chunk >> 6] |= 1 << UInt64(chunk & 63)
    }

    /// One past the highest number there may be.
    var end: Int { words.count * 64 }
}
