import ServingCore

/// Decoding requests are scheduled together while nothing binds: enough budget for every running request, enough
/// free blocks for all that need one. Where something binds, the cohort is dissolved and the step is decided
/// request by request; the schedule is the same either way.
extension Scheduler {
    /// Schedules all running requests, those of the cohort as one, while the budget doesn't bind. Where the cohort lacks
    /// blocks the last running requests are preempted.
    /// - Returns: false if the rest has to be scheduled one by one.
    mutating func scheduleRunningTogether(into batch: inout Batch, _ budget: inout Budget, _ threshold: Int)
        -> Bool
    {
        guard !configuration.exactSteps, cohort.count > 0 else { return false }
        pullOutDue()
        guard cohort.count > 0 else { return false }
        var taken = 0
        var fit = fitTogether(budget, threshold)
        while fit == .lacksBlocks {
            // The requests before the first without a block have taken all there were.
            taken += kv.freeBlocks
            kv.takeBlocks(kv.freeBlocks)
            preemptLast(&batch)
            guard cohort.count > 0 else { return false }
            fit = cohort.blocksNeeded - taken <= kv.freeBlocks ? .fits : .lacksBlocks
        }
        guard fit == .fits else { return false }

        batch.cohortStep = cohort.scheduled
        batch.cohortCount = cohort.count
        batch.totalTokens = cohort.count
        batch.state.decodeRequests = cohort.count
        batch.state.decodeContextTokens = cohort.contextTokens
        budget.spend(cohort.count)
        kv.takeBlocks(cohort.blocksNeeded - taken)
        registerCohortBlocks()
        cohort.advance()
        for k in individuals.indices {
            guard budget.isLeft else { break }
            let slot = individuals[k]
            let count = tokensToSchedule(slot, budget, threshold)
            if count > 0 { scheduleRunningRequest(slot, count: count, into: &batch, &budget) }
        }
        return true
    }

    private enum Fit {
        /// All running requests can be scheduled as if each were alone.
        case fits
        /// They can but for the blocks that the cohort needs, which preempting the last of them mends.
        case lacksBlocks
        /// It takes going one by one to know.
        case unclear
    }

    /// Whether all running requests can be scheduled together. O(individuals).
    @inline(__always)
    private func fitTogether(_ budget: Budget, _ threshold: Int) -> Fit {
        var left = budget
        left.spend(cohort.count)
        guard left.tokens >= 0 && left.inputTokens >= 0 else { return .unclear }
        let lacksBlocks = configuration.policy == .fcfs ? Fit.lacksBlocks : .unclear
        if individuals.isEmpty { return cohort.blocksNeeded <= kv.freeBlocks ? .fits : lacksBlocks }
        let lastMember = lastMemberSequence()
        var (blocks, isAnyCutShort) = (0, false)
        for slot in individuals {
            let count = tokensToSchedule(slot, left, threshold)
            if count < tokensToSchedule(slot, budget, threshold) {
                // A request cut short leaves nothing to those behind it, so none of the cohort may stand there.
                if requests[Int(slot)].sequence < lastMember { return .unclear }
                isAnyCutShort = true
            }
            guard count > 0 else { continue }
            left.spend(count)
            let tokens = Int(requests[Int(slot)].numComputedTokens) + count
            blocks += kv.blocksNeeded(requests[Int(slot)].blocks, hit: PrefixHit(), tokens: tokens)
        }
        if cohort.blocksNeeded + blocks <= kv.freeBlocks { return .fits }
        return blocks == 0 && !isAnyCutShort ? lacksBlocks : .unclear
    }

    /// Preempts the last running request, whose token in flight will be processed by itself.
    private mutating func preemptLast(_ batch: inout Batch) {
        let victim = running.last
        if requests[Int(victim)].cohortStart >= 0 {
            leaveCohort(victim)
        } else if let position = individuals.lastIndex(of: victim) {
            individuals.remove(at: position)
        }
        let step = requests[Int(victim)].cohortStepInFlight
        if step >= 0, let position = leavers.lastIndex(where: { $0.handle.slot == victim }) {
            strays.append(leavers.remove(at: position))
            cohort.lose(at: step)
            requests[Int(victim)].cohortStepInFlight = -1
        }
        running.remove(victim, in: &requests)
        preempt(victim)
        batch.preempted.append(requests[Int(victim)].id)
    }

    /// Place in the running list of the last member of the cohort, which must not be empty.
    @inline(__always)
    private func lastMemberSequence() -> Int64 {
        var slot = running.last
        while requests[Int(slot)].cohortStart < 0 { slot = requests[Int(slot)].previous }
        return requests[Int(slot)].sequence
    }

    /// Members that produce their last token in the coming step are scheduled by themselves in it.
    private mutating func pullOutDue() {
        var slot = cohort.firstDue
        while slot >= 0 {
            let next = cohort.nextDue(after: slot)
            if requests[Int(slot)].dueStep == cohort.scheduled { pullOut(slot) }
            slot = next
        }
    }

    private mutating func pullOut(_ slot: Int32) {
        leaveCohort(slot)
        let sequence = requests[Int(slot)].sequence
        var i = individuals.count
        while i > 0 && requests[Int(individuals[i - 1])].sequence > sequence { i -= 1 }
        // Mostly it is the only one, and appending is several times faster.
        if i == individuals.count { individuals.append(slot) } else { individuals.insert(slot, at: i) }
    }

    /// Takes a member out; a token it has in flight is still delivered with those of the cohort.
    private mutating func leaveCohort(_ slot: Int32) {
        let i = Int(slot)
        let hasDelivered = cohort.processed > requests[i].cohortStart
        let isInFlight = cohort.scheduled > max(requests[i].cohortStart, cohort.processed)
        if hasDelivered { requests[i].lastStamp = lastStamp }
        cohort.leave(slot, &requests[i])
        if isInFlight {
            requests[i].cohortStepInFlight = cohort.scheduled - 1
            leavers.append(inFlightShare(of: slot))
        }
    }

    /// The one token of a request that is in flight in the last cohort step.
    @inline(__always)
    private func inFlightShare(of slot: Int32) -> ScheduledRequest {
        let i = Int(slot)
        return ScheduledRequest(
            handle: RequestHandle(slot: slot, generation: requests[i].generation), tokens: 1,
            computedTokens: requests[i].numComputedTokens - 1, sequence: requests[i].sequence, kind: .running,
            producesToken: true)
    }

    /// Takes a request that is about to end out of the cohort, and its tokens in flight out of the counts.
    mutating func withdrawFromCohort(_ slot: Int32) {
        let i = Int(slot)
        if requests[i].cohortStart >= 0 {
            for step in max(requests[i].cohortStart, cohort.processed)..<cohort.scheduled {
                cohort.lose(at: step)
            }
            if cohort.processed > requests[i].cohortStart { requests[i].lastStamp = lastStamp }
            cohort.leave(slot, &requests[i])
        } else if let position = individuals.firstIndex(of: slot) {
            individuals.remove(at: position)
        }
        if requests[i].cohortStepInFlight >= 0 { cohort.lose(at: requests[i].cohortStepInFlight) }
    }

    /// Makes every member an individual request again.
    mutating func dissolveCohort() {
        individuals.clear()
        guard cohort.count > 0 || !leavers.isEmpty || !strays.isEmpty else { return }
        var slot = running.first
        while slot >= 0 {
            if requests[Int(slot)].cohortStart >= 0 { leaveCohort(slot) }
            slot = requests[Int(slot)].next
        }
        // From here on the tokens in flight belong to single requests.
        for share in leavers where isLive(share.handle) {
            requests[Int(share.handle.slot)].cohortStepInFlight = -1
            dissolved.append(share)
        }
        if cohort.scheduled > cohort.processed { dissolvedStep = cohort.scheduled - 1 }
        leavers.clear()
        dissolved += strays
        strays.clear()
        _ = cohort.takeLost(at: cohort.scheduled - 1)
        cohort.processed = cohort.scheduled
    }

    /// Requests whose deferred blocks the one just added may look up register them.
    @inline(never)
    mutating func registerOvertaken() {
        for slot in kv.takeOvertaken() {
            let i = Int(slot)
            if requests[i].cohortStart >= 0 {
                cohort.makeFindable(slot, &requests[i], &kv)
            } else {
                kv.makeFindable(&requests[i].blocks, knownTokens: Int(requests[i].numTokens))
            }
        }
    }

    private mutating func registerCohortBlocks() {
        var slot = cohort.firstRegistering
        while slot >= 0 {
            let tokens = cohort.hashableTokens(of: requests[Int(slot)])
            kv.cacheBlocks(&requests[Int(slot)].blocks, tokens: tokens, knownTokens: tokens)
            slot = cohort.nextRegistering(after: slot)
        }
    }

    // MARK: Joining

    /// After a step: lets requests that from now on compute one token a step join the cohort.
    /// - Parameters:
    ///   - shares: the requests scheduled by themselves.
    ///   - together: whether the cohort took part in the step.
    mutating func enlist(_ shares: [ScheduledRequest], together: Bool) {
        var hasAdmissions = false
        for share in shares {
            if share.kind != .running { hasAdmissions = true }
            let slot = share.handle.slot
            guard share.producesToken, canJoin(slot) else { continue }
            let last = lastComputed(slot)
            cohort.join(slot, &requests[Int(slot)], lastComputed: last)
        }
        guard together else { return collectIndividuals() }
        if !individuals.isEmpty { individuals.removeAll { requests[Int($0)].cohortStart >= 0 } }
        guard hasAdmissions else { return }
        for share in shares where share.kind != .running && requests[Int(share.handle.slot)].cohortStart < 0 {
            individuals.append(share.handle.slot)
        }
    }

    private mutating func collectIndividuals() {
        individuals.clear()
        var slot = running.first
        while slot >= 0 {
            if requests[Int(slot)].cohortStart < 0 { individuals.append(slot) }
            slot = requests[Int(slot)].next
        }
    }

    /// Whether a request that was just scheduled will compute one token in the next step and produce another.
    @inline(__always)
    private func canJoin(_ slot: Int32) -> Bool {
        let i = Int(slot)
        let known =
            configuration.asyncScheduling
            ? requests[i].numTokens + requests[i].placeholders - 1 : requests[i].numTokens
        return requests[i].numComputedTokens == known && known < lastComputed(slot)
    }

    /// Computed tokens before the step that produces a request's last token.
    @inline(__always)
    private func lastComputed(_ slot: Int32) -> Int32 {
        let i = Int(slot)
        let limit = Int32(configuration.maxModelLen)
        return min(requests[i].stopTotalTokens, requests[i].maxTotalTokens, limit) - 2
    }

    // MARK: Output

    /// Delivers one token to every member that was in the batch.
    /// - Returns: how many tokens that were.
    mutating func updateCohort(step: Int64, count: Int, stamp: Int64) -> Int {
        guard step >= 0 && step != dissolvedStep else { return 0 }
        cohort.processed = step + 1
        for share in leavers where isLive(share.handle) {
            let i = Int(share.handle.slot)
            requests[i].numTokens += 1
            requests[i].inFlightTokens -= 1
            requests[i].placeholders -= 1
            requests[i].cohortStepInFlight = -1
            requests[i].lastStamp = stamp
        }
        leavers.clear()
        return count - cohort.takeLost(at: step)
    }

    /// Every request of the step that was scheduled last, those of the cohort one by one. O(running).
    public func allRequests(of batch: borrowing Batch) -> [ScheduledRequest] {
        var result = batch.requests
        guard batch.cohortStep >= 0 else { return result }
        var slot = running.first
        while slot >= 0 {
            let request = current(slot)
            if request.cohortStart >= 0 && request.cohortStart <= batch.cohortStep {
                result.append(
                    ScheduledRequest(
                        handle: RequestHandle(slot: slot, generation: request.generation), tokens: 1,
                        computedTokens: request.numComputedTokens - 1, sequence: request.sequence,
                        kind: .running,
                        producesToken: true))
            }
            slot = request.next
        }
        result.sort { $0.sequence < $1.sequence }
        return result
    }
}
