import ServingCore

/// Stores to CPU memory, and the end of requests and transfers.
///
/// Source: `offloading/scheduler.py: build_connector_meta, request_finished, update_connector_output`.
extension Scheduler {
    /// Offers what this step computes and what ended requests leave behind to CPU memory, and names the copies that
    /// this step has to wait for because their blocks were given away.
    mutating func planTransfers(_ batch: inout Batch) {
        let (evictions, refusals) = (offload!.tier.evictions, offload!.tier.refusals)
        for share in batch.requests {
            let slot = share.handle.slot
            let table = offload!.blocks.tables[Int(slot)]
            let first = share.kind == .running ? offload!.blocks.heldBefore[Int(slot)] : 0
            for i in first..<max(first, table.count) {
                offload!.allocated(table[i], flush: &batch.transfers.flush)
            }
        }
        for share in batch.requests {
            let tokens = Int(share.computedTokens + share.tokens)
            store(share.handle.slot, tokens: tokens, batch: &batch)
        }
        for slot in offload!.finished where offload!.requests[Int(slot)].canStore {
            store(slot, tokens: offload!.requests[Int(slot)].storableTokens, batch: &batch)
        }
        for slot in offload!.finished {
            offload!.requests[Int(slot)].isSignalled = true
            touchSeenChunks(slot)
            closeIfDone(slot)
        }
        offload!.finished.removeAll(keepingCapacity: true)

        if !batch.transfers.flush.isEmpty { batch.transfers.flush = Set(batch.transfers.flush).sorted() }
        batch.transfers.evictedChunks = offload!.tier.evictions - evictions
        batch.transfers.refusedStores = offload!.tier.refusals - refusals
        batch.transfers.residentChunks = offload!.tier.residentCount
        batch.state.blocksToOffload = offload!.blocksToStoreNext
        batch.state.blocksToRestore = batch.transfers.loads.reduce(0) { $0 + $1.blocks }
        offload!.blocksToStoreNext = batch.transfers.stores.reduce(0) { $0 + $1.blocks }
    }

    /// Offers a request's full chunks within `tokens` tokens that were not offered before.
    private mutating func store(_ slot: Int32, tokens: Int, batch: inout Batch) {
        let i = Int(slot)
        let perChunk = offload!.configuration.blocksPerChunk
        var tokens = min(tokens, Int(requests[i].numTokens))
        if offload!.configuration.offloadPromptOnly { tokens = min(tokens, Int(requests[i].promptTokens)) }
        let end = min(tokens / offload!.chunkTokens, offload!.blocks.tables[i].count / perChunk)
        let first = offload!.requests[i].offeredChunks
        guard end > first else { return }
        kv.extendKeys(&requests[i].blocks, toTokens: Int(requests[i].numTokens))
        let keys = (first..<end).map { chunkKey(slot, $0) }
        for (position, key) in keys.enumerated() {
            let residence = offload!.tier.residence(of: key)
            if residence != .beingWritten { offload!.requests[i].seen.insert(first + position) }
            if residence == .ready { offload!.requests[i].reused.insert(first + position) }
        }
        var accepted: [Int] = []
        guard offload!.tier.prepareStore(keys, accepted: &accepted, index: &kv.index) else { return }
        offload!.requests[i].offeredChunks = end
        guard !accepted.isEmpty else { return }

        let table = offload!.blocks.tables[i]
        let chunks = accepted.map { first + $0 }
        let source = chunks.flatMap { table[$0 * perChunk..<($0 + 1) * perChunk] }
        let job = KVOffloader.Job(slot: slot, isStore: true, keys: accepted.map { keys[$0] }, source: source)
        let id = offload!.begin(job)
        batch.transfers.stores.append(
            TransferJob(id: id, request: requests[i].id, chunks: chunks, blocks: source.count))
        if requests[i].phase == .ended {
            offload!.fence(id)
            if source.contains(where: { offload!.isAllocatedNow($0) }) { batch.transfers.flush.append(id) }
        }
    }

    /// Makes the chunks of an ended request the most recently used, the head of its sequence last.
    private mutating func touchSeenChunks(_ slot: Int32) {
        let request = offload!.requests[Int(slot)]
        for chunk in (0..<request.seen.end).reversed() where request.seen.contains(chunk) {
            offload!.tier.touch(chunkKey(slot, chunk), isReuse: request.reused.contains(chunk))
        }
    }

    // MARK: Ends

    /// Ends a request, which must be out of all queues. Its slot stays until copies of it are complete, its blocks
    /// until nothing can write them any more.
    mutating func endWithOffload(_ slot: Int32, isAborted: Bool) {
        let i = Int(slot)
        for id in offload!.requests[i].jobs { offload!.fence(id) }
        offload!.setPrefilling(slot, false)
        let computed = isAborted ? requests[i].numComputedTokens : requests[i].numTokens - 1
        let storable = isAborted ? computed : max(requests[i].promptTokens, computed)
        offload!.requests[i].canStore = requests[i].phase == .running
        offload!.requests[i].storableTokens = Int(storable)
        offload!.finished.append(slot)
        let isLoading = requests[i].phase == .loading && !offload!.requests[i].hasReceived
        let isWritten = configuration.asyncScheduling && requests[i].inFlightTokens > 0
        if requests[i].blocks.held > 0 && (isLoading || isWritten) {
            offload!.requests[i].holdsBlocks = true
            offload!.requests[i].freeAfterStep = isLoading ? .max : offload!.scheduledSteps
            offload!.deferredFrees.append(slot)
        } else {
            freeBlocks(slot)
        }
        requests[i].phase = .ended
        requests[i].generation &+= 1
        hasUnflushedFinishes = true
    }

    /// The output of one more step was processed: no step up to that one writes blocks any more.
    mutating func freeDeferred() {
        guard !offload!.deferredFrees.isEmpty else { return }
        let processed = offload!.processedSteps
        let due = offload!.deferredFrees.filter { offload!.requests[Int($0)].freeAfterStep <= processed }
        for slot in due { freeHeldBlocks(slot) }
    }

    private mutating func freeHeldBlocks(_ slot: Int32) {
        offload!.deferredFrees.removeAll { $0 == slot }
        offload!.requests[Int(slot)].holdsBlocks = false
        freeBlocks(slot)
        closeIfDone(slot)
    }

    /// Copies are complete; see `EngineCore.completeTransfers`.
    mutating func completeTransfers(_ ids: [Int]) {
        for id in ids {
            guard let job = offload?.jobs.removeValue(forKey: id) else { continue }
            for key in job.keys {
                if job.isStore { offload!.tier.finishWriting(key) } else { offload!.tier.finishReading(key) }
            }
            let i = Int(job.slot)
            offload!.requests[i].jobs.removeAll { $0 == id }
            let isEnded = requests[i].phase == .ended
            if isEnded { offload!.liftFence(id, job) }
            if !job.isStore {
                offload!.requests[i].hasReceived = true
                if isEnded && offload!.requests[i].holdsBlocks { freeHeldBlocks(job.slot) }
            }
            if isEnded { closeIfDone(job.slot) }
        }
        if hasOffload { jobsUnderWay = offload!.jobs.count }
        checkInvariants()
    }

    /// Gives an ended request's slot back once nothing needs it.
    private mutating func closeIfDone(_ slot: Int32) {
        let i = Int(slot)
        let request = offload!.requests[i]
        guard requests[i].phase == .ended, request.isSignalled, request.jobs.isEmpty, !request.holdsBlocks
        else { return }
        kv.close(&requests[i].blocks)
        offload!.blocks.clear(slot)
        requests[i].phase = .free
        freeSlots.append(slot)
    }

    // MARK: Invariants

    /// Checks the CPU tier, the jobs and the identities of blocks against each other. O(blocks + chunks).
    func checkOffloadInvariants() {
        guard let offload else { return }
        precondition(offload.blocks.freeCount == kv.freeBlocks, "block identities: free count is off")
        var readers: [Int32: Int32] = [:]
        for job in offload.jobs.values {
            for key in job.keys {
                precondition(!job.isStore || readers[key] == nil, "chunk: written while in another transfer")
                readers[key] = job.isStore ? -1 : readers[key, default: 0] + 1
            }
            precondition(
                !job.isStore || job.source.count == job.keys.count * offload.configuration.blocksPerChunk,
                "store: blocks are lost or doubled")
        }
        offload.tier.checkInvariants(readers: readers)
        for slot in requests.indices where requests[slot].phase != .free && requests[slot].phase != .ended {
            let table = offload.blocks.tables[slot]
            precondition(table.count == Int(requests[slot].blocks.held), "block identities: table is off")
            precondition(
                requests[slot].blocks.hashed == requests[slot].blocks.findable,
                "offload: a hashed block that nobody can find")
        }
        for slot in offload.prefilling {
            precondition(
                requests[Int(slot)].phase == .running || requests[Int(slot)].phase == .loading
                    || requests[Int(slot)].blocks.held > 0, "prefill in flight without blocks")
        }
    }
}
