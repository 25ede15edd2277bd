import ServingCore

/// What one request holds in the KV cache.
struct RequestBlocks {
    /// Deepest node of the request's path in the prefix index.
    var node: Int32 = PrefixIndex.root
    /// Tokens from the start that another request, or this one after preemption, may look up; `Int32.max` for all.
    var findableTokens: Int32 = 0
    /// Whether all tokens could be looked up, but no other request has come by so far that might.
    var isDeferring = false
    /// Keys of the leading blocks, as far as they are known.
    var keys = BlockRunList()
    /// Entries of the pool that hold the leading hashed blocks, which are `findable`; the others are only counted.
    var entries = BlockRunList()
    /// Blocks held, vLLM's `req_to_blocks` length.
    var held: Int32 = 0
    /// Held blocks whose content is hashed, vLLM's `num_cached_block`.
    var hashed: Int32 = 0
    /// The leading hashed blocks that are entries of the pool.
    var findable: Int32 { entries.blockCount }
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
    private var keys = BlockRunStorage()
    private var entries = BlockRunStorage()

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
        case .run(let entry): pool.register(entry, of: blocks.node, index: &index)
        }
        return isNew
    }

    /// The slots of requests whose deferred blocks the request opened last may look up; they are handed out once.
    mutating func takeOvertaken() -> [Int32] {
        defer { overtaken.clear() }
        return overtaken
    }

    /// Lets go of the path; the blocks must have been freed. The lists keep their storage, which the next request in the
    /// slot uses.
    mutating func close(_ blocks: inout RequestBlocks) {
        guard enableCaching || keysEverything else { return }
        index.release(blocks.node)
        var empty = RequestBlocks()
        (empty.keys, empty.entries) = (blocks.keys, blocks.entries)
        empty.keys.clear()
        empty.entries.clear()
        blocks = empty
    }

    /// Makes the keys known of all full blocks of the first `tokens` tokens that lie on the current node.
    private mutating func extendKeys(_ blocks: inout RequestBlocks, toTokens tokens: Int, expectedTokens: Int)
    {
        let count = tokens / blockSize
        let known = Int(blocks.keys.blockCount)
        guard count > known else { return }
        index.appendKeys(
            of: blocks.node, blocks: known..<count, expected: expectedTokens / blockSize - known,
            to: &keys, &blocks.keys)
    }

    /// Makes the keys known of all full blocks of the first `tokens` tokens.
    mutating func extendKeys(_ blocks: inout RequestBlocks, toTokens tokens: Int) {
        extendKeys(&blocks, toTokens: tokens, expectedTokens: tokens)
    }

    /// The key of a request's block, which must be known. O(log runs).
    func key(of block: Int, in blocks: borrowing RequestBlocks) -> Int32 {
        keys.numbers(from: Int32(block), of: blocks.keys).first
    }

    /// The place in the pool of a request's block, which must be findable. O(log runs).
    func place(of block: Int, in blocks: borrowing RequestBlocks) -> Int32 {
        entries.numbers(from: Int32(block), of: blocks.entries).first
    }

    /// The findable blocks of a request, with the requests that use each. O(blocks).
    func uses(of blocks: borrowing RequestBlocks) -> [BlockUse] { pool.uses(entries, blocks.entries) }

    /// The blocks that a request would touch for a hit, with the requests that use each. O(blocks).
    func uses(of hit: PrefixHit, by blocks: borrowing RequestBlocks) -> [BlockUse] {
        pool.uses(ofHit: hit.blocks, keys, blocks.keys)
    }

    // MARK: Lookup and allocation

    /// Longest cached prefix of a request of `tokens` tokens; its last token is always computed again.
    /// Source: `kv_cache_manager.py: get_computed_blocks`. O(runs of blocks that hit).
    mutating func findLongestHit(_ blocks: inout RequestBlocks, tokens: Int) -> PrefixHit {
        guard enableCaching else { return PrefixHit() }
        let limit = min((tokens - 1) / blockSize, Int(blocks.findableTokens) / blockSize)
        if blocks.keys.blockCount < limit {
            extendKeys(&blocks, toTokens: limit * blockSize, expectedTokens: tokens)
        }
        guard limit > 0 else { return PrefixHit() }
        return pool.longestHit(keys, blocks.keys, count: limit)
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
            pool.touch(keys, blocks.keys, count: hit.blocks, into: &entries, &blocks.entries)
            blocks.held += Int32(hit.blocks)
            blocks.hashed = Int32(hit.blocks)
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
    @inline(__always)
    mutating func cacheBlocks(_ blocks: inout RequestBlocks, tokens: Int, knownTokens: Int) {
        guard enableCaching, tokens >= (Int(blocks.hashed) + 1) * blockSize else { return }
        cacheFullBlocks(&blocks, Int32(tokens / blockSize), knownTokens: knownTokens)
    }

    @inline(never)
    private mutating func cacheFullBlocks(_ blocks: inout RequestBlocks, _ full: Int32, knownTokens: Int) {
        let end = min(full, blocks.findableTokens / Int32(blockSize))
        if blocks.findable < end {
            if blocks.keys.blockCount < end {
                extendKeys(&blocks, toTokens: Int(end) * blockSize, expectedTokens: knownTokens)
            }
            pool.register(
                keys, blocks.keys, from: blocks.findable, to: end, into: &entries, &blocks.entries,
                index: &index)
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
            pool.release(entries, blocks.entries, index: index)
            blocks.entries.clear()
        }
        (blocks.held, blocks.hashed) = (0, 0)
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
        let stated = pool.requestsByPlace()
        var uses = [Int32](repeating: 0, count: stated.count)
        for blocks in requests {
            precondition(
                0 <= blocks.findable && blocks.findable <= blocks.hashed && blocks.hashed <= blocks.held,
                "block table: more findable than hashed, or more hashed than held")
            anonymous += Int(blocks.held - blocks.findable)
            for i in 0..<blocks.entries.runCount {
                let run = entries[blocks.entries, i]
                for place in run.first..<run.end { uses[Int(place)] += 1 }
            }
        }
        precondition(uses == stated, "block: reference count is off")
        let used = anonymous + uses.count { $0 > 0 }
        precondition(used + pool.freeCount == pool.capacity, "blocks are lost or doubled")
    }
}

/// `a / b` rounded up, for non-negative `a`.
@inline(__always) func ceilDivide(_ a: Int, _ b: Int) -> Int { (a + b - 1) / b }
