import ServingCore

/// Steps in which nothing happens but that every running request gets its token: most of them. They are decided and
/// processed here in a few additions, with the same outcome as by `schedule` and `update`.
extension Scheduler {
    /// Whether coming steps may be steady: every running request is in the cohort or has all its tokens scheduled,
    /// nobody could be admitted, and no block has to be registered.
    // Mutating only in name: calling a method that isn't copies so large a struct.
    @inline(__always)
    mutating func mayBeSteady() -> Bool {
        guard cohort.count > 0, leavers.isEmpty, cohort.registeringCount == 0,
            waiting.count == 0 || running.count >= maxActive,
            cohort.count <= min(tokenBudget, configuration.maxNumBatchedTokens)
        else { return false }
        if cohort.count == running.count { return true }
        for slot in individuals where !isFullyScheduled(slot) { return false }
        return true
    }

    /// Schedules a step that gives every running request its token; the caller has asked `mayBeSteady`.
    /// - Parameter state: all zero but for what this sets.
    /// - Returns: false, with nothing changed, if a request is due to end or the blocks don't suffice.
    @inline(__always)
    mutating func scheduleSteadyStep(_ state: inout StepState) -> Bool {
        let blocks = cohort.blocksNeeded
        guard cohort.firstDue < 0, blocks <= kv.freeBlocks else { return false }
        state.decodeRequests = cohort.count
        state.decodeContextTokens = cohort.contextTokens
        if blocks > 0 { kv.takeBlocks(blocks) }
        cohort.advance()
        state.runningRequests = running.count
        state.waitingRequests = waiting.count
        state.kvBlocksTotal = usableBlocks
        state.kvBlocksUsed = usableBlocks - freeBlocks
        return true
    }

    /// Processes the output of a step of which nothing but the cohort's share is in flight.
    @inline(__always)
    mutating func updateSteadyStep(_ step: Int64, count: Int, stamp: Int64) -> CohortOutput {
        defer { lastStamp = stamp }
        cohort.processed = step + 1
        return CohortOutput(tokens: count - cohort.takeLost(at: step), previousStamp: lastStamp)
    }
}
