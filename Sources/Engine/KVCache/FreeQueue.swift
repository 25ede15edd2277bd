/// The entries of a block pool, and vLLM's free queue over those that nobody uses.
///
/// An entry is a run of blocks: the blocks that cache consecutive keys and that the same number of requests use, one
/// copy of a content that is cached elsewhere already, or blocks that are only counted. In the free queue the last block
/// of a run comes first, as vLLM frees the tail of a sequence first. So a whole prompt enters and leaves the queue as
/// one entry; where a request uses only part of it, the run is split.
struct FreeQueue {
    /// A run of blocks.
    struct Entry {
        /// Neighbours in the free queue.
        var previous: Int32 = -1
        var next: Int32 = -1
        /// The key that the first block caches (that of the entry itself, or another's if this is a further copy), or one
        /// of the kinds of blocks that are only counted.
        var key: Int32
        /// Requests that use the blocks, 0 while they are in the free queue; `absent` if no block caches the key, `inside`
        /// if the block belongs to the run of an entry before.
        var references: Int32 = Self.absent
        /// Blocks, if there are any.
        var count: Int32 = 0
        /// The next younger copy of the same content; of a deferred run the node that owns its blocks.
        var youngerCopy: Int32 = -1

        static let absent: Int32 = -1
        static let inside: Int32 = -2
    }

    private(set) var head: Int32 = -1
    private(set) var tail: Int32 = -1
    private var entries: [Entry] = []
    /// Entries that can be used again, linked by `next`.
    private var spare: Int32 = -1

    /// Entries in all, absent ones and those inside runs included; grows.
    var entryCount: Int { entries.count }

    @inline(__always)
    subscript(entry: Int32) -> Entry {
        get { entries[Int(entry)] }
        _modify { yield &entries[Int(entry)] }
    }

    /// Makes an absent entry for every offset below `end`.
    @inline(__always)
    mutating func cover(_ end: Int) {
        guard entries.count < end else { return }
        for key in entries.count..<end { entries.append(Entry(key: Int32(key))) }
    }

    /// An entry to be used again, -1 when there is none.
    mutating func takeSpare() -> Int32 {
        let entry = spare
        if entry >= 0 { spare = entries[Int(entry)].next }
        return entry
    }

    /// Keeps an entry, which must be out of the queue and stand at no key, for later.
    mutating func putAside(_ entry: Int32) {
        entries[Int(entry)] = Entry(next: spare, key: entry)
        spare = entry
    }

    // MARK: Order

    /// Puts an entry at the tail.
    mutating func append(_ entry: Int32) { link(entry, behind: tail) }

    /// Puts an entry in front of all.
    mutating func prepend(_ entry: Int32) { link(entry, behind: -1) }

    /// Puts an entry behind another, -1 for the head.
    mutating func link(_ entry: Int32, behind previous: Int32) {
        let next = previous >= 0 ? entries[Int(previous)].next : head
        entries[Int(entry)].previous = previous
        entries[Int(entry)].next = next
        if previous >= 0 { entries[Int(previous)].next = entry } else { head = entry }
        if next >= 0 { entries[Int(next)].previous = entry } else { tail = entry }
    }

    /// Takes an entry out.
    mutating func unlink(_ entry: Int32) {
        let (previous, next) = (entries[Int(entry)].previous, entries[Int(entry)].next)
        if previous >= 0 { entries[Int(previous)].next = next } else { head = next }
        if next >= 0 { entries[Int(next)].previous = previous } else { tail = previous }
    }

    // MARK: Runs of cached blocks

    /// Whether an entry is a run that caches its own keys.
    @inline(__always)
    func isOwnRun(_ entry: Int32) -> Bool { entries[Int(entry)].key == entry }

    /// Makes the absent entries from `first` on one run. O(count).
    mutating func makeRun(_ first: Int32, count: Int32, references: Int32) {
        entries[Int(first)].references = references
        entries[Int(first)].count = count
        for block in Int(first) + 1..<Int(first) + Int(count) {
            entries[block].references = Entry.inside
        }
    }

    /// Cuts a run behind its first `count` blocks; both parts keep their place. O(1).
    mutating func split(_ run: Int32, behind count: Int32) {
        let rest = run + count
        entries[Int(rest)].references = entries[Int(run)].references
        entries[Int(rest)].count = entries[Int(run)].count - count
        entries[Int(run)].count = count
        // The last blocks come first.
        if entries[Int(run)].references == 0 { link(rest, behind: entries[Int(run)].previous) }
    }

    /// Makes two runs that follow each other in the queue one, if the keys of the one behind come right before those of
    /// the one in front and belong to the same node.
    /// - Returns: whether they do.
    @discardableResult
    mutating func join(_ front: Int32, with behind: Int32, _ nodeOfKey: [Int32]) -> Bool {
        guard front >= 0, behind >= 0, behind + entries[Int(behind)].count == front,
            isOwnRun(front), isOwnRun(behind), nodeOfKey[Int(front)] == nodeOfKey[Int(behind)]
        else { return false }
        entries[Int(behind)].count += entries[Int(front)].count
        entries[Int(front)].references = Entry.inside
        unlink(front)
        return true
    }

    // MARK: Invariants

    /// Walks the queue and checks that links, runs and marks agree. O(entries).
    func checkInvariants() {
        var (entry, before) = (head, Int32(-1))
        while entry >= 0 {
            let run = self[entry]
            precondition(run.previous == before, "free queue: broken back link")
            precondition(run.key < 0 || run.references == 0, "free queue: block in use")
            precondition(run.count > 0, "free queue: empty run")
            (before, entry) = (entry, run.next)
        }
        precondition(before == tail, "free queue: tail is not the last entry")
        var end: Int32 = 0
        for entry in 0..<Int32(entries.count) {
            let isInside = self[entry].references == Entry.inside
            precondition(isInside == (entry < end), "block run: marks don't agree with its length")
            if self[entry].references >= 0 && isOwnRun(entry) { end = entry + self[entry].count }
        }
    }
}
