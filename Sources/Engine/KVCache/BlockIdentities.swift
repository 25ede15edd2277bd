/// Which physical blocks requests hold and in which order the free ones will be taken.
///
/// `BlockPool` only counts blocks that no other request can find. Where copies to CPU memory run behind the engine's
/// back, it matters which block is taken next: a copy still reading it must be waited for. This mirrors vLLM's free
/// queue block by block (`v1/core/kv_cache_utils.py: FreeKVCacheBlockQueue`).
struct BlockIdentities {
    /// Neighbours in the free queue by block; block 0, vLLM's null block, is the sentinel. -1 for a block in use.
    private var nextFree: [Int32]
    private var previousFree: [Int32]
    /// Blocks of each request slot, in order.
    private(set) var tables: [[Int32]] = []
    /// Per slot: blocks that the last allocation found.
    private(set) var heldBefore: [Int] = []
    /// By entry of the pool: the block.
    private var blockOfEntry: [Int32] = []
    private(set) var freeCount: Int
    private let unhashedFirst: Bool

    init(capacity: Int, unhashedFirst: Bool) {
        let count = Int32(capacity + 1)
        nextFree = (0..<count).map { ($0 + 1) % count }
        previousFree = (0..<count).map { ($0 + count - 1) % count }
        freeCount = capacity
        self.unhashedFirst = unhashedFirst
    }

    mutating func open(_ slot: Int32) {
        while tables.count <= Int(slot) {
            tables.append([])
            heldBefore.append(0)
        }
    }

    /// Notes where the blocks of the next allocation begin.
    mutating func beginAllocation(_ slot: Int32) { heldBefore[Int(slot)] = tables[Int(slot)].count }

    /// A request uses the block of an entry that was hit.
    mutating func touch(entry: Int32, isFree: Bool, by slot: Int32) {
        let block = blockOfEntry[Int(entry)]
        if isFree { unlink(block) }
        tables[Int(slot)].append(block)
    }

    /// A request takes blocks from the head of the free queue until it holds `count`.
    mutating func take(upTo count: Int, by slot: Int32) {
        while tables[Int(slot)].count < count {
            let block = nextFree[0]
            unlink(block)
            tables[Int(slot)].append(block)
        }
    }

    /// The content of block number `position` of a request became findable as `entry`.
    mutating func register(entry: Int32, block position: Int, of slot: Int32) {
        while blockOfEntry.count <= entry { blockOfEntry.append(-1) }
        blockOfEntry[Int(entry)] = tables[Int(slot)][position]
    }

    /// A block without a hash is free: it will be taken first, except in releases that append all.
    mutating func freeUnhashed(_ block: Int32) {
        if unhashedFirst { link(block, after: 0) } else { link(block, after: previousFree[0]) }
    }

    /// A block with a findable content is free: it will be taken last.
    mutating func freeHashed(_ block: Int32) { link(block, after: previousFree[0]) }

    /// A request's blocks were freed and nobody asks which they were.
    mutating func clear(_ slot: Int32) { tables[Int(slot)].removeAll(keepingCapacity: true) }

    private mutating func unlink(_ block: Int32) {
        let (previous, next) = (previousFree[Int(block)], nextFree[Int(block)])
        nextFree[Int(previous)] = next
        previousFree[Int(next)] = previous
        nextFree[Int(block)] = -1
        freeCount -= 1
    }

    private mutating func link(_ block: Int32, after previous: Int32) {
        precondition(nextFree[Int(block)] < 0, "block: freed twice")
        let next = nextFree[Int(previous)]
        nextFree[Int(previous)] = block
        previousFree[Int(block)] = previous
        nextFree[Int(block)] = next
        previousFree[Int(next)] = block
        freeCount += 1
    }
}
