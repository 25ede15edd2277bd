/// The cached blocks one by one, for the CPU tier, which has to know which physical block is which, and for checks.
extension BlockPool {
    /// The places of the blocks that a hit of `count` blocks would touch, with the requests that use each. O(blocks).
    func uses(ofHit count: Int, _ keys: borrowing BlockRunStorage, _ list: borrowing BlockRunList)
        -> [BlockUse]
    {
        var uses: [BlockUse] = []
        for i in 0..<list.runCount {
            let run = keys[list, i]
            var key = run.first
            let end = run.first + min(run.count, Int32(count) - run.position)
            while key < end {
                let (entry, found) = oldestCopies(of: key, most: end - key)
                for block in entry..<entry + found {
                    uses.append(BlockUse(place: block, requests: queue[entry].references))
                }
                key += found
            }
        }
        return uses
    }

    /// The places of the blocks that a request uses, with the requests that use each. O(blocks).
    func uses(_ entries: borrowing BlockRunStorage, _ held: borrowing BlockRunList) -> [BlockUse] {
        var uses: [BlockUse] = []
        for i in 0..<held.runCount {
            let run = entries[held, i]
            var entry = run.first
            while entry < run.end {
                for block in entry..<entry + queue[entry].count {
                    uses.append(BlockUse(place: block, requests: queue[entry].references))
                }
                entry += queue[entry].count
            }
        }
        return uses
    }

    /// By place of a cached block the requests that use it, 0 for what is no such block. O(entries).
    func requestsByPlace() -> [Int32] {
        var requests = [Int32](repeating: 0, count: queue.entryCount)
        for entry in 0..<Int32(requests.count) where queue[entry].references > 0 {
            for block in entry..<entry + queue[entry].count {
                requests[Int(block)] = queue[entry].references
            }
        }
        return requests
    }
}

/// One cached block among others.
struct BlockUse {
    /// Offset of the block among the entries of the pool.
    var place: Int32
    /// Requests that use it.
    var requests: Int32
}
