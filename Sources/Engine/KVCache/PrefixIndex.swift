import ServingCore

/// Maps prompts to the identity of their blocks: a trie of segments whose nodes own one key per full block.
///
/// vLLM chains a hash over the token ids of each block (`v1/core/kv_cache_utils.py: get_request_block_hasher`).
/// Here a token is (segment, offset) and segments start at offset 0, so a path of segments in the trie *is* the
/// token sequence, and the pair (node that holds the block's last token, block number) is the block's hash
/// without collisions and without looking at tokens. `BlockPool` knows which cached blocks have a key.
struct PrefixIndex {
    private struct Node {
        var parent: Int32
        /// Token position at which this node's segment begins.
        var start: Int32
        var segment: SegmentID
        var firstExtent: Int32 = -1
        /// Children, cached blocks and requests that keep this node.
        var references: Int32 = 0
        /// Whether other requests can find it.
        var isShared: Bool
        /// What of its blocks is not registered although it could be.
        var deferral = Deferral.none
    }

    /// Full blocks of a node that are only counted, because no request but the one it was made for came by.
    enum Deferral: Equatable {
        case none
        /// Those of the request in a slot, which lives.
        case request(slot: Int32)
        /// Those of a run in the free queue.
        case run(entry: Int32)
    }

    /// Keys of consecutive blocks.
    private struct Extent {
        var firstBlock: Int32
        var base: Int32
        var sizeClass: Int32
        var next: Int32 = -1
    }

    static let root: Int32 = 0

    /// By key: the node that owns it.
    private(set) var nodeOfKey: [Int32] = []
    private let blockSize: Int32
    private var nodes: [Node]
    private var freeNodes: [Int32] = []
    private var extents: [Extent] = []
    private var freeExtents: [Int32] = []
    private var keyRanges = RangeAllocator()
    /// Open addressing with linear probing: node + 1, 0 for empty. Capacity is a power of two.
    private var table: [Int32]
    private var tableCount = 0

    init(blockSize: Int) {
        self.blockSize = Int32(blockSize)
        nodes = [Node(parent: -1, start: 0, segment: 0, references: 1, isShared: false)]
        table = Array(repeating: 0, count: 64)
    }

    // MARK: Nodes

    /// The node for `segment` standing at token `start` behind `parent`, made if absent. O(1) expected.
    /// - Parameter isNew: whether it was made.
    mutating func child(of parent: Int32, at start: Int, segment: SegmentID, isNew: inout Bool) -> Int32 {
        isNew = false
        var slot = tableSlot(parent, Int32(start), segment)
        while table[slot] != 0 {
            let node = table[slot] - 1
            let found = nodes[Int(node)]
            if found.parent == parent && found.start == Int32(start) && found.segment == segment {
                return node
            }
            slot = (slot + 1) & (table.count - 1)
        }
        isNew = true
        let node = makeNode(parent: parent, start: start, segment: segment, isShared: true)
        table[slot] = node + 1
        tableCount += 1
        if tableCount * 2 > table.count { growTable() }
        return node
    }

    /// A node behind `parent` that no other request can ever find.
    mutating func privateChild(of parent: Int32, at start: Int) -> Int32 {
        makeNode(parent: parent, start: start, segment: -1, isShared: false)
    }

    /// Keeps `node` (and with it all nodes above) until as many matching `release`s.
    mutating func retain(_ node: Int32, count: Int32 = 1) { nodes[Int(node)].references += count }

    /// Lets `node` go; frees it, and those above, once nothing keeps them.
    mutating func release(_ node: Int32, count: Int32 = 1) {
        var (node, count) = (node, count)
        while true {
            nodes[Int(node)].references -= count
            count = 1
            guard nodes[Int(node)].references == 0 else { return }
            let parent = nodes[Int(node)].parent
            removeNode(node)
            node = parent
        }
    }

    /// Keeps a key and its path until the matching `release(nodeOf:)`.
    mutating func retain(nodeOf key: Int32) { retain(nodeOfKey[Int(key)]) }

    /// Lets a key's path go.
    mutating func release(nodeOf key: Int32) { release(nodeOfKey[Int(key)]) }

    private mutating func makeNode(parent: Int32, start: Int, segment: SegmentID, isShared: Bool) -> Int32 {
        nodes[Int(parent)].references += 1
        let node = Node(parent: parent, start: Int32(start), segment: segment, isShared: isShared)
        if let free = freeNodes.popLast() {
            nodes[Int(free)] = node
            return free
        }
        nodes.append(node)
        return Int32(nodes.count - 1)
    }

    private mutating func removeNode(_ node: Int32) {
        if nodes[Int(node)].isShared { removeFromTable(node) }
        var extent = nodes[Int(node)].firstExtent
        while extent >= 0 {
            let old = extents[Int(extent)]
            keyRanges.free(old.base, sizeClass: Int(old.sizeClass))
            freeExtents.append(extent)
            extent = old.next
        }
        freeNodes.append(node)
    }

    // MARK: Deferred registration

    /// What of a node's blocks is not registered although it could be.
    func deferral(of node: Int32) -> Deferral { nodes[Int(node)].deferral }

    /// Notes what of a node's blocks is not registered although it could be.
    mutating func setDeferral(_ deferral: Deferral, of node: Int32) { nodes[Int(node)].deferral = deferral }

    /// Keys of the first `count` blocks that have their last token in a node without any keys; they are made.
    mutating func makeKeys(of node: Int32, count: Int) -> Range<Int32> {
        let extent = addExtent(
            to: node, after: -1, firstBlock: nodes[Int(node)].start / blockSize, count: count)
        let base = extents[Int(extent)].base
        return base..<base + Int32(count)
    }

    // MARK: Keys

    /// Appends to a list the keys of blocks `first..<end` of the path that ends in `node`; all of them must have their
    /// last token in `node`. O(extents).
    mutating func appendKeys(
        of node: Int32, blocks range: Range<Int>, expected: Int, to keys: inout BlockRunStorage,
        _ list: inout BlockRunList
    ) {
        var block = Int32(range.lowerBound)
        let end = Int32(range.upperBound)
        guard block < end else { return }
        var extent = nodes[Int(node)].firstExtent
        var last: Int32 = -1
        while block < end {
            if extent < 0 {
                // Doubling keeps a growing output's extents few.
                let covered = block - nodes[Int(node)].start / blockSize
                let count = max(expected, Int(end - block), Int(covered))
                extent = addExtent(to: node, after: last, firstBlock: block, count: count)
            }
            let current = extents[Int(extent)]
            let endOfExtent = current.firstBlock + Int32(1) << current.sizeClass
            if block < endOfExtent {
                let count = min(end, endOfExtent) - block
                keys.append(current.base + block - current.firstBlock, count: count, to: &list)
                block += count
            }
            last = extent
            extent = current.next
        }
    }

    private mutating func addExtent(to node: Int32, after last: Int32, firstBlock: Int32, count: Int) -> Int32
    {
        // Extents cover a node's blocks without gaps from its first block on.
        let first = last < 0 ? nodes[Int(node)].start / blockSize : firstBlock
        let sizeClass = RangeAllocator.sizeClass(for: count + Int(firstBlock - first))
        let base = keyRanges.allocate(sizeClass: sizeClass)
        coverKeys()
        for key in Int(base)..<Int(base) + (1 << sizeClass) { nodeOfKey[key] = node }
        let made = Extent(firstBlock: first, base: base, sizeClass: Int32(sizeClass))
        let index: Int32
        if let free = freeExtents.popLast() {
            extents[Int(free)] = made
            index = free
        } else {
            extents.append(made)
            index = Int32(extents.count - 1)
        }
        if last < 0 { nodes[Int(node)].firstExtent = index } else { extents[Int(last)].next = index }
        return index
    }

    /// One past the greatest key.
    var keyEnd: Int { Int(keyRanges.end) }

    /// A key that no node owns or ever will.
    mutating func allocateKey() -> Int32 {
        let key = keyRanges.allocate(sizeClass: 0)
        coverKeys()
        return key
    }

    private mutating func coverKeys() {
        let missing = keyEnd - nodeOfKey.count
        if missing > 0 { nodeOfKey.append(contentsOf: repeatElement(-1, count: missing)) }
    }

    // MARK: Hash table

    private func tableSlot(_ parent: Int32, _ start: Int32, _ segment: SegmentID) -> Int {
        var hash = UInt64(bitPattern: segment) &* 0x9e37_79b9_7f4a_7c15
        hash ^=
            (UInt64(UInt32(bitPattern: parent)) << 32 | UInt64(UInt32(bitPattern: start)))
            &* 0xbf58_476d_1ce4_e5b9
        hash ^= hash >> 29
        hash = hash &* 0x94d0_49bb_1331_11eb
        return Int(truncatingIfNeeded: hash >> 32) & (table.count - 1)
    }

    private mutating func growTable() {
        let old = table
        table = Array(repeating: 0, count: old.count * 2)
        for entry in old where entry != 0 {
            let node = nodes[Int(entry - 1)]
            var slot = tableSlot(node.parent, node.start, node.segment)
            while table[slot] != 0 { slot = (slot + 1) & (table.count - 1) }
            table[slot] = entry
        }
    }

    /// Removes by shifting later entries back, so that no tombstones pile up.
    private mutating func removeFromTable(_ node: Int32) {
        let mask = table.count - 1
        let gone = nodes[Int(node)]
        var hole = tableSlot(gone.parent, gone.start, gone.segment)
        while table[hole] != node + 1 { hole = (hole + 1) & mask }
        var slot = (hole + 1) & mask
        while table[slot] != 0 {
            let other = nodes[Int(table[slot] - 1)]
            let home = tableSlot(other.parent, other.start, other.segment)
            if (slot - home) & mask >= (slot - hole) & mask {
                table[hole] = table[slot]
                hole = slot
            }
            slot = (slot + 1) & mask
        }
        table[hole] = 0
        tableCount -= 1
    }
}
