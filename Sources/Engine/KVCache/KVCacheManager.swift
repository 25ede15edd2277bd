import ServingCore

/// What one request holds in the KV cache.
struct RequestBlocks {
    /// Deepest node of the request's path in the prefix index.
    var node: Int32 = PrefixIndex.root
    /// Tokens from the start that another request, or this one after preemption, may look up; `Int32.max` for all.
    var findableTokens: Int32 = 0
    /// Whether all tokens could be looked up, but no other request has come by so far that might.
    var isDeferring = false
    /// Range of block-table cells.
    var cellOffset: Int32 = -1
    var cellClass: Int32 = 0
    /// Cells whose key is known.
    var keyCount: Int32 = 0
    /// Blocks held, vLLM's `req_to_blocks` length.
    var held: Int32 = 0
    /// Held blocks whose content is hashed, vLLM's `num_cached_block`.
    var hashed: Int32 = 0
    /// The leading hashed blocks that are entries of the pool; the others are only counted.
    var findable: Int32 = 0
}

/// Longest cached prefix of a request.
struct PrefixHit {
    /// Full blocks that hit.
    var blocks: Int = 0
    /// Of these, blocks in the free queue, which leave it when touched.
    var freeBlocks: Int = 0
}

/// KV blocks, prefix cache and block tables of one engine with one full-attention group.
///
/// Source: `v1/core/kv_cache_manager.py`, `v1/core/single_type_kv_cache_manager.py`.
struct KVCacheManager {
    let blockSize: Int
    let maxModelLen: Int
    let enableCaching: Bool
    /// Whether every full block has a key: the CPU tier names its chunks by them, with prefix caching or without.
    let keysEverything: Bool
    /// Whether blocks that nobody can ask for yet are only counted until somebody can.
    let defersRegistration: Bool
    private(set) var pool: BlockPool
    var index: PrefixIndex
    /// Slots of requests whose deferred blocks the request opened last may look up.
    private(set) var overtaken: [Int32] = []
    private var cells: [BlockTableCell] = []
    private var cellRanges = RangeAllocator()

    init(configuration: SchedulerConfiguration) {
        blockSize = configuration.blockSize
        maxModelLen = configuration.maxModelLen
        enableCaching = configuration.enablePrefixCaching
        keysEverything = configuration.offload != nil
        defersRegistration = !configuration.exactSteps && !keysEverything
        index = PrefixIndex(blockSize: configuration.blockSize)
        pool = BlockPool(
            capacity: configuration.numBlocks - 1,
            unhashedFirst: !configuration.version.appendsAllFreedBlocks,
            index: &index)
    }

    /// Free blocks, cached-but-unused ones included.
    var freeBlocks: Int { pool.freeCount }

    // MARK: Paths

    /// Finds the place of a new request's prompt in the prefix index, for the request in `slot`. O(shared blocks).
    mutating func open(
        _ blocks: inout RequestBlocks, for request: borrowing IncomingRequest, slot: Int32
    ) {
        guard enableCaching || keysEverything else { return }
        var token = 0
        for segment in request.sharedSegments where segment.tokens > 0 {
            _ = step(&blocks, into: segment.segment, at: token)
            token += segment.tokens
            extendKeys(&blocks, toTokens: token, expectedTokens: token)
        }
        blocks.findableTokens = Int32(token)
        if let output = request.outputSegment, token == request.promptTokens {
            let isNew = step(&blocks, into: output, at: token)
            if isNew && defersRegistration {
                blocks.isDeferring = true
                index.setDeferral(.request(slot: slot), of: blocks.node)
            } else {
                blocks.findableTokens = .max
            }
        } else if keysEverything {
            blocks.node = index.privateChild(of: blocks.node, at: token)
            blocks.findableTokens = .max
        }
        index.retain(blocks.node)
    }

    /// Moves the end of a path one segment on; what was deferred there has to be registered now.
    /// - Returns: whether no request was there before.
    private mutating func step(_ blocks: inout RequestBlocks, into segment: SegmentID, at token: Int) -> Bool
    {
        var isNew = false
        blocks.node = index.child(of: blocks.node, at: token, segment: segment, isNew: &isNew)
        switch index.deferral(of: blocks.node) {
        case .none: break
        case .request(let slot): overtaken.append(slot)
        case .run(let entry): pool.spread(entry, of: blocks.node, index: &index)
        }
        return isNew
    }

    /// The slots of requests whose deferred blocks the request opened last may look up; they are handed out once.
    mutating func takeOvertaken() -> [Int32] {
        defer { overtaken.clear() }
        return overtaken
    }

    /// Lets go of the path and the block table; the blocks must have been freed.
    mutating func close(_ blocks: inout RequestBlocks) {
        guard enableCaching || keysEverything else { return }
        index.release(blocks.node)
        if blocks.cellOffset >= 0 { cellRanges.free(blocks.cellOffset, sizeClass: Int(blocks.cellClass)) }
        blocks = RequestBlocks()
    }

    /// Makes the keys known of all full blocks of the first `tokens` tokens that lie on the current node.
    private mutating func extendKeys(_ blocks: inout RequestBlocks, toTokens tokens: Int, expectedTokens: Int)
    {
        let count = tokens / blockSize
        let known = Int(blocks.keyCount)
        guard count > known else { return }
        reserveCells(&blocks, count: max(count, min(expectedTokens / blockSize, 2 * count)))
        index.appendKeys(
            of: blocks.node, blocks: known..<count, expected: expectedTokens / blockSize - known, to: &cells,
            at: Int(blocks.cellOffset) + known)
        blocks.keyCount = Int32(count)
    }

    /// Makes the keys known of all full blocks of the first `tokens` tokens.
    mutating func extendKeys(_ blocks: inout RequestBlocks, toTokens tokens: Int) {
        extendKeys(&blocks, toTokens: tokens, expectedTokens: tokens)
    }

    /// A block of a request whose key is known.
    @inline(__always)
    func cell(_ block: Int, of blocks: borrowing RequestBlocks) -> BlockTableCell {
        cells[Int(blocks.cellOffset) + block]
    }

    private mutating func reserveCells(_ blocks: inout RequestBlocks, count: Int) {
        let sizeClass = RangeAllocator.sizeClass(for: count)
        guard blocks.cellOffset < 0 || sizeClass > Int(blocks.cellClass) else { return }
        let offset = cellRanges.allocate(sizeClass: sizeClass)
        let missing = Int(cellRanges.end) - cells.count
        if missing > 0 { cells.append(contentsOf: repeatElement(BlockTableCell(key: -1), count: missing)) }
        if blocks.cellOffset >= 0 {
            for i in 0..<Int(blocks.keyCount) { cells[Int(offset) + i] = cells[Int(blocks.cellOffset) + i] }
            cellRanges.free(blocks.cellOffset, sizeClass: Int(blocks.cellClass))
        }
        blocks.cellOffset = offset
        blocks.cellClass = Int32(sizeClass)
    }

    // MARK: Lookup and allocation

    /// Longest cached prefix of a request of `tokens` tokens; its last token is always computed again.
    /// Source: `kv_cache_manager.py: get_computed_blocks`. O(blocks that hit).
    mutating func findLongestHit(_ blocks: inout RequestBlocks, tokens: Int) -> PrefixHit {
        guard enableCaching else { return PrefixHit() }
        let limit = min((tokens - 1) / blockSize, Int(blocks.findableTokens) / blockSize)
        if blocks.keyCount < limit {
            extendKeys(&blocks, toTokens: limit * blockSize, expectedTokens: tokens)
        }
        guard limit > 0 else { return PrefixHit() }
        return pool.longestHit(cells, at: Int(blocks.cellOffset), count: limit)
    }

    /// Blocks that have to be free for the request to hold `tokens` tokens.
    /// Source: `single_type_kv_cache_manager.py: get_num_blocks_to_allocate`.
    @inline(__always)
    func blocksNeeded(_ blocks: borrowing RequestBlocks, hit: PrefixHit, tokens: Int) -> Int {
        max(ceilDivide(min(tokens, maxModelLen), blockSize) - Int(blocks.held) - hit.blocks, 0)
            + hit.freeBlocks
    }

    /// Gives the request the blocks for its first `tokens` tokens: touches the hit, takes the rest from the free
    /// queue. The caller has made sure that they are there.
    mutating func allocate(_ blocks: inout RequestBlocks, hit: PrefixHit, tokens: Int) {
        if hit.blocks > 0 {
            pool.touch(&cells, at: Int(blocks.cellOffset), count: hit.blocks)
            blocks.held += Int32(hit.blocks)
            blocks.hashed = Int32(hit.blocks)
            blocks.findable = Int32(hit.blocks)
        }
        let new = ceilDivide(min(tokens, maxModelLen), blockSize) - Int(blocks.held)
        if new > 0 {
            pool.take(new, index: &index)
            blocks.held += Int32(new)
        }
    }

    /// Takes blocks for requests that are counted together.
    mutating func takeBlocks(_ count: Int) {
        if count > 0 { pool.take(count, index: &index) }
    }

    /// Registers the hashes of all blocks that are full within the first `tokens` tokens.
    /// Source: `single_type_kv_cache_manager.py: cache_blocks`.
    mutating func cacheBlocks(_ blocks: inout RequestBlocks, tokens: Int, knownTokens: Int) {
        guard enableCaching else { return }
        let full = Int32(tokens / blockSize)
        guard full > blocks.hashed else { return }
        let end = min(full, blocks.findableTokens / Int32(blockSize))
        if blocks.findable < end {
            if blocks.keyCount < end {
                extendKeys(&blocks, toTokens: Int(end) * blockSize, expectedTokens: knownTokens)
            }
            pool.register(
                &cells, at: Int(blocks.cellOffset + blocks.findable), count: Int(end - blocks.findable),
                index: &index)
            blocks.findable = end
        }
        blocks.hashed = full
    }

    // MARK: Giving up

    /// Frees all blocks of a request, tail first. Source: `single_type_kv_cache_manager.py: free`.
    mutating func free(_ blocks: inout RequestBlocks) {
        pool.freeUnhashed(Int(blocks.held - blocks.hashed), index: &index)
        if blocks.isDeferring {
            pool.freeDeferred(Int(blocks.hashed - blocks.findable), of: blocks.node, index: &index)
        } else {
            pool.freePrivate(Int(blocks.hashed - blocks.findable), index: &index)
        }
        if blocks.findable > 0 {
            pool.release(cells, at: Int(blocks.cellOffset), count: Int(blocks.findable))
        }
        (blocks.held, blocks.hashed, blocks.findable) = (0, 0, 0)
    }

    /// Makes all blocks of a request findable: it is being preempted and will look them up when it resumes, or
    /// another request came by that may.
    mutating func makeFindable(_ blocks: inout RequestBlocks, knownTokens: Int) {
        guard enableCaching && blocks.findableTokens != .max else { return }
        if blocks.isDeferring {
            blocks.isDeferring = false
            index.setDeferral(.none, of: blocks.node)
        } else {
            let node = index.privateChild(of: blocks.node, at: Int(blocks.findableTokens))
            index.retain(node)
            index.release(blocks.node)
            blocks.node = node
        }
        blocks.findableTokens = .max
        let hashed = blocks.hashed
        blocks.hashed = blocks.findable
        cacheBlocks(&blocks, tokens: Int(hashed) * blockSize, knownTokens: knownTokens)
    }

    // MARK: Invariants

    /// Distinct hashes in the prefix cache, given the hashed private blocks that requests hold.
    func distinctHashes(privateHeld: Int) -> Int {
        pool.cachedKeyCount + pool.privateFreeCount + privateHeld
    }

    /// Checks that the blocks which requests hold and the free ones make up the pool. O(entries + requests).
    func checkInvariants(requests: some Sequence<RequestBlocks>) {
        pool.checkInvariants()
        var anonymous = 0
        var uses = [Int32](repeating: 0, count: pool.entryCount)
        for blocks in requests {
            precondition(
                0 <= blocks.findable && blocks.findable <= blocks.hashed && blocks.hashed <= blocks.held,
                "block table: more findable than hashed, or more hashed than held")
            anonymous += Int(blocks.held - blocks.findable)
            for i in 0..<Int(blocks.findable) {
                uses[Int(cells[Int(blocks.cellOffset) + i].block)] += 1
            }
        }
        var used = anonymous
        for (block, count) in uses.enumerated() where count > 0 {
            precondition(pool.references(of: Int32(block)) == count, "block: reference count is off")
            used += 1
        }
        precondition(used + pool.freeCount == pool.capacity, "blocks are lost or doubled")
    }
}

/// `a / b` rounded up, for non-negative `a`.
@inline(__always) func ceilDivide(_ a: Int, _ b: Int) -> Int { (a + b - 1) / b }
