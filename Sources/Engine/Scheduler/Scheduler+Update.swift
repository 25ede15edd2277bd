extension Scheduler {
    /// One request's output of a step, as the front end sees it.
    public struct Output: Sendable {
        /// Caller's number of the request.
        public var id: Int
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
    }

    /// Processes the output of a step: every request whose prefill was complete gets one token, and those that
    /// reached their end are freed, in scheduling order. Source: `scheduler.py: update_from_output`.
    /// - Parameter outputs: cleared and filled with one element per delivered token.
    /// - Complexity: O(requests of the batch + blocks freed).
    public mutating func update(from batch: borrowing Batch, outputs: inout [Output]) {
        outputs.removeAll(keepingCapacity: true)
        for scheduled in batch.requests {
            guard isLive(scheduled.handle) else { continue }
            let slot = scheduled.handle.slot
            let i = Int(slot)
            requests[i].inFlightTokens -= scheduled.tokens
            let isStale = requests[i].staleTokens > 0
            if isStale { requests[i].staleTokens -= scheduled.tokens }
            guard scheduled.producesToken else { continue }

            requests[i].numTokens += 1
            let known = requests[i].numTokens
            let isFinished = Int(known) >= configuration.maxModelLen || known >= requests[i].stopTotalTokens
            outputs.append(
                Output(
                    id: requests[i].id, isFirstToken: known == requests[i].promptTokens + 1,
                    isFinished: isFinished, outputTokens: requests[i].outputTokens,
                    preemptions: requests[i].preemptions, firstHitTokens: requests[i].firstHitTokens))
            let wasRunning = requests[i].phase == .running
            if configuration.asyncScheduling {
                if !isStale { requests[i].placeholders -= 1 }
                if wasRunning {
                    let tokens = Int(requests[i].numComputedTokens - requests[i].placeholders)
                    kv.cacheBlocks(&requests[i].blocks, tokens: tokens, knownTokens: Int(known))
                }
            }
            if isFinished {
                if wasRunning {
                    running.remove(slot, in: &requests)
                } else {
                    waiting.remove(slot, in: &requests)
                }
                end(slot)
            }
        }
        checkInvariants()
    }
}
