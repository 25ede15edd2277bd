/// Requests take and give up blocks here, so that with offload it is known which ones they are.
extension Scheduler {
    /// Gives a request the blocks for its first `tokens` tokens, which must be free.
    mutating func allocateBlocks(_ slot: Int32, hit: PrefixHit, tokens: Int) {
        guard hasOffload else {
            return kv.allocate(&requests[Int(slot)].blocks, hit: hit, tokens: tokens)
        }
        offload!.blocks.beginAllocation(slot)
        for use in kv.uses(of: hit, by: requests[Int(slot)].blocks) {
            offload!.blocks.touch(entry: use.place, isFree: use.requests == 0, by: slot)
        }
        kv.allocate(&requests[Int(slot)].blocks, hit: hit, tokens: tokens)
        offload!.blocks.take(upTo: Int(requests[Int(slot)].blocks.held), by: slot)
    }

    /// Registers the hashes of a request's blocks that are full within its first `tokens` tokens.
    @inline(__always)
    mutating func cacheBlocks(_ slot: Int32, tokens: Int, knownTokens: Int) {
        guard hasOffload else {
            return kv.cacheBlocks(&requests[Int(slot)].blocks, tokens: tokens, knownTokens: knownTokens)
        }
        let before = Int(requests[Int(slot)].blocks.findable)
        kv.cacheBlocks(&requests[Int(slot)].blocks, tokens: tokens, knownTokens: knownTokens)
        for block in before..<max(before, Int(requests[Int(slot)].blocks.findable)) {
            let place = kv.place(of: block, in: requests[Int(slot)].blocks)
            offload!.blocks.register(entry: place, block: block, of: slot)
        }
    }

    /// Frees all blocks of a request.
    mutating func freeBlocks(_ slot: Int32) {
        if hasOffload { freeIdentities(slot) }
        kv.free(&requests[Int(slot)].blocks)
    }

    private mutating func freeIdentities(_ slot: Int32) {
        let blocks = requests[Int(slot)].blocks
        let table = offload!.blocks.tables[Int(slot)]
        let unhashed = Int(blocks.hashed)..<Int(blocks.held)
        // vLLM puts them in front as a group, the tail of the sequence first.
        if configuration.version.appendsAllFreedBlocks {
            for i in unhashed.reversed() { offload!.blocks.freeUnhashed(table[i]) }
        } else {
            for i in unhashed { offload!.blocks.freeUnhashed(table[i]) }
        }
        for (block, use) in zip(table, kv.uses(of: blocks)).reversed() where use.requests == 1 {
            offload!.blocks.freeHashed(block)
        }
    }
}
