/// vLLM's block pool, block by block: block ids, a free queue that is a list, and a map from content to blocks.
///
/// Source: `v1/core/block_pool.py`, `v1/core/single_type_kv_cache_manager.py`. Slow and plain, to hold the real one against.
struct ReferenceBlockPool {
    /// What one request holds.
    struct Table {
        var blocks: [Int] = []
        /// Leading blocks that are hashed.
        var hashed = 0
    }

    let blockSize: Int
    let unhashedFirst: Bool
    private(set) var free: [Int]
    private var references: [Int]
    private var content: [[Int]?]
    /// Blocks by the tokens up to their end, the oldest first.
    private var cached: [[Int]: [Int]] = [:]

    init(capacity: Int, blockSize: Int, unhashedFirst: Bool) {
        self.blockSize = blockSize
        self.unhashedFirst = unhashedFirst
        free = Array(0..<capacity)
        references = Array(repeating: 0, count: capacity)
        content = Array(repeating: nil, count: capacity)
    }

    /// Different contents that are cached.
    var distinctHashes: Int { cached.count }

    /// The cached blocks of the longest prefix; the last token is always computed again.
    func longestHit(_ tokens: [Int]) -> [Int] {
        var hit: [Int] = []
        while (hit.count + 1) * blockSize < tokens.count,
            let found = cached[Array(tokens[..<((hit.count + 1) * blockSize)])]
        {
            hit.append(found[0])
        }
        return hit
    }

    /// Of these, how many nobody uses.
    func freeCount(of blocks: [Int]) -> Int { blocks.count { references[$0] == 0 } }

    /// Takes a hit into use, then new blocks up to those for `tokens` tokens.
    mutating func allocate(_ table: inout Table, hit: [Int], tokens: Int) {
        for block in hit {
            if references[block] == 0 { free.remove(at: free.firstIndex(of: block)!) }
            references[block] += 1
        }
        table.blocks += hit
        table.hashed += hit.count
        while table.blocks.count * blockSize < tokens {
            let block = free.removeFirst()
            if let old = content[block] {
                cached[old]!.removeAll { $0 == block }
                if cached[old]!.isEmpty { cached[old] = nil }
                content[block] = nil
            }
            references[block] = 1
            table.blocks.append(block)
        }
    }

    /// Hashes the blocks that are full within `tokens`.
    mutating func cacheBlocks(_ table: inout Table, tokens: ArraySlice<Int>) {
        while (table.hashed + 1) * blockSize <= tokens.count {
            table.hashed += 1
            let block = table.blocks[table.hashed - 1]
            let key = Array(tokens.prefix(table.hashed * blockSize))
            content[block] = key
            cached[key, default: []].append(block)
        }
    }

    /// Frees all blocks of a request, the tail first.
    mutating func free(_ table: inout Table) {
        for block in table.blocks.reversed() {
            references[block] -= 1
            guard references[block] == 0 else { continue }
            if content[block] == nil && unhashedFirst {
                free.insert(block, at: 0)
            } else {
                free.append(block)
            }
        }
        table = Table()
    }
}
