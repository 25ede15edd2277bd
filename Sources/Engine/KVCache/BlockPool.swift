/// The KV blocks of one engine and vLLM's free queue over them.
///
/// Source: `v1/core/block_pool.py`, `v1/core/kv_cache_utils.py: FreeKVCacheBlockQueue`.
///
/// Block ids never show in a schedule: only how many blocks are free, and in which order cached contents are
/// lost. So blocks without a findable content are counted, not stored. The free queue is a list of entries: a
/// run of unhashed blocks, a run of hashed blocks whose content no other request can ask for, a run of blocks that
/// none has come by to ask for so far, or a run of cached blocks that a later prompt may hit.
///
/// Entries stand at the offsets that `PrefixIndex` hands out. The block that caches a key while no other does has its
/// place at the key itself, so that the blocks of a prompt, whose keys are consecutive, make up one entry; counted
/// blocks and further copies of the same content have entries of their own.
struct BlockPool {
    /// `Entry.key` of a run of blocks without a hash.
    static let unhashedRun: Int32 = -1
    /// `Entry.key` of a run of hashed blocks that nobody else can hit.
    static let privateRun: Int32 = -2
    /// `Entry.key` of a run of a node's first hashed blocks that are not registered yet.
    static let deferredRun: Int32 = -3

    /// Blocks in all, the null block left out.
    let capacity: Int
    /// Free blocks; cached blocks that nobody uses count as free.
    private(set) var freeCount: Int
    /// Hashed blocks in the free queue that nobody else can hit.
    private(set) var privateFreeCount = 0
    /// Keys that have a cached copy: vLLM's number of entries in the hash map.
    private(set) var cachedKeyCount = 0
    /// Changes whenever a content becomes findable: a failed lookup may then succeed.
    private(set) var registrations: UInt64 = 0
    /// Changes whenever a block becomes free.
    private(set) var releases: UInt64 = 0
    private(set) var queue = FreeQueue()
    /// vLLM 0.15 appends unhashed blocks to the tail; later versions put them in front, to be reused first.
    private let unhashedFirst: Bool

    init(capacity: Int, unhashedFirst: Bool, index: inout PrefixIndex) {
        self.capacity = capacity
        self.unhashedFirst = unhashedFirst
        freeCount = 0
        freeUnhashed(capacity, index: &index)
    }

    // MARK: Lookup

    /// The entry of the oldest cached copies of a key and of those behind it, `most` at most, with how many of the run
    /// these are; entry -1 when there is none. The key must not lie inside a run: paths enter a node at its first block.
    @inline(__always)
    func oldestCopies(of key: Int32, most: Int32) -> (entry: Int32, count: Int32) {
        guard key < queue.entryCount else { return (-1, 0) }
        let entry = queue[key]
        return entry.references >= 0 ? (key, min(most, entry.count)) : (entry.youngerCopy, 1)
    }

    /// Whether any block caches a key.
    @inline(__always)
    private func isCached(_ key: Int32) -> Bool {
        queue[key].references != FreeQueue.Entry.absent || queue[key].youngerCopy >= 0
    }

    /// How many of the first `count` blocks of a list of keys have a cached copy, up to the first that has none.
    /// O(runs).
    func longestHit(_ keys: borrowing BlockRunStorage, _ list: borrowing BlockRunList, count: Int)
        -> PrefixHit
    {
        var hit = PrefixHit()
        for i in 0..<list.runCount {
            let run = keys[list, i]
            var key = run.first
            let end = run.first + min(run.count, Int32(count) - run.position)
            while key < end {
                let found = oldestCopies(of: key, most: end - key)
                guard found.entry >= 0 else { return hit }
                if queue[found.entry].references == 0 { hit.freeBlocks += Int(found.count) }
                hit.blocks += Int(found.count)
                key += found.count
            }
        }
        return hit
    }

    // MARK: Taking blocks

    /// Takes `count` blocks from the head of the free queue; contents that were cached in them are lost.
    /// O(entries passed + cached blocks); a run of blocks that are only counted is one entry.
    @inline(__always)
    mutating func take(_ count: Int, index: inout PrefixIndex) {
        freeCount -= count
        let first = queue.head
        // Mostly it is a block or two, and the run at the head has more.
        if first >= 0, queue[first].key < 0, queue[first].count > count {
            queue[first].count -= Int32(count)
            noteTaken(Int32(count), of: queue[first].key)
        } else {
            takeAcross(count, index: &index)
        }
    }

    /// `take` where entries of any kind may have to be used up.
    @inline(never)
    private mutating func takeAcross(_ count: Int, index: inout PrefixIndex) {
        var left = Int32(count)
        while left > 0 {
            let first = queue.head
            let entry = queue[first]
            if entry.key >= 0 {
                left -= takeCached(left, index: &index)
                continue
            }
            let taken = min(left, entry.count)
            left -= taken
            noteTaken(taken, of: entry.key)
            if entry.count > taken {
                queue[first].count -= taken
                return
            }
            queue.unlink(first)
            queue.putAside(first)
            if entry.key == Self.deferredRun {
                index.setDeferral(.none, of: entry.youngerCopy)
                index.release(entry.youngerCopy)
            }
        }
    }

    /// Blocks of a run that is only counted were taken.
    @inline(__always)
    private mutating func noteTaken(_ count: Int32, of kind: Int32) {
        if kind == Self.privateRun { privateFreeCount -= Int(count) }
        if kind == Self.deferredRun { cachedKeyCount -= Int(count) }
    }

    /// Takes cached blocks from the entry at the head of the free queue, `most` at most; returns how many.
    private mutating func takeCached(_ most: Int32, index: inout PrefixIndex) -> Int32 {
        let first = queue.head
        let entry = queue[first]
        let taken = min(most, entry.count)
        if taken == entry.count { queue.unlink(first) } else { queue[first].count -= taken }
        if entry.key == first {
            for block in first + entry.count - taken..<first + entry.count {
                queue[block].references = FreeQueue.Entry.absent
                if queue[block].youngerCopy < 0 { cachedKeyCount -= 1 }
            }
        } else {
            forgetCopy(first, key: entry.key)
        }
        index.release(index.nodeOfKey[Int(entry.key)], count: taken)
        return taken
    }

    /// Takes the oldest cached copies of the first `count` blocks of a list of keys into use by one more request, and
    /// puts their entries at the end of its list. O(runs).
    mutating func touch(
        _ keys: borrowing BlockRunStorage, _ list: borrowing BlockRunList, count: Int,
        into entries: inout BlockRunStorage, _ held: inout BlockRunList
    ) {
        for i in 0..<list.runCount {
            let run = keys[list, i]
            var key = run.first
            let end = run.first + min(run.count, Int32(count) - run.position)
            while key < end {
                let (entry, found) = oldestCopies(of: key, most: end - key)
                if found < queue[entry].count { queue.split(entry, behind: found) }
                if queue[entry].references == 0 {
                    queue.unlink(entry)
                    freeCount -= Int(found)
                }
                queue[entry].references += 1
                entries.append(entry, count: found, to: &held)
                key += found
            }
        }
    }

    // MARK: Giving blocks back

    /// Frees `count` unhashed blocks.
    mutating func freeUnhashed(_ count: Int, index: inout PrefixIndex) {
        guard count > 0 else { return }
        releases &+= 1
        freeCount += count
        let neighbour = unhashedFirst ? queue.head : queue.tail
        if neighbour >= 0 && queue[neighbour].key == Self.unhashedRun {
            queue[neighbour].count += Int32(count)
            return
        }
        let run = makeEntry(Self.unhashedRun, count: count, index: &index)
        if unhashedFirst { queue.prepend(run) } else { queue.append(run) }
    }

    /// Frees `count` hashed blocks that only the request giving them up could have hit.
    mutating func freePrivate(_ count: Int, index: inout PrefixIndex) {
        guard count > 0 else { return }
        releases &+= 1
        freeCount += count
        privateFreeCount += count
        if queue.tail >= 0 && queue[queue.tail].key == Self.privateRun {
            queue[queue.tail].count += Int32(count)
            return
        }
        queue.append(makeEntry(Self.privateRun, count: count, index: &index))
    }

    /// Frees the first `count` blocks of `node`, which are hashed but not registered.
    mutating func freeDeferred(_ count: Int, of node: Int32, index: inout PrefixIndex) {
        index.setDeferral(.none, of: node)
        guard count > 0 else { return }
        releases &+= 1
        registrations &+= 1
        freeCount += count
        cachedKeyCount += count
        let run = makeEntry(Self.deferredRun, count: count, index: &index)
        queue[run].youngerCopy = node
        queue.append(run)
        index.retain(node)
        index.setDeferral(.run(entry: run), of: node)
    }

    /// Registers the blocks of a deferred run, so that requests may hit them.
    mutating func register(_ run: Int32, of node: Int32, index: inout PrefixIndex) {
        let count = queue[run].count
        let keys = index.makeKeys(of: node, count: Int(count))
        queue.cover(index.keyEnd)
        queue.makeRun(keys.lowerBound, count: count, references: 0)
        queue.link(keys.lowerBound, behind: run)
        queue.unlink(run)
        queue.putAside(run)
        // The run kept the node once, each block keeps it by itself.
        index.retain(node, count: count - 1)
        index.setDeferral(.none, of: node)
        registrations &+= 1
    }

    /// Lets one request's use of its blocks go, the last first; the last use of a block puts it at the tail of the free
    /// queue. O(runs).
    mutating func release(
        _ entries: borrowing BlockRunStorage, _ held: borrowing BlockRunList, index: borrowing PrefixIndex
    ) {
        var freed = 0
        for i in (0..<held.runCount).reversed() {
            let run = entries[held, i]
            // Requests that use part of it may have split it: what is freed goes behind what was free before, the first
            // part last.
            let last = queue.tail
            var entry = run.first
            while entry < run.end {
                let count = queue[entry].count
                queue[entry].references -= 1
                if queue[entry].references == 0 {
                    freed += Int(count)
                    queue.link(entry, behind: last)
                    queue.join(entry, with: queue[entry].next, index.nodeOfKey)
                }
                entry += count
            }
            if last >= 0 { queue.join(last, with: queue[last].next, index.nodeOfKey) }
        }
        guard freed > 0 else { return }
        releases &+= 1
        freeCount += freed
    }

    /// Makes the contents of a request's blocks from number `first` up to `end` findable under their keys, and puts their
    /// entries at the end of its list. O(blocks).
    mutating func register(
        _ keys: borrowing BlockRunStorage, _ list: borrowing BlockRunList, from first: Int32, to end: Int32,
        into entries: inout BlockRunStorage, _ held: inout BlockRunList, index: inout PrefixIndex
    ) {
        queue.cover(index.keyEnd)
        var position = first
        while position < end {
            let (key, count) = keys.numbers(from: position, of: list)
            let new = absentKeys(from: key, most: min(count, end - position), index)
            if new > 0 {
                queue.makeRun(key, count: new, references: 1)
                cachedKeyCount += Int(new)
                entries.append(key, count: new, to: &held)
            } else {
                entries.append(makeCopy(of: key, index: &index), count: 1, to: &held)
            }
            index.retain(index.nodeOfKey[Int(key)], count: max(new, 1))
            position += max(new, 1)
        }
        registrations &+= 1
    }

    /// How many keys of the same node from `key` on no block caches, up to the first that one does.
    private func absentKeys(from key: Int32, most: Int32, _ index: borrowing PrefixIndex) -> Int32 {
        var count: Int32 = 0
        while count < most, !isCached(key + count),
            index.nodeOfKey[Int(key + count)] == index.nodeOfKey[Int(key)]
        {
            count += 1
        }
        return count
    }

    // MARK: Copies

    /// A further copy of a content, the youngest.
    private mutating func makeCopy(of key: Int32, index: inout PrefixIndex) -> Int32 {
        let copy = makeEntry(key, count: 1, index: &index)
        queue[copy].references = 1
        var elder = key
        while queue[elder].youngerCopy >= 0 { elder = queue[elder].youngerCopy }
        queue[elder].youngerCopy = copy
        return copy
    }

    private mutating func forgetCopy(_ copy: Int32, key: Int32) {
        var elder = key
        while queue[elder].youngerCopy != copy { elder = queue[elder].youngerCopy }
        queue[elder].youngerCopy = queue[copy].youngerCopy
        queue.putAside(copy)
        if !isCached(key) { cachedKeyCount -= 1 }
    }

    // MARK: Entries

    /// An entry that doesn't stand at its key.
    private mutating func makeEntry(_ key: Int32, count: Int, index: inout PrefixIndex) -> Int32 {
        var place = queue.takeSpare()
        if place < 0 {
            place = index.allocateKey()
            queue.cover(index.keyEnd)
        }
        queue[place] = FreeQueue.Entry(key: key, references: 0, count: Int32(count))
        return place
    }

    // MARK: Invariants

    /// Walks the free queue and checks that counts, links and runs agree. O(entries).
    func checkInvariants() {
        queue.checkInvariants()
        var (free, privateFree, entry) = (0, 0, queue.head)
        while entry >= 0 {
            free += Int(queue[entry].count)
            if queue[entry].key == Self.privateRun { privateFree += Int(queue[entry].count) }
            entry = queue[entry].next
        }
        precondition(free == freeCount && privateFree == privateFreeCount, "free queue: counts are off")
        precondition((0...capacity).contains(freeCount), "free queue: more free blocks than blocks")
    }
}
