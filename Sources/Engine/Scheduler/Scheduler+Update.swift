extension Scheduler {
    /// One request's output of a step, as the front end sees it.
    public struct Output: Sendable {
        /// Caller's number of the request.
        public var id: Int
        /// Slot of the request, taken again only by a request added later.
        public var slot: Int32
        /// Whether this was its first token.
        public var isFirstToken: Bool
        /// Whether it ended with this token.
        public var isFinished: Bool
        /// Output tokens so far.
        public var outputTokens: Int32
        /// Times it was preempted so far.
        public var preemptions: Int32
        /// Prompt tokens it found cached when first admitted.
        public var firstHitTokens: Int32
        /// The caller's stamp of the update that delivered its token before; -1 at the first.
        public var previousStamp: Int64
    }

    /// What came out of a step besides single outputs.
    public struct CohortOutput: Sendable {
        /// Tokens that decoding requests got together, one each.
        public var tokens: Int
        /// The caller's stamp of the update that gave each of these requests its token before.
        public var previousStamp: Int64
    }

    /// Processes the output of a step: every request whose prefill was complete gets one token, and those that
    /// reached their end are freed, in scheduling order. Source: `scheduler.py: update_from_output`.
    ///
    /// First and last tokens are always among `outputs`.
    /// - Parameters:
    ///   - batch: the step; it stays as it is.
    ///   - stamp: any value by which the caller knows this update again, such as the time.
    ///   - outputs: cleared and filled with one element per token of a request scheduled by itself.
    /// - Returns: the tokens of the requests that were scheduled together.
    /// - Complexity: O(requests scheduled one by one + blocks freed).
    public mutating func update(
        from batch: inout Batch, stamp: Int64, outputs: inout [Output]
    ) -> CohortOutput {
        outputs.clear()
        let together = CohortOutput(
            tokens: updateCohort(step: batch.cohortStep, count: batch.cohortCount, stamp: stamp),
            previousStamp: lastStamp)
        if batch.cohortStep >= 0 && batch.cohortStep == dissolvedStep {
            // The cohort has been dissolved since: its requests are single ones now.
            let shares = (batch.requests + dissolved).sorted { $0.sequence < $1.sequence }
            dissolved.clear()
            dissolvedStep = -1
            for share in shares { update(share, stamp: stamp, outputs: &outputs) }
        } else if !strays.isEmpty {
            let shares = (batch.requests + strays).sorted { $0.sequence < $1.sequence }
            strays.clear()
            for share in shares { update(share, stamp: stamp, outputs: &outputs) }
        } else {
            for k in batch.requests.indices { update(batch.requests[k], stamp: stamp, outputs: &outputs) }
        }
        lastStamp = stamp
        if hasOffload {
            offload!.processedSteps += 1
            freeDeferred()
        }
        checkInvariants()
        return together
    }

    private mutating func update(_ scheduled: ScheduledRequest, stamp: Int64, outputs: inout [Output]) {
        guard isLive(scheduled.handle) else { return }
        let slot = scheduled.handle.slot
        let i = Int(slot)
        requests[i].inFlightTokens -= scheduled.tokens
        let isStale = requests[i].staleTokens > 0
        if isStale { requests[i].staleTokens -= scheduled.tokens }
        guard scheduled.producesToken else { return }

        requests[i].numTokens += 1
        let known = requests[i].numTokens
        let isFinished = Int(known) >= configuration.maxModelLen || known >= requests[i].stopTotalTokens
        outputs.append(
            Output(
                id: requests[i].id, slot: slot, isFirstToken: known == requests[i].promptTokens + 1,
                isFinished: isFinished, outputTokens: requests[i].outputTokens,
                preemptions: requests[i].preemptions, firstHitTokens: requests[i].firstHitTokens,
                previousStamp: requests[i].lastStamp))
        requests[i].lastStamp = stamp
        let wasRunning = requests[i].phase == .running
        if configuration.asyncScheduling {
            if !isStale { requests[i].placeholders -= 1 }
            // A member of the cohort registered these blocks when it was scheduled.
            if wasRunning && requests[i].cohortStart < 0 {
                let tokens = Int(requests[i].numComputedTokens - requests[i].placeholders)
                cacheBlocks(slot, tokens: tokens, knownTokens: Int(known))
            }
        }
        guard isFinished else { return }
        if wasRunning {
            withdrawFromCohort(slot)
            running.remove(slot, in: &requests)
        } else {
            waiting.remove(slot, in: &requests)
        }
        end(slot, isAborted: false)
    }
}
