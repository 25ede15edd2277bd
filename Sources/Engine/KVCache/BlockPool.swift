/// The KV blocks of one engine and vLLM's free queue over them.
///
/// Source: `v1/core/block_pool.py`, `v1/core/kv_cache_utils.py: FreeKVCacheBlockQueue`.
///
/// Block ids never show in a schedule: only how many blocks are free, and in which order cached contents are
/// lost. So blocks without a findable content are counted, not stored. The free queue is a list of entries: a
/// run of unhashed blocks, a run of hashed blocks whose content no other request can ask for, a run of blocks that
/// none has come by to ask for so far, or one cached block that a later prompt may hit.
///
/// Entries stand at the offsets that `PrefixIndex` hands out. The block that caches a key while no other does has the
/// entry at the key itself, so that the blocks of a prompt lie side by side in memory; runs and further copies of the
/// same content have entries of their own.
struct BlockPool {
    /// A cached block, or a run in the free queue.
    struct Entry {
        var previous: Int32 = -1
        var next: Int32 = -1
        /// The key that is cached (that of the entry itself, or another's if this is a further copy), or one of the
        /// three run kinds.
        var key: Int32
        /// Requests that use the cached block, 0 while it is in the free queue, `absent` if there is none; of a run
        /// its blocks.
        var count: Int32 = Self.absent
        /// The next younger copy of the same content; of a deferred run the node that owns its blocks.
        var youngerCopy: Int32 = -1

        static let absent: Int32 = -1
    }

    /// `Entry.key` of a run of blocks without a hash.
    static let unhashedRun: Int32 = -1
    /// `Entry.key` of a run of hashed blocks that nobody else can hit.
    static let privateRun: Int32 = -2
    /// `Entry.key` of a run of a node's first hashed blocks, the last of them in front, that are not registered yet.
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
    private var entries: [Entry] = []
    private var head: Int32 = -1
    private var tail: Int32 = -1
    /// vLLM 0.15 appends unhashed blocks to the tail; later versions put them in front, to be reused first.
    private let unhashedFirst: Bool

    init(capacity: Int, unhashedFirst: Bool, index: inout PrefixIndex) {
        self.capacity = capacity
        self.unhashedFirst = unhashedFirst
        freeCount = 0
        freeUnhashed(capacity, index: &index)
    }

    /// Entries in all; grows.
    var entryCount: Int { entries.count }

    /// The oldest cached copy of a key's block, -1 when there is none. O(1).
    @inline(__always)
    func oldestCopy(of key: Int32) -> Int32 {
        guard key < entries.count else { return -1 }
        let entry = entries[Int(key)]
        return entry.count >= 0 ? key : entry.youngerCopy
    }

    /// Requests that use a cached block.
    @inline(__always)
    func references(of block: Int32) -> Int32 { entries[Int(block)].count }

    /// How many of the first `count` of `cells` have a cached copy, up to the first that has none.
    func longestHit(_ cells: [BlockTableCell], at offset: Int, count: Int) -> PrefixHit {
        var hit = PrefixHit()
        let entries = entries.span
        let cells = cells.span.extracting(offset..<offset + count)
        for i in cells.indices {
            let key = Int(cells[i].key)
            guard key < entries.count else { break }
            var references = entries[key].count
            if references < 0 {
                let copy = entries[key].youngerCopy
                if copy < 0 { break }
                references = entries[Int(copy)].count
            }
            if references == 0 { hit.freeBlocks &+= 1 }
            hit.blocks = i &+ 1
        }
        return hit
    }

    // MARK: Taking blocks

    /// Takes `count` blocks from the head of the free queue; contents that were cached in them are lost.
    /// O(entries passed); a run counts as one.
    mutating func take(_ count: Int, index: inout PrefixIndex) {
        freeCount -= count
        var left = Int32(count)
        while left > 0 {
            let first = head
            let entry = entries[Int(first)]
            if entry.key >= 0 {
                left -= takeCached(left, index: &index)
            } else {
                let taken = min(left, entry.count)
                left -= taken
                if entry.key == Self.privateRun { privateFreeCount -= Int(taken) }
                if entry.key == Self.deferredRun { cachedKeyCount -= Int(taken) }
                if entry.count > taken {
                    entries[Int(first)].count -= taken
                    return
                }
                unlink(first)
                freeEntry(first, index: &index)
                if entry.key == Self.deferredRun {
                    index.setDeferral(.none, of: entry.youngerCopy)
                    index.release(entry.youngerCopy)
                }
            }
        }
    }

    /// Takes cached blocks from the head of the free queue, `most` at most, up to the next run; returns how many.
    private mutating func takeCached(_ most: Int32, index: inout PrefixIndex) -> Int32 {
        var taken: Int32 = 0
        // Blocks of a prompt follow each other and lie in few nodes.
        var node: Int32 = -1
        var leaving: Int32 = 0
        while taken < most && head >= 0 {
            let block = head
            let entry = entries[Int(block)]
            guard entry.key >= 0 else { break }
            head = entry.next
            taken += 1
            if entry.key == block {
                entries[Int(block)].count = Entry.absent
                if entry.youngerCopy < 0 { cachedKeyCount -= 1 }
            } else {
                forgetCopy(block, key: entry.key, index: &index)
            }
            let owner = index.nodeOfKey[Int(entry.key)]
            if owner != node {
                if leaving > 0 { index.release(node, count: leaving) }
                (node, leaving) = (owner, 0)
            }
            leaving += 1
        }
        if head >= 0 { entries[Int(head)].previous = -1 } else { tail = -1 }
        if leaving > 0 { index.release(node, count: leaving) }
        return taken
    }

    /// Takes the oldest cached copies of the first `count` of `cells` into use by one more request.
    mutating func touch(_ cells: inout [BlockTableCell], at offset: Int, count: Int) {
        var (first, last, taken) = (head, tail, 0)
        // Spans: their elements are written without asking each time whether the array is shared.
        var span = entries.mutableSpan
        var all = cells.mutableSpan
        var cells = all._mutatingExtracting(offset..<offset + count)
        for i in cells.indices {
            var block = cells[i].key
            var references = span[Int(block)].count
            if references < 0 {
                block = span[Int(block)].youngerCopy
                references = span[Int(block)].count
            }
            cells[i].block = block
            span[Int(block)].count = references &+ 1
            guard references == 0 else { continue }
            let (previous, next) = (span[Int(block)].previous, span[Int(block)].next)
            if previous >= 0 { span[Int(previous)].next = next } else { first = next }
            if next >= 0 { span[Int(next)].previous = previous } else { last = previous }
            taken += 1
        }
        (head, tail) = (first, last)
        freeCount -= taken
    }

    // MARK: Giving blocks back

    /// Frees `count` unhashed blocks.
    mutating func freeUnhashed(_ count: Int, index: inout PrefixIndex) {
        guard count > 0 else { return }
        releases &+= 1
        freeCount += count
        let neighbour = unhashedFirst ? head : tail
        if neighbour >= 0 && entries[Int(neighbour)].key == Self.unhashedRun {
            entries[Int(neighbour)].count += Int32(count)
            return
        }
        let run = makeEntry(Entry(key: Self.unhashedRun, count: Int32(count)), index: &index)
        if unhashedFirst { prepend(run) } else { append(run) }
    }

    /// Frees `count` hashed blocks that only the request giving them up could have hit.
    mutating func freePrivate(_ count: Int, index: inout PrefixIndex) {
        guard count > 0 else { return }
        releases &+= 1
        freeCount += count
        privateFreeCount += count
        if tail >= 0 && entries[Int(tail)].key == Self.privateRun {
            entries[Int(tail)].count += Int32(count)
            return
        }
        append(makeEntry(Entry(key: Self.privateRun, count: Int32(count)), index: &index))
    }

    /// Frees the first `count` blocks of `node`, which are hashed but not registered.
    mutating func freeDeferred(_ count: Int, of node: Int32, index: inout PrefixIndex) {
        index.setDeferral(.none, of: node)
        guard count > 0 else { return }
        releases &+= 1
        registrations &+= 1
        freeCount += count
        cachedKeyCount += count
        let run = makeEntry(
            Entry(key: Self.deferredRun, count: Int32(count), youngerCopy: node), index: &index)
        append(run)
        index.retain(node)
        index.setDeferral(.run(entry: run), of: node)
    }

    /// Makes the blocks of a deferred run entries of their own, which requests may hit.
    mutating func spread(_ run: Int32, of node: Int32, index: inout PrefixIndex) {
        let (before, after, count) = (
            entries[Int(run)].previous, entries[Int(run)].next, entries[Int(run)].count
        )
        freeEntry(run, index: &index)
        let keys = index.makeKeys(of: node, count: Int(count))
        cover(index.keyEnd)
        var last = before
        for key in keys.reversed() {
            entries[Int(key)].count = 0
            entries[Int(key)].previous = last
            if last >= 0 { entries[Int(last)].next = key } else { head = key }
            last = key
        }
        entries[Int(last)].next = after
        if after >= 0 { entries[Int(after)].previous = last } else { tail = last }
        // The run kept the node once, each block keeps it by itself.
        index.retain(node, count: count - 1)
        index.setDeferral(.none, of: node)
        registrations &+= 1
    }

    /// Lets one request's use of the blocks of `cells` go, the last first; the last use of a block puts it at the tail
    /// of the free queue.
    mutating func release(_ cells: [BlockTableCell], at offset: Int, count: Int) {
        var (first, last, freed) = (head, tail, 0)
        var span = entries.mutableSpan
        let cells = cells.span.extracting(offset..<offset + count)
        for i in cells.indices.reversed() {
            let block = cells[i].block
            let references = span[Int(block)].count &- 1
            span[Int(block)].count = references
            guard references == 0 else { continue }
            span[Int(block)].previous = last
            span[Int(block)].next = -1
            if last >= 0 { span[Int(last)].next = block } else { first = block }
            last = block
            freed += 1
        }
        guard freed > 0 else { return }
        (head, tail) = (first, last)
        releases &+= 1
        freeCount += freed
    }

    /// Makes the contents of blocks in use findable under the keys of `cells`, and notes there which block has which.
    mutating func register(
        _ cells: inout [BlockTableCell], at offset: Int, count: Int, index: inout PrefixIndex
    ) {
        guard count > 0 else { return }
        cover(index.keyEnd)
        var node: Int32 = -1
        var coming: Int32 = 0
        for i in offset..<offset + count {
            let key = cells[i].key
            if entries[Int(key)].count < 0 && entries[Int(key)].youngerCopy < 0 {
                entries[Int(key)].count = 1
                cachedKeyCount += 1
                cells[i].block = key
            } else {
                cells[i].block = makeCopy(of: key, index: &index)
            }
            let owner = index.nodeOfKey[Int(key)]
            if owner != node {
                if coming > 0 { index.retain(node, count: coming) }
                (node, coming) = (owner, 0)
            }
            coming += 1
        }
        index.retain(node, count: coming)
        registrations &+= 1
    }

    // MARK: Copies

    /// A further copy of a content, the youngest.
    private mutating func makeCopy(of key: Int32, index: inout PrefixIndex) -> Int32 {
        let copy = makeEntry(Entry(key: key, count: 1), index: &index)
        var elder = key
        while entries[Int(elder)].youngerCopy >= 0 { elder = entries[Int(elder)].youngerCopy }
        entries[Int(elder)].youngerCopy = copy
        return copy
    }

    private mutating func forgetCopy(_ copy: Int32, key: Int32, index: inout PrefixIndex) {
        var elder = key
        while entries[Int(elder)].youngerCopy != copy { elder = entries[Int(elder)].youngerCopy }
        entries[Int(elder)].youngerCopy = entries[Int(copy)].youngerCopy
        freeEntry(copy, index: &index)
        if oldestCopy(of: key) < 0 { cachedKeyCount -= 1 }
    }

    // MARK: Entries

    /// Makes an entry for every offset below `end`.
    @inline(__always)
    private mutating func cover(_ end: Int) {
        guard entries.count < end else { return }
        for key in entries.count..<end { entries.append(Entry(key: Int32(key))) }
    }

    private mutating func makeEntry(_ entry: Entry, index: inout PrefixIndex) -> Int32 {
        let place = index.allocateKey()
        cover(index.keyEnd)
        entries[Int(place)] = entry
        return place
    }

    private mutating func freeEntry(_ entry: Int32, index: inout PrefixIndex) {
        entries[Int(entry)] = Entry(key: entry)
        index.freeKey(entry)
    }

    private mutating func append(_ entry: Int32) {
        entries[Int(entry)].previous = tail
        entries[Int(entry)].next = -1
        if tail >= 0 { entries[Int(tail)].next = entry } else { head = entry }
        tail = entry
    }

    private mutating func prepend(_ entry: Int32) {
        entries[Int(entry)].next = head
        entries[Int(entry)].previous = -1
        if head >= 0 { entries[Int(head)].previous = entry } else { tail = entry }
        head = entry
    }

    private mutating func unlink(_ entry: Int32) {
        let (previous, next) = (entries[Int(entry)].previous, entries[Int(entry)].next)
        if previous >= 0 { entries[Int(previous)].next = next } else { head = next }
        if next >= 0 { entries[Int(next)].previous = previous } else { tail = previous }
    }

    // MARK: Invariants

    /// Walks the free queue and checks that counts, links and reference counts agree. O(entries).
    func checkInvariants() {
        var (free, privateFree, entry, before) = (0, 0, head, Int32(-1))
        while entry >= 0 {
            let e = entries[Int(entry)]
            precondition(e.previous == before, "free queue: broken back link")
            precondition(e.key >= 0 ? e.count == 0 : e.count > 0, "free queue: block in use or empty run")
            free += e.key >= 0 ? 1 : Int(e.count)
            if e.key == Self.privateRun { privateFree += Int(e.count) }
            (before, entry) = (entry, e.next)
        }
        precondition(before == tail, "free queue: tail is not the last entry")
        precondition(free == freeCount && privateFree == privateFreeCount, "free queue: counts are off")
        precondition((0...capacity).contains(freeCount), "free queue: more free blocks than blocks")
    }
}
