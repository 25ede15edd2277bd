import ServingCore

/// Admission with a CPU tier: a request whose prefix lies in CPU memory takes blocks and loads it, without a running
/// slot and without tokens of the step's budget, and is admitted in a step after the load is complete.
///
/// Source: `scheduler.py: schedule`, `offloading/scheduler.py: get_num_new_matched_tokens, update_state_after_alloc`.
extension Scheduler {
    /// Admits requests that hold blocks, then others, until one doesn't fit.
    mutating func admitWithOffload(into batch: inout Batch, _ budget: inout Budget, _ threshold: Int) {
        var setAside: [Int32] = []
        var holdingAside: [Int32] = []
        while budget.isLeft && running.count < maxActive {
            let isHolding = kvHolding.count > 0
            let slot = isHolding ? kvHolding.first : waiting.first
            guard slot >= 0 else { break }
            let i = Int(slot)
            var external = 0
            var hit = PrefixHit()
            var isBlocked = requests[i].phase == .loading && !finishLoading(slot)
            isBlocked = isBlocked || requests[i].staleTokens > 0
            if !isBlocked && requests[i].numComputedTokens == 0 {
                hit = kv.findLongestHit(&requests[i].blocks, tokens: Int(requests[i].numTokens))
                let found = externalTokens(slot, localTokens: hit.blocks * configuration.blockSize)
                if let found { external = found } else { isBlocked = true }
            }
            if external > 0 {
                guard startLoading(slot, hit: hit, external: external, batch: &batch) else { break }
                isBlocked = true
            }
            if isBlocked {
                if isHolding {
                    kvHolding.remove(slot, in: &requests)
                } else {
                    waiting.remove(slot, in: &requests)
                }
                let holds = requests[i].numComputedTokens > 0 || requests[i].phase == .loading
                if holds { holdingAside.append(slot) } else { setAside.append(slot) }
                continue
            }
            let computed =
                requests[i].numComputedTokens > 0
                ? Int(requests[i].numComputedTokens) : hit.blocks * configuration.blockSize
            if !admit(
                slot, hit: hit, computed: computed, isHolding: isHolding, into: &batch, &budget, threshold)
            {
                break
            }
            if requests[i].numComputedTokens + batch.requests.last!.tokens < requests[i].numTokens {
                offload!.setPrefilling(slot, true)
            }
        }
        for slot in holdingAside.reversed() { kvHolding.prepend(slot, in: &requests) }
        for slot in setAside.reversed() { waiting.prepend(slot, in: &requests) }
    }

    /// Tokens behind the local hit that CPU memory can bring; nil to set the request aside in this step, because it
    /// has copies under way or what it needs is being written or loaded for another.
    private mutating func externalTokens(_ slot: Int32, localTokens: Int) -> Int? {
        let i = Int(slot)
        if offload!.hasJobs(slot) { return nil }
        let known = Int(requests[i].numTokens)
        let chunkTokens = offload!.chunkTokens
        let chunks = known / chunkTokens
        guard chunks * chunkTokens - localTokens >= chunkTokens else { return 0 }
        kv.extendKeys(&requests[i].blocks, toTokens: known)
        let first = localTokens / chunkTokens
        var end = first
        var isBeingWritten = false
        while end < chunks {
            let residence = offload!.tier.residence(of: chunkKey(slot, end))
            if residence == .absent { break }
            if residence == .beingWritten { isBeingWritten = true }
            end += 1
        }
        if isBeingWritten { return nil }
        let gain = end * chunkTokens - localTokens
        guard gain >= chunkTokens else { return 0 }
        if configuration.enablePrefixCaching
            && (first..<end).contains(where: { offload!.tier.isLoading(chunkKey(slot, $0)) })
        {
            return nil
        }
        return gain
    }

    /// The key of a chunk: that of its last block.
    func chunkKey(_ slot: Int32, _ chunk: Int) -> Int32 {
        let block = (chunk + 1) * offload!.configuration.blocksPerChunk - 1
        return kv.key(of: block, in: requests[Int(slot)].blocks)
    }

    /// Takes blocks for the local hit and for what is to be loaded, if they fit beside what prefills in flight will
    /// need, and starts the load.
    private mutating func startLoading(
        _ slot: Int32, hit: PrefixHit, external: Int, batch: inout Batch
    ) -> Bool {
        let i = Int(slot)
        let local = hit.blocks * configuration.blockSize
        let total = local + external
        let reserve = running.count > 0 ? watermarkBlocks : 0
        if configuration.schedulerReserveFullISL && configuration.version != .v015 {
            let needed = kv.blocksNeeded(
                requests[i].blocks, hit: hit, tokens: Int(requests[i].numTokens))
            if needed + reserve > kv.freeBlocks { return false }
        }
        let needed = kv.blocksNeeded(requests[i].blocks, hit: hit, tokens: total)
        if needed + reserve > kv.freeBlocks - blocksReservedForPrefills() { return false }

        allocateBlocks(slot, hit: hit, tokens: total)
        requests[i].phase = .loading
        requests[i].numComputedTokens = Int32(total)
        let table = offload!.blocks.tables[i]
        for block in table { offload!.allocated(block, flush: &batch.transfers.flush) }
        offload!.setPrefilling(slot, true)

        let chunks = Array(local / offload!.chunkTokens..<ceilDivide(total, offload!.chunkTokens))
        offload!.requests[i].offeredChunks = ceilDivide(total, offload!.chunkTokens)
        let keys = chunks.map { chunkKey(slot, $0) }
        for (chunk, key) in zip(chunks, keys) {
            offload!.requests[i].seen.insert(chunk)
            offload!.requests[i].reused.insert(chunk)
            offload!.tier.beginReading(key, marksLoading: configuration.enablePrefixCaching)
        }
        let id = offload!.begin(KVOffloader.Job(slot: slot, isStore: false, keys: keys, source: []))
        let blocks = ceilDivide(total, configuration.blockSize) - hit.blocks
        batch.transfers.loads.append(
            TransferJob(id: id, request: requests[i].id, chunks: chunks, blocks: blocks))
        batch.transfers.externalHits.append(
            TransferPlan.ExternalHit(
                handle: RequestHandle(slot: slot, generation: requests[i].generation),
                request: requests[i].id, localTokens: local, externalTokens: external))
        return true
    }

    /// Blocks that requests mid-prefill or loading have still to take.
    private func blocksReservedForPrefills() -> Int {
        var sum = 0
        for slot in offload!.prefilling {
            let request = requests[Int(slot)]
            sum += kv.blocksNeeded(request.blocks, hit: PrefixHit(), tokens: Int(request.numTokens))
        }
        return sum
    }

    /// Makes a request whose load is complete ready for admission: its blocks are findable now, and its last token is
    /// computed again if all were loaded.
    /// - Returns: false while the load goes on.
    private mutating func finishLoading(_ slot: Int32) -> Bool {
        let i = Int(slot)
        guard offload!.requests[i].hasReceived else { return false }
        offload!.requests[i].hasReceived = false
        cacheBlocks(
            slot, tokens: Int(requests[i].numComputedTokens), knownTokens: Int(requests[i].numTokens))
        if requests[i].numComputedTokens == requests[i].numTokens { requests[i].numComputedTokens -= 1 }
        requests[i].phase = requests[i].preemptions > 0 ? .preempted : .waiting
        return true
    }
}
