import ServingCore

/// vLLM's V1 scheduler with its KV cache: decides, step by step, which request computes how many tokens.
///
/// It never asks how long a step takes. Source: `v1/core/sched/scheduler.py`, `async_scheduler.py` of vLLM
/// 0.32.0. One full-attention KV-cache group; no speculative decoding, LoRA, multimodal inputs or pipeline
/// parallelism.
public struct Scheduler: Sendable {
    /// What it was built from.
    public let configuration: SchedulerConfiguration
    var requests: [RequestState] = []
    var freeSlots: [Int32] = []
    var running = RequestList()
    var waiting: WaitingQueue
    /// Waiting requests that hold blocks, because a load brings or brought their prefix; admitted before `waiting`.
    var kvHolding: WaitingQueue
    /// The CPU tier; nil without offload.
    var offload: KVOffloader?
    /// Whether there is one: asked in every step, where looking into the tier itself would cost.
    let hasOffload: Bool
    /// Copies to or from the CPU tier that are not complete.
    var jobsUnderWay = 0
    var kv: KVCacheManager
    var cohort: DecodeCohort
    /// Running requests outside the cohort, in list order.
    var individuals: [Int32] = []
    /// Requests that left the cohort while their token of the step in flight was still to come.
    var leavers: [ScheduledRequest] = []
    /// Requests that were preempted out of the cohort while their token of the step in flight was still to come, which
    /// will be processed by itself.
    var strays: [ScheduledRequest] = []
    /// What remained in flight of cohort step `dissolvedStep` when the cohort was dissolved.
    var dissolved: [ScheduledRequest] = []
    var dissolvedStep: Int64 = -1
    var nextSequence: Int64 = 0
    /// The caller's stamp of the last update.
    var lastStamp: Int64 = -1
    var blocked = BlockedAdmission()
    /// Whether requests ended since the last `schedule()`; the next one tells the workers (`finished_req_ids`).
    var hasUnflushedFinishes = false
    let watermarkBlocks: Int
    let tokenBudget: Int
    let maxActive: Int

    /// An engine with an empty cache and no requests.
    public init(configuration: SchedulerConfiguration) {
        var configuration = configuration
        if configuration.offload != nil { configuration.exactSteps = true }
        self.configuration = configuration
        waiting = WaitingQueue(policy: configuration.policy)
        kvHolding = WaitingQueue(policy: configuration.policy)
        hasOffload = configuration.offload != nil
        offload = configuration.offload.map { KVOffloader($0, scheduler: configuration) }
        kv = KVCacheManager(configuration: configuration)
        cohort = DecodeCohort(configuration: configuration)
        watermarkBlocks = Int(configuration.watermark * Double(configuration.numBlocks))
        tokenBudget = configuration.maxNumScheduledTokens ?? configuration.maxNumBatchedTokens
        maxActive = configuration.maxNumActiveSeqs ?? configuration.maxNumSeqs
    }

    /// A request's state by now, whether or not it is in the decode cohort.
    func current(_ slot: Int32) -> RequestState {
        var request = requests[Int(slot)]
        if request.cohortStart >= 0 { cohort.bringUpToDate(&request) }
        return request
    }

    // MARK: What callers may know

    /// vLLM's `has_requests()`: whether another step is due.
    @inline(__always) public var hasRequests: Bool {
        running.count > 0 || waiting.count > 0 || hasUnflushedFinishes || kvHolding.count > 0 || hasTransfers
    }
    /// Whether copies to or from CPU memory are under way.
    @inline(__always) public var hasTransfers: Bool { jobsUnderWay > 0 }
    /// Requests in the running list.
    @inline(__always) public var runningCount: Int { running.count }
    /// Waiting requests, those whose prefix is being loaded included.
    @inline(__always) public var waitingCount: Int { waiting.count + kvHolding.count }
    /// Waiting requests that hold blocks.
    public var kvHoldingCount: Int { kvHolding.count }
    /// Free KV blocks, cached-but-unused ones included.
    @inline(__always) public var freeBlocks: Int { kv.freeBlocks }
    /// KV blocks, the null block left out.
    @inline(__always) public var usableBlocks: Int { kv.pool.capacity }

    /// Distinct block hashes in the prefix cache. O(running).
    public var distinctHashes: Int {
        guard configuration.enablePrefixCaching else { return 0 }
        var privateHeld = 0
        var slot = running.first
        while slot >= 0 {
            let blocks = current(slot).blocks
            privateHeld += Int(blocks.hashed - blocks.findable)
            slot = requests[Int(slot)].next
        }
        return kv.distinctHashes(privateHeld: privateHeld)
    }

    /// Caller's numbers of the running requests in list order. O(running).
    public var runningIDs: [Int] {
        var ids: [Int] = []
        var slot = running.first
        while slot >= 0 {
            ids.append(requests[Int(slot)].id)
            slot = requests[Int(slot)].next
        }
        return ids
    }

    /// Caller's numbers of the waiting requests in order of admission.
    public var waitingIDs: [Int] { waiting.ordered(in: requests).map { requests[Int($0)].id } }

    /// Caller's numbers of the waiting requests that hold blocks, in order of admission.
    public var kvHoldingIDs: [Int] { kvHolding.ordered(in: requests).map { requests[Int($0)].id } }

    /// The caller's number of a live request.
    public func id(of handle: RequestHandle) -> Int { requests[Int(handle.slot)].id }

    /// Whether the request has not ended.
    @inline(__always) public func isLive(_ handle: RequestHandle) -> Bool {
        requests[Int(handle.slot)].generation == handle.generation
    }

    /// Times a live request was preempted so far.
    public func preemptions(of handle: RequestHandle) -> Int { Int(requests[Int(handle.slot)].preemptions) }

    /// Output tokens of a live request so far.
    public func outputTokens(of handle: RequestHandle) -> Int { Int(current(handle.slot).outputTokens) }

    /// Prompt tokens that a live request found cached when first admitted; -1 before that.
    public func firstHitTokens(of handle: RequestHandle) -> Int {
        Int(requests[Int(handle.slot)].firstHitTokens)
    }

    // MARK: Requests come and go

    /// Puts a request at the end of the waiting queue: `add_request`.
    ///
    /// The caller rejects prompts that are not shorter than `maxModelLen` before, as vLLM's input processor does.
    /// - Parameters:
    ///   - id: the caller's number; also the last tie-break of the priority policy.
    ///   - arrivalTime: tie-break between equal priorities.
    /// - Complexity: O(shared blocks of the prompt).
    public mutating func add(
        _ request: borrowing IncomingRequest, id: Int, arrivalTime: Double
    ) -> RequestHandle {
        let slot: Int32
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = Int32(requests.count)
            requests.append(RequestState())
        }
        let generation = requests[Int(slot)].generation
        var state = RequestState()
        state.id = id
        state.generation = generation
        state.blocks = requests[Int(slot)].blocks
        state.phase = .waiting
        state.priority = Int32(clamping: request.priority)
        state.arrivalTime = arrivalTime
        state.promptTokens = Int32(request.promptTokens)
        state.numTokens = state.promptTokens
        let limit = configuration.maxModelLen
        state.maxTotalTokens = Int32(min(request.promptTokens + request.maxTokens, limit * 2))
        state.stopTotalTokens = Int32(
            min(request.promptTokens + min(request.outputTokens, request.maxTokens), limit))
        kv.open(&state.blocks, for: request, slot: slot)
        if !kv.overtaken.isEmpty { registerOvertaken() }
        if hasOffload { offload!.open(slot) }
        requests[Int(slot)] = state
        waiting.append(slot, in: &requests)
        checkInvariants()
        return RequestHandle(slot: slot, generation: generation)
    }

    /// Ends a request at once, wherever it is: `finish_requests`. Does nothing if it has ended already.
    /// - Returns: whether it was still alive.
    @discardableResult
    public mutating func abort(_ handle: RequestHandle) -> Bool {
        guard isLive(handle) else { return false }
        withdrawFromCohort(handle.slot)
        if requests[Int(handle.slot)].phase == .running {
            running.remove(handle.slot, in: &requests)
        } else if requests[Int(handle.slot)].blocks.held > 0 {
            kvHolding.remove(handle.slot, in: &requests)
        } else {
            waiting.remove(handle.slot, in: &requests)
        }
        end(handle.slot, isAborted: true)
        checkInvariants()
        return true
    }

    /// Frees what a request holds and its slot; it must be out of all queues.
    mutating func end(_ slot: Int32, isAborted: Bool) {
        if hasOffload { return endWithOffload(slot, isAborted: isAborted) }
        kv.free(&requests[Int(slot)].blocks)
        kv.close(&requests[Int(slot)].blocks)
        requests[Int(slot)].phase = .free
        requests[Int(slot)].generation &+= 1
        freeSlots.append(slot)
        hasUnflushedFinishes = true
    }

    // MARK: Invariants

    /// Checks block conservation, queue membership and limits, where the configuration asks for it.
    @inline(__always)
    mutating func checkInvariants() {
        if configuration.checksInvariants { checkEverything() }
    }

    // Mutating only in name: calling a method that isn't copies so large a struct, even before asking whether to.
    @inline(never)
    private mutating func checkEverything() {
        let live = requests.indices.filter { requests[$0].phase != .free }
        kv.checkInvariants(requests: live.map { current(Int32($0)).blocks })
        var slot = running.first
        var (count, members, sequence) = (0, 0, Int64(-1))
        while slot >= 0 {
            let request = current(slot)
            precondition(request.phase == .running, "running list: a request that is not running")
            precondition(
                request.numComputedTokens <= request.numTokens + request.placeholders,
                "request: more tokens computed than exist")
            precondition(
                Int(request.blocks.held) * configuration.blockSize >= Int(request.numComputedTokens),
                "request: computed tokens without a block")
            precondition(request.sequence > sequence, "running list: not in order of admission")
            sequence = request.sequence
            if request.cohortStart >= 0 { members += 1 }
            count += 1
            slot = request.next
        }
        precondition(members == cohort.count, "decode cohort: count is off")
        precondition(
            configuration.exactSteps || members + individuals.count == count,
            "running list: a request is neither in the cohort nor by itself")
        precondition(count == running.count, "running list: count is off")
        precondition(count <= configuration.maxNumSeqs, "running list: more than max_num_seqs")
        let queued = waiting.ordered(in: requests)
        precondition(queued.count == waiting.count, "waiting queue: count is off")
        for slot in queued {
            let request = requests[Int(slot)]
            precondition(
                request.phase == .waiting || request.phase == .preempted,
                "waiting queue: a request that is not waiting")
            precondition(request.blocks.held == 0, "waiting queue: a request that holds blocks")
        }
        let holding = kvHolding.ordered(in: requests)
        for slot in holding {
            precondition(requests[Int(slot)].blocks.held > 0, "KV-holding queue: a request without blocks")
        }
        let ended = live.count { requests[$0].phase == .ended }
        precondition(
            live.count == count + queued.count + holding.count + ended, "a request is in no queue")
        checkOffloadInvariants()
    }
}
