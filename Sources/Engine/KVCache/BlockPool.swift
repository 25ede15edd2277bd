/// The KV blocks of one engine and vLLM's free queue over them.
///
/// Source: `v1/core/block_pool.py`, `v1/core/kv_cache_utils.py: FreeKVCacheBlockQueue`.
///
/// Block ids never show in a schedule: only how many blocks are free, and in which order cached contents are
/// lost. So blocks without a findable content are counted, not stored. The free queue is a list of entries: a
/// run of unhashed blocks, a run of hashed blocks whose content no other request can ask for, or one cached
/// block that a later prompt may hit. Only the last kind costs a record per block.
struct BlockPool {
    /// A cached block, or a run in the free queue. `key` is a prefix-index key, or one of the two run kinds.
    struct Entry {
        var previous: Int32 = -1
        var next: Int32 = -1
        var key: Int32
        /// Blocks in the run; 1 for a cached block.
        var count: Int32
        /// Requests that use the cached block; 0 while in the free queue.
        var references: Int32 = 0
        /// The next younger copy of the same content.
        var youngerCopy: Int32 = -1
    }

    /// `Entry.key` of a run of blocks without a hash.
    static let unhashedRun: Int32 = -1
    /// `Entry.key` of a run of hashed blocks that nobody else can hit.
    static let privateRun: Int32 = -2

    /// Blocks in all, the null block left out.
    let capacity: Int
    /// Free blocks; cached blocks that nobody uses count as free.
    private(set) var freeCount: Int
    /// Hashed blocks in the free queue that nobody else can hit.
    private(set) var privateFreeCount = 0
    /// Changes whenever a content becomes findable: a failed lookup may then succeed.
    private(set) var registrations: UInt64 = 0
    /// Changes whenever a block becomes free.
    private(set) var releases: UInt64 = 0
    private(set) var entries: [Entry] = []
    private var freeEntries: [Int32] = []
    private var head: Int32 = -1
    private var tail: Int32 = -1
    /// vLLM 0.15 appends unhashed blocks to the tail; later versions put them in front, to be reused first.
    private let unhashedFirst: Bool

    init(capacity: Int, unhashedFirst: Bool) {
        self.capacity = capacity
        self.unhashedFirst = unhashedFirst
        freeCount = 0
        freeUnhashed(capacity)
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
            if entry.count > left {
                entries[Int(first)].count -= left
                if entry.key == Self.privateRun { privateFreeCount -= Int(left) }
                return
            }
            left -= entry.count
            unlink(first)
            if entry.key == Self.privateRun { privateFreeCount -= Int(entry.count) }
            if entry.key >= 0 { forget(first, key: entry.key, index: &index) }
            freeEntries.append(first)
        }
    }

    /// Takes a cached block into use by one more request.
    mutating func touch(_ block: Int32) {
        let i = Int(block)
        if entries[i].references == 0 {
            unlink(block)
            freeCount -= 1
        }
        entries[i].references += 1
    }

    // MARK: Giving blocks back

    /// Frees `count` unhashed blocks.
    mutating func freeUnhashed(_ count: Int) {
        guard count > 0 else { return }
        releases &+= 1
        freeCount += count
        let neighbour = unhashedFirst ? head : tail
        if neighbour >= 0 && entries[Int(neighbour)].key == Self.unhashedRun {
            entries[Int(neighbour)].count += Int32(count)
            return
        }
        let run = makeEntry(Entry(key: Self.unhashedRun, count: Int32(count)))
        if unhashedFirst { prepend(run) } else { append(run) }
    }

    /// Frees `count` hashed blocks that only the request giving them up could have hit.
    mutating func freePrivate(_ count: Int) {
        guard count > 0 else { return }
        releases &+= 1
        freeCount += count
        privateFreeCount += count
        if tail >= 0 && entries[Int(tail)].key == Self.privateRun {
            entries[Int(tail)].count += Int32(count)
            return
        }
        append(makeEntry(Entry(key: Self.privateRun, count: Int32(count))))
    }

    /// Lets one request's use of a cached block go; the last one puts it at the tail of the free queue.
    mutating func release(_ block: Int32) {
        entries[Int(block)].references -= 1
        if entries[Int(block)].references == 0 {
            append(block)
            releases &+= 1
            freeCount += 1
        }
    }

    /// Makes the content of a block in use findable under `key`; returns the block.
    mutating func register(key: Int32, index: inout PrefixIndex) -> Int32 {
        let block = makeEntry(Entry(key: key, count: 1, references: 1))
        let elder = index.addCopy(block, of: key)
        if elder >= 0 { entries[Int(elder)].youngerCopy = block }
        registrations &+= 1
        return block
    }

    // MARK: List and copies

    private mutating func forget(_ block: Int32, key: Int32, index: inout PrefixIndex) {
        let younger = entries[Int(block)].youngerCopy
        let oldest = index.keys[Int(key)].head
        if oldest == block {
            index.removeCopy(of: key, oldest: younger, newest: younger < 0 ? -1 : index.keys[Int(key)].tail)
            return
        }
        var elder = oldest
        while entries[Int(elder)].youngerCopy != block { elder = entries[Int(elder)].youngerCopy }
        entries[Int(elder)].youngerCopy = younger
        index.removeCopy(of: key, oldest: oldest, newest: younger < 0 ? elder : index.keys[Int(key)].tail)
    }

    private mutating func makeEntry(_ entry: Entry) -> Int32 {
        if let free = freeEntries.popLast() {
            entries[Int(free)] = entry
            return free
        }
        entries.append(entry)
        return Int32(entries.count - 1)
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
            precondition(e.count > 0 && e.references == 0, "free queue: block in use or empty run")
            free += Int(e.count)
            if e.key == Self.privateRun { privateFree += Int(e.count) }
            (before, entry) = (entry, e.next)
        }
        precondition(before == tail, "free queue: tail is not the last entry")
        precondition(free == freeCount && privateFree == privateFreeCount, "free queue: counts are off")
        precondition((0...capacity).contains(freeCount), "free queue: more free blocks than blocks")
    }
}
