/// Which chunks lie in CPU memory, which of them are being written or read, and which give way.
///
/// A chunk is `blocksPerChunk` consecutive blocks and is named by the prefix-index key of its last block, as vLLM
/// names it by that block's hash. Source: `v1/kv_offload/cpu/manager.py`, `policies/`.
struct OffloadTier {
    /// What a lookup finds.
    enum Residence { case absent, beingWritten, ready }

    let capacity: Int
    let policy: OffloadConfiguration.EvictionPolicy
    /// Chunks in CPU memory, those being written included.
    private(set) var residentCount = 0
    /// Chunks evicted so far.
    private(set) var evictions = 0
    /// Stores refused so far because not enough chunks could give way.
    private(set) var refusals = 0
    private(set) var lists = ChunkLists()
    /// How large `recent` should be; only the adaptive policy moves it.
    var recentTarget = 0.0
    /// Resident chunks that nothing reads or writes.
    private var idleCount = 0
    /// By prefix-index key: the chunk, -1 if unknown.
    private var chunkOfKey: [Int32] = []
    private var storeCount: Int64 = 0
    private var victims: [Int32] = []

    init(capacity: Int, policy: OffloadConfiguration.EvictionPolicy) {
        self.capacity = capacity
        self.policy = policy
    }

    // MARK: Lookup

    func residence(of key: Int32) -> Residence {
        let chunk = resident(key)
        if chunk < 0 { return .absent }
        return lists[chunk].references < 0 ? .beingWritten : .ready
    }

    /// Whether a load is bringing the chunk to the GPU.
    func isLoading(_ key: Int32) -> Bool {
        let chunk = resident(key)
        return chunk >= 0 && lists[chunk].isLoading
    }

    private func known(_ key: Int32) -> Int32 { key < chunkOfKey.count ? chunkOfKey[Int(key)] : -1 }

    private func resident(_ key: Int32) -> Int32 {
        let chunk = known(key)
        return chunk >= 0 && !lists[chunk].list.isGhost ? chunk : -1
    }

    // MARK: Stores

    /// Offers chunks for storing: makes room for those that aren't resident and notes them as being written.
    /// - Parameter accepted: filled with the positions in `keys` of the chunks to write.
    /// - Returns: false if room could not be made; then nothing has changed.
    /// - Complexity: O(keys + chunks passed over in search of victims).
    mutating func prepareStore(
        _ keys: [Int32], accepted: inout [Int], index: inout PrefixIndex
    ) -> Bool {
        accepted.removeAll(keepingCapacity: true)
        for (position, key) in keys.enumerated() where resident(key) < 0 { accepted.append(position) }
        if accepted.isEmpty { return true }
        if policy == .arc {
            for position in accepted.reversed() { adapt(toMissOf: known(keys[position])) }
        }
        let needed = residentCount + accepted.count - capacity
        if needed > 0 {
            guard needed <= idleCount, selectVictims(needed, sparing: keys) else {
                refusals += 1
                return false
            }
            evictVictims(index: &index)
        }
        for position in accepted { insert(keys[position], index: &index) }
        return true
    }

    /// The content of a chunk has arrived in CPU memory.
    mutating func finishWriting(_ key: Int32) {
        lists[resident(key)].references = 0
        idleCount += 1
    }

    private mutating func insert(_ key: Int32, index: inout PrefixIndex) {
        while chunkOfKey.count <= key { chunkOfKey.append(-1) }
        let ghost = chunkOfKey[Int(key)]
        if ghost >= 0 {
            lists[ghost].references = -1
            lists.move(ghost, to: .recent)
        } else {
            index.retain(nodeOf: key)
            chunkOfKey[Int(key)] = lists.insert(ChunkLists.Chunk(key: key, references: -1))
        }
        residentCount += 1
    }

    // MARK: Loads

    /// A load reads the chunk, which must be ready: it may not be evicted until `finishReading`.
    mutating func beginReading(_ key: Int32, marksLoading: Bool) {
        let chunk = resident(key)
        if lists[chunk].references == 0 { idleCount -= 1 }
        lists[chunk].references += 1
        if marksLoading { lists[chunk].isLoading = true }
    }

    /// A load has read the chunk.
    mutating func finishReading(_ key: Int32) {
        let chunk = resident(key)
        lists[chunk].references -= 1
        lists[chunk].isLoading = false
        if lists[chunk].references == 0 { idleCount += 1 }
    }

    // MARK: Recency

    /// A request that stored or used the chunk has ended.
    /// - Parameter isReuse: whether it found the chunk there, rather than storing it itself.
    mutating func touch(_ key: Int32, isReuse: Bool) {
        let chunk = resident(key)
        guard chunk >= 0 else { return }
        lists.move(chunk, to: policy == .arc && isReuse ? .frequent : lists[chunk].list)
    }

    // MARK: Eviction

    /// Finds `count` victims among chunks that nothing reads or writes and that are not on offer themselves.
    private mutating func selectVictims(_ count: Int, sparing keys: [Int32]) -> Bool {
        storeCount += 1
        for key in keys {
            let chunk = resident(key)
            if chunk >= 0 { lists[chunk].protectedBy = storeCount }
        }
        victims.removeAll(keepingCapacity: true)
        switch policy {
        case .lru: selectLeastRecentlyUsed(count, into: &victims, store: storeCount)
        case .arc: selectAdaptively(count, into: &victims, store: storeCount)
        }
        return victims.count == count
    }

    private mutating func evictVictims(index: inout PrefixIndex) {
        for victim in victims {
            residentCount -= 1
            idleCount -= 1
            evictions += 1
            switch policy {
            case .lru: forget(victim, index: &index)
            case .arc: lists.move(victim, to: lists[victim].list == .recent ? .recentGhost : .frequentGhost)
            }
        }
        for ghosts in [ChunkLists.List.recentGhost, .frequentGhost] {
            while lists.count(of: ghosts) > capacity { forget(lists.first(of: ghosts), index: &index) }
        }
    }

    private mutating func forget(_ chunk: Int32, index: inout PrefixIndex) {
        let key = lists[chunk].key
        chunkOfKey[Int(key)] = -1
        lists.remove(chunk)
        index.release(nodeOf: key)
    }

    /// Makes a remembered chunk the most recent of its ghost list.
    mutating func moveGhost(_ chunk: Int32, to list: ChunkLists.List) { lists.move(chunk, to: list) }

    /// Whether a chunk may give way to store number `store`.
    func canGiveWay(_ chunk: Int32, store: Int64) -> Bool {
        lists[chunk].references == 0 && lists[chunk].protectedBy != store
    }

    // MARK: Invariants

    /// Checks counts and references against the transfers under way. O(chunks).
    /// - Parameter readers: how often each key is being read; -1 for one being written.
    func checkInvariants(readers: [Int32: Int32]) {
        var (resident, idle) = (0, 0)
        for list in [ChunkLists.List.recent, .frequent, .recentGhost, .frequentGhost] {
            var (chunk, before, count) = (lists.first(of: list), Int32(-1), 0)
            while chunk >= 0 {
                let c = lists[chunk]
                precondition(c.previous == before && c.list == list, "chunk list: broken link")
                precondition(chunkOfKey[Int(c.key)] == chunk, "chunk: its key names another")
                if list.isGhost {
                    precondition(c.references == 0 && !c.isLoading, "chunk: evicted while in use")
                } else {
                    resident += 1
                    if c.references == 0 { idle += 1 }
                    precondition(c.references == readers[c.key] ?? 0, "chunk: reference count is off")
                    precondition(!c.isLoading || c.references > 0, "chunk: both free and loading")
                }
                count += 1
                (before, chunk) = (chunk, c.next)
            }
            precondition(count == lists.count(of: list), "chunk list: count is off")
        }
        precondition(resident == residentCount && idle == idleCount, "CPU tier: counts are off")
        precondition(residentCount <= capacity, "CPU tier: more chunks than it holds")
        for key in readers.keys { precondition(self.resident(key) >= 0, "chunk: in transfer but not there") }
    }
}
