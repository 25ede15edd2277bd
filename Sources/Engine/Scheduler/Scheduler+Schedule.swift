import ServingCore

extension Scheduler {
    /// Decides one step: running requests first, then, if nothing was preempted, waiting ones.
    ///
    /// Source: `scheduler.py: schedule`.
    /// - Parameter batch: cleared and filled; reuse it to keep its storage.
    /// - Complexity: O(requests scheduled one by one + blocks admitted); O(running) when budget or blocks bind.
    public mutating func schedule(into batch: inout Batch) {
        batch.clear()
        if hasOffload { batch.transfers.clear() }
        var budget = Budget(tokens: tokenBudget, inputTokens: configuration.maxNumBatchedTokens)
        let threshold = longPrefillThreshold()
        if !scheduleRunningTogether(into: &batch, &budget, threshold) {
            dissolveCohort()
            scheduleRunning(into: &batch, &budget, threshold)
        }
        if batch.preempted.isEmpty {
            if !hasOffload {
                if waiting.count > 0 { admitWaiting(into: &batch, &budget, threshold) }
            } else {
                admitWithOffload(into: &batch, &budget, threshold)
            }
        }
        if hasOffload {
            planTransfers(&batch)
            offload!.scheduledSteps += 1
            jobsUnderWay = offload!.jobs.count
        }
        finishScheduling(&batch)
        if !configuration.exactSteps && (batch.cohortStep < 0 || !batch.requests.isEmpty) {
            enlist(batch.requests, together: batch.cohortStep >= 0)
        }
        hasUnflushedFinishes = false
        precondition(batch.totalTokens <= tokenBudget, "step: over the token budget")
        checkInvariants()
    }

    /// What a step may still schedule.
    struct Budget {
        var tokens: Int
        var inputTokens: Int
        var isLeft: Bool { tokens > 0 && inputTokens > 0 }
        var least: Int { min(tokens, inputTokens) }

        mutating func spend(_ count: Int) {
            tokens -= count
            inputTokens -= count
        }
    }

    /// Most tokens of one request in this step; 0 for no limit.
    @inline(__always)
    private func longPrefillThreshold() -> Int {
        let eligible = running.count + waitingCount
        let limit = configuration.longPrefillTokenThreshold
        if limit == 0 || (eligible <= 1 && configuration.version.exemptsLoneRequest) { return 0 }
        if configuration.longPrefillTokenThresholdAdaptive {
            return max(limit, configuration.maxNumBatchedTokens / max(eligible, 1))
        }
        return limit
    }

    // MARK: Running requests

    private mutating func scheduleRunning(into batch: inout Batch, _ budget: inout Budget, _ threshold: Int) {
        var slot = running.first
        while slot >= 0 && budget.isLeft {
            let count = tokensToSchedule(slot, budget, threshold)
            if count > 0 {
                let tokens = Int(requests[Int(slot)].numComputedTokens) + count
                guard let passedOver = makeRoom(for: slot, tokens: tokens, batch: &batch, &budget) else {
                    return
                }
                scheduleRunningRequest(slot, count: count, into: &batch, &budget)
                for _ in 0..<passedOver where requests[Int(slot)].next >= 0 {
                    slot = requests[Int(slot)].next
                }
            }
            slot = requests[Int(slot)].next
        }
    }

    /// Gives a running request its tokens and blocks, which must be free.
    mutating func scheduleRunningRequest(
        _ slot: Int32, count: Int, into batch: inout Batch, _ budget: inout Budget
    ) {
        let tokens = Int(requests[Int(slot)].numComputedTokens) + count
        allocateBlocks(slot, hit: PrefixHit(), tokens: tokens)
        cacheScheduled(slot, tokens: tokens)
        append(slot, count: count, kind: .running, to: &batch, &budget)
    }

    /// Whether the last token that a running request may have is in flight already.
    @inline(__always)
    func isFullyScheduled(_ slot: Int32) -> Bool {
        let placeholders = requests[Int(slot)].placeholders
        return placeholders > 0
            && requests[Int(slot)].numComputedTokens + 2 - placeholders >= requests[Int(slot)].maxTotalTokens
    }

    /// Tokens that a running request would compute now; 0 or less to leave it out.
    @inline(__always)
    func tokensToSchedule(_ slot: Int32, _ budget: Budget, _ threshold: Int) -> Int {
        if isFullyScheduled(slot) { return 0 }
        let i = Int(slot)
        let computed = Int(requests[i].numComputedTokens)
        var count = Int(requests[i].numTokens) + Int(requests[i].placeholders) - computed
        if threshold > 0 { count = min(count, threshold) }
        return min(count, budget.least, configuration.maxModelLen - computed - 1)
    }

    /// Preempts until the request can hold `tokens` tokens.
    /// - Returns: how many requests behind this one the loop passes over; nil if it had to be preempted itself.
    private mutating func makeRoom(
        for slot: Int32, tokens: Int, batch: inout Batch, _ budget: inout Budget
    ) -> Int? {
        var passedOver = 0
        while kv.blocksNeeded(requests[Int(slot)].blocks, hit: PrefixHit(), tokens: tokens) > kv.freeBlocks {
            let victim = configuration.policy == .priority ? leastUrgentRunning() : running.last
            // What a step in flight may still write can't be given to another.
            if offload != nil && requests[Int(victim)].inFlightTokens > 0 { return nil }
            let wasAhead = requests[Int(victim)].sequence < requests[Int(slot)].sequence
            running.remove(victim, in: &requests)
            let wasScheduled = takeBack(victim, from: &batch, &budget)
            // vLLM 0.15 leaves its cursor where it is when such a victim had no tokens in this step.
            if wasAhead && !wasScheduled && !configuration.version.movesCursorForAnyVictim { passedOver += 1 }
            if offload != nil { batch.transfers.flush += offload!.requests[Int(victim)].jobs }
            preempt(victim)
            batch.preempted.append(requests[Int(victim)].id)
            if victim == slot { return nil }
        }
        return passedOver
    }

    /// The first of the running requests whose (priority, arrival time) is greatest. O(running).
    @inline(__always)
    private func leastUrgentRunning() -> Int32 {
        var victim = running.first
        var slot = requests[Int(victim)].next
        while slot >= 0 {
            let (a, b) = (requests[Int(slot)], requests[Int(victim)])
            if a.priority > b.priority || (a.priority == b.priority && a.arrivalTime > b.arrivalTime) {
                victim = slot
            }
            slot = requests[Int(slot)].next
        }
        return victim
    }

    /// Removes a victim that was already scheduled in this step and returns its tokens to the budget.
    /// - Returns: whether it was.
    private func takeBack(_ slot: Int32, from batch: inout Batch, _ budget: inout Budget) -> Bool {
        guard let i = batch.requests.lastIndex(where: { $0.handle.slot == slot }) else { return false }
        budget.spend(-Int(batch.requests[i].tokens))
        batch.requests.remove(at: i)
        return true
    }

    /// Frees a running request's blocks and puts it in front of the waiting queue: `_preempt_request`.
    mutating func preempt(_ slot: Int32) {
        let i = Int(slot)
        kv.makeFindable(&requests[i].blocks, knownTokens: Int(requests[i].numTokens))
        freeBlocks(slot)
        offload?.blocks.clear(slot)
        offload?.setPrefilling(slot, false)
        requests[i].phase = .preempted
        requests[i].numComputedTokens = 0
        requests[i].staleTokens = requests[i].inFlightTokens
        requests[i].placeholders = 0
        requests[i].preemptions += 1
        waiting.prepend(slot, in: &requests)
    }

    // MARK: Waiting requests

    private mutating func admitWaiting(into batch: inout Batch, _ budget: inout Budget, _ threshold: Int) {
        var setAside: [Int32] = []
        while budget.isLeft && running.count < maxActive {
            let slot = waiting.first
            guard slot >= 0 else { break }
            if requests[Int(slot)].staleTokens > 0 {
                waiting.remove(slot, in: &requests)
                setAside.append(slot)
                continue
            }
            let attempt = BlockedAdmission(
                handle: RequestHandle(slot: slot, generation: requests[Int(slot)].generation),
                releases: kv.pool.releases, registrations: kv.pool.registrations, threshold: threshold,
                budget: budget.least, hasRunning: running.count > 0)
            if attempt.mustFail(after: blocked) { break }
            if !admit(slot, into: &batch, &budget, threshold) {
                if configuration.enableChunkedPrefill { blocked = attempt }
                break
            }
        }
        for slot in setAside.reversed() { waiting.prepend(slot, in: &requests) }
    }

    /// Admits the head of the waiting queue if it fits.
    private mutating func admit(
        _ slot: Int32, into batch: inout Batch, _ budget: inout Budget, _ threshold: Int
    ) -> Bool {
        let known = Int(requests[Int(slot)].numTokens)
        let hit = kv.findLongestHit(&requests[Int(slot)].blocks, tokens: known)
        let computed = hit.blocks * configuration.blockSize
        return admit(
            slot, hit: hit, computed: computed, isHolding: false, into: &batch, &budget, threshold)
    }

    /// Admits the head of a queue with `computed` tokens in place if it fits: those of `hit`, and, if `isHolding`, of
    /// blocks that it holds.
    mutating func admit(
        _ slot: Int32, hit: PrefixHit, computed: Int, isHolding: Bool, into batch: inout Batch,
        _ budget: inout Budget, _ threshold: Int
    ) -> Bool {
        let i = Int(slot)
        let known = Int(requests[i].numTokens)
        var count = known - computed
        if threshold > 0 { count = min(count, threshold) }
        if !configuration.enableChunkedPrefill && count > budget.least { return false }
        count = min(count, budget.least)

        let reserve = running.count > 0 ? watermarkBlocks : 0
        if configuration.schedulerReserveFullISL && configuration.version != .v015 {
            let needed = kv.blocksNeeded(requests[i].blocks, hit: hit, tokens: known)
            if needed + reserve > kv.freeBlocks { return false }
        }
        let needed = kv.blocksNeeded(requests[i].blocks, hit: hit, tokens: computed + count)
        if needed + reserve > kv.freeBlocks { return false }

        let kind = requests[i].phase == .preempted ? ScheduledKind.resumed : .new
        allocateBlocks(slot, hit: hit, tokens: computed + count)
        if isHolding { kvHolding.remove(slot, in: &requests) } else { waiting.remove(slot, in: &requests) }
        running.append(slot, in: &requests)
        requests[i].phase = .running
        requests[i].numComputedTokens = Int32(computed)
        requests[i].sequence = nextSequence
        nextSequence += 1
        if requests[i].firstHitTokens < 0 { requests[i].firstHitTokens = Int32(computed) }
        cacheScheduled(slot, tokens: computed + count)
        append(slot, count: count, kind: kind, to: &batch, &budget)
        batch.hasAdmissions = true
        return true
    }

    // MARK: Bookkeeping

    /// Registers the blocks that the step will fill, before it runs, as vLLM does: a request admitted later in
    /// the same step already hits them.
    private mutating func cacheScheduled(_ slot: Int32, tokens: Int) {
        let known = Int(requests[Int(slot)].numTokens)
        cacheBlocks(slot, tokens: min(tokens, known), knownTokens: known)
    }

    @inline(__always)
    private func append(
        _ slot: Int32, count: Int, kind: ScheduledKind, to batch: inout Batch, _ budget: inout Budget
    ) {
        budget.spend(count)
        let i = Int(slot)
        batch.requests.append(
            ScheduledRequest(
                handle: RequestHandle(slot: slot, generation: requests[i].generation), tokens: Int32(count),
                computedTokens: requests[i].numComputedTokens, sequence: requests[i].sequence, kind: kind,
                producesToken: false))
    }

    /// `_update_after_schedule`: advances the computed tokens before the step runs, and sums the step up.
    private mutating func finishScheduling(_ batch: inout Batch) {
        for k in batch.requests.indices {
            let scheduled = batch.requests[k]
            let i = Int(scheduled.handle.slot)
            let (count, computed) = (Int(scheduled.tokens), Int(scheduled.computedTokens))
            requests[i].numComputedTokens += scheduled.tokens
            requests[i].inFlightTokens += scheduled.tokens
            let isChunk = requests[i].numComputedTokens < requests[i].numTokens + requests[i].placeholders
            requests[i].isPrefillChunk = isChunk
            batch.requests[k].producesToken = !isChunk
            if !isChunk && configuration.asyncScheduling { requests[i].placeholders += 1 }
            if hasOffload && !isChunk { offload!.setPrefilling(scheduled.handle.slot, false) }
            batch.totalTokens += count
            if count == 1 && computed >= Int(requests[i].promptTokens) {
                batch.state.addDecode(contextTokens: computed + 1)
            } else {
                batch.state.addPrefill(newTokens: count, computedTokens: computed)
            }
        }
        batch.state.runningRequests = running.count
        batch.state.waitingRequests = waitingCount
        batch.state.kvBlocksTotal = usableBlocks
        batch.state.kvBlocksUsed = usableBlocks - freeBlocks
    }
}
