/// Chunks that the CPU tier knows, each in exactly one doubly linked list ordered from least to most recently used.
struct ChunkLists {
    /// Which list a chunk is in. Ghosts are chunks evicted by the adaptive policy, remembered without content.
    enum List: UInt8 {
        case recent, frequent, recentGhost, frequentGhost
        var isGhost: Bool { self == .recentGhost || self == .frequentGhost }
    }

    /// One chunk; its content is named by the prefix-index key of its last block.
    struct Chunk {
        var key: Int32
        /// Loads that read it; -1 while it is being written.
        var references: Int32 = 0
        var previous: Int32 = -1
        var next: Int32 = -1
        var list = List.recent
        /// Whether a load brings it to the GPU for a request that others may share it with.
        var isLoading = false
        /// Number of the store that must not evict it.
        var protectedBy: Int64 = -1
    }

    private(set) var chunks: [Chunk] = []
    private var freeChunks: [Int32] = []
    private var heads: [Int32] = [-1, -1, -1, -1]
    private var tails: [Int32] = [-1, -1, -1, -1]
    private var counts = [0, 0, 0, 0]

    subscript(chunk: Int32) -> Chunk {
        get { chunks[Int(chunk)] }
        _modify { yield &chunks[Int(chunk)] }
    }

    /// The least recently used of a list, -1 when empty.
    func first(of list: List) -> Int32 { heads[Int(list.rawValue)] }
    /// Chunks in a list.
    func count(of list: List) -> Int { counts[Int(list.rawValue)] }

    /// A new chunk at the most recent end of `recent`.
    mutating func insert(_ chunk: Chunk) -> Int32 {
        let index: Int32
        if let free = freeChunks.popLast() {
            chunks[Int(free)] = chunk
            index = free
        } else {
            chunks.append(chunk)
            index = Int32(chunks.count - 1)
        }
        link(index, into: .recent)
        return index
    }

    /// Forgets a chunk.
    mutating func remove(_ chunk: Int32) {
        unlink(chunk)
        freeChunks.append(chunk)
    }

    /// Puts a chunk at the most recent end of a list.
    mutating func move(_ chunk: Int32, to list: List) {
        unlink(chunk)
        link(chunk, into: list)
    }

    private mutating func link(_ chunk: Int32, into list: List) {
        let (l, i) = (Int(list.rawValue), Int(chunk))
        let last = tails[l]
        chunks[i].list = list
        chunks[i].previous = last
        chunks[i].next = -1
        if last >= 0 { chunks[Int(last)].next = chunk } else { heads[l] = chunk }
        tails[l] = chunk
        counts[l] += 1
    }

    private mutating func unlink(_ chunk: Int32) {
        let gone = chunks[Int(chunk)]
        let l = Int(gone.list.rawValue)
        if gone.previous >= 0 { chunks[Int(gone.previous)].next = gone.next } else { heads[l] = gone.next }
        if gone.next >= 0 {
            chunks[Int(gone.next)].previous = gone.previous
        } else {
            tails[l] = gone.previous
        }
        counts[l] -= 1
    }
}
