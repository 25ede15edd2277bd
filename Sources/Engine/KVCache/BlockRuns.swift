/// Blocks of a request that follow each other, by consecutive numbers: keys of the prefix index, or entries of the pool.
struct BlockRun: Equatable {
    /// Position of the first among the request's blocks.
    var position: Int32
    /// Number of the first.
    var first: Int32
    /// How many.
    var count: Int32

    /// One past the last number.
    var end: Int32 { first &+ count }
}

/// The numbers of a request's blocks from the first one on, as runs in a `BlockRunStorage`.
struct BlockRunList {
    fileprivate var offset: Int32 = -1
    fileprivate var sizeClass: Int32 = 0
    /// Runs.
    private(set) var runCount: Int32 = 0
    /// Blocks.
    private(set) var blockCount: Int32 = 0

    fileprivate mutating func grow(runs: Int32, blocks: Int32) {
        runCount += runs
        blockCount += blocks
    }

    /// Forgets the blocks; the storage stays, for others that take the list over.
    mutating func clear() {
        runCount = 0
        blockCount = 0
    }
}

/// Holds the lists of all requests. A prompt that others share is one run, or as many as its parts, whatever its length.
struct BlockRunStorage {
    private var runs: [BlockRun] = []
    private var ranges = RangeAllocator()

    /// Run number `index` of a list.
    @inline(__always)
    subscript(list: BlockRunList, index: Int32) -> BlockRun {
        runs[Int(list.offset &+ index)]
    }

    /// The number of the block at `position`, and how many blocks from there on have consecutive numbers. O(log runs).
    func numbers(from position: Int32, of list: borrowing BlockRunList) -> (first: Int32, count: Int32) {
        var (low, high) = (Int32(0), list.runCount - 1)
        while low < high {
            let middle = (low + high + 1) / 2
            if self[list, middle].position <= position { low = middle } else { high = middle - 1 }
        }
        let run = self[list, low]
        let passed = position - run.position
        return (run.first + passed, run.count - passed)
    }

    /// Puts `count` blocks with consecutive numbers from `first` on at the end of a list.
    mutating func append(_ first: Int32, count: Int32, to list: inout BlockRunList) {
        if list.runCount > 0 {
            let last = Int(list.offset + list.runCount - 1)
            if runs[last].end == first {
                runs[last].count += count
                return list.grow(runs: 0, blocks: count)
            }
        }
        if list.offset < 0 || list.runCount == 1 << list.sizeClass { moveToLarger(&list) }
        runs[Int(list.offset + list.runCount)] = BlockRun(
            position: list.blockCount, first: first, count: count)
        list.grow(runs: 1, blocks: count)
    }

    private mutating func moveToLarger(_ list: inout BlockRunList) {
        let sizeClass = RangeAllocator.sizeClass(for: Int(list.runCount) + 1)
        let offset = ranges.allocate(sizeClass: sizeClass)
        let missing = Int(ranges.end) - runs.count
        if missing > 0 {
            let none = BlockRun(position: 0, first: 0, count: 0)
            runs.append(contentsOf: repeatElement(none, count: missing))
        }
        if list.offset >= 0 {
            for i in 0..<list.runCount { runs[Int(offset + i)] = runs[Int(list.offset + i)] }
            ranges.free(list.offset, sizeClass: Int(list.sizeClass))
        }
        list.offset = offset
        list.sizeClass = Int32(sizeClass)
    }
}
