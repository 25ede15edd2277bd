import ServingCore
import Testing

@testable import Engine

/// The pool keeps the blocks of whole prompts as runs, and counts blocks that nobody can ask for; nothing that can be seen
/// may tell that from vLLM's own pool, which goes block by block.
@Suite struct BlockPoolTests {
    private struct Request {
        var incoming = IncomingRequest()
        var blocks = RequestBlocks()
        var table = ReferenceBlockPool.Table()
        /// Even; the text that it doesn't share has this name, an output that later prompts may repeat the next one.
        var name: SegmentID = 0
        /// Tokens known so far: prompt, then output.
        var tokens: [Int] = []
        var computed = 0
        var isRunning = false
    }

    /// Both pools, and requests that come, grow, are preempted, and end at random.
    private struct Comparison {
        private var random: RandomStream
        private let configuration: SchedulerConfiguration
        private var kv: KVCacheManager
        private var reference: ReferenceBlockPool
        private var requests: [Request?] = []
        private var name: SegmentID = 1000
        private(set) var hits = 0
        private(set) var preemptions = 0

        init(seed: UInt64) {
            random = RandomStream(seed: seed, purpose: "block pool")
            var configuration = SchedulerConfiguration(
                maxNumBatchedTokens: 64, maxNumSeqs: 8, blockSize: 4,
                numBlocks: 30 + Int(random.uniform() * 120), maxModelLen: 256)
            configuration.version = random.uniform() < 0.5 ? .v015 : .v032
            configuration.exactSteps = random.uniform() < 0.3
            self.configuration = configuration
            kv = KVCacheManager(configuration: configuration)
            reference = ReferenceBlockPool(
                capacity: configuration.numBlocks - 1, blockSize: 4,
                unhashedFirst: configuration.version == .v032)
        }

        private mutating func below(_ bound: Int) -> Int { Int(random.uniform() * Double(bound)) }
        private mutating func happens(_ probability: Double) -> Bool { random.uniform() < probability }

        private func text(_ segment: SegmentID, _ count: Int) -> [Int] {
            (0..<count).map { Int(segment) << 16 | $0 }
        }

        mutating func turn() {
            let slot = below(8)
            while requests.count <= slot { requests.append(nil) }
            if requests[slot] == nil {
                add(slot)
            } else if !requests[slot]!.isRunning {
                admit(slot)
            } else if happens(0.8) {
                grow(slot, by: happens(0.9) ? 1 : 1 + below(12))
            } else if happens(0.2) {
                preempt(slot)
            } else if happens(0.3) {
                end(slot)
            }
            expectEqual()
        }

        /// A few texts of which many prompts are made, cut at different lengths; often what an earlier request wrote.
        private mutating func add(_ slot: Int) {
            var request = Request()
            name += 2
            request.name = name
            for part in 0..<below(4) {
                let earlier = name + 1 - SegmentID(2 * (1 + below(10)))
                let segment = happens(0.3) ? earlier : SegmentID(part * 3 + below(3))
                let count = happens(0.7) ? 4 * (1 + below(8)) : 1 + below(30)
                request.incoming.sharedSegments.append(PromptSegment(segment: segment, tokens: count))
                request.tokens += text(segment, count)
            }
            if happens(0.5) || request.tokens.isEmpty {
                request.tokens += text(name, 1 + below(20))
            } else if happens(0.6) {
                request.incoming.outputSegment = name + 1
            }
            request.incoming.promptTokens = request.tokens.count
            kv.open(&request.blocks, for: request.incoming, slot: Int32(slot))
            requests[slot] = request
            for overtaken in kv.takeOvertaken() {
                let known = requests[Int(overtaken)]!.tokens.count
                kv.makeFindable(&requests[Int(overtaken)]!.blocks, knownTokens: known)
            }
        }

        private mutating func admit(_ slot: Int) {
            let tokens = requests[slot]!.tokens
            let hit = kv.findLongestHit(&requests[slot]!.blocks, tokens: tokens.count)
            let blocks = reference.longestHit(tokens)
            #expect(hit.blocks == blocks.count)
            #expect(hit.freeBlocks == reference.freeCount(of: blocks))
            let count =
                happens(0.7) ? tokens.count : hit.blocks * 4 + 1 + below(tokens.count - hit.blocks * 4)
            guard kv.blocksNeeded(requests[slot]!.blocks, hit: hit, tokens: count) <= kv.freeBlocks else {
                return
            }
            hits += hit.blocks
            kv.allocate(&requests[slot]!.blocks, hit: hit, tokens: count)
            reference.allocate(&requests[slot]!.table, hit: blocks, tokens: count)
            requests[slot]!.isRunning = true
            cache(slot, upTo: count)
        }

        private mutating func grow(_ slot: Int, by count: Int) {
            let computed = requests[slot]!.computed + count
            guard computed < configuration.maxModelLen - 1,
                kv.blocksNeeded(requests[slot]!.blocks, hit: PrefixHit(), tokens: computed) <= kv.freeBlocks
            else { return }
            while requests[slot]!.tokens.count < computed {
                let segment = requests[slot]!.incoming.outputSegment ?? requests[slot]!.name + 100_000
                let written = requests[slot]!.tokens.count - requests[slot]!.incoming.promptTokens
                requests[slot]!.tokens.append(Int(segment) << 16 | written)
            }
            kv.allocate(&requests[slot]!.blocks, hit: PrefixHit(), tokens: computed)
            reference.allocate(&requests[slot]!.table, hit: [], tokens: computed)
            cache(slot, upTo: computed)
        }

        private mutating func cache(_ slot: Int, upTo computed: Int) {
            let tokens = requests[slot]!.tokens
            kv.cacheBlocks(&requests[slot]!.blocks, tokens: computed, knownTokens: tokens.count)
            reference.cacheBlocks(&requests[slot]!.table, tokens: tokens[..<computed])
            requests[slot]!.computed = computed
        }

        private mutating func preempt(_ slot: Int) {
            preemptions += 1
            kv.makeFindable(&requests[slot]!.blocks, knownTokens: requests[slot]!.tokens.count)
            kv.free(&requests[slot]!.blocks)
            reference.free(&requests[slot]!.table)
            requests[slot]!.isRunning = false
        }

        private mutating func end(_ slot: Int) {
            kv.free(&requests[slot]!.blocks)
            kv.close(&requests[slot]!.blocks)
            reference.free(&requests[slot]!.table)
            requests[slot] = nil
        }

        private func expectEqual() {
            let live = requests.compactMap { $0?.blocks }
            kv.checkInvariants(requests: live)
            #expect(kv.freeBlocks == reference.free.count)
            let privateHeld = live.reduce(0) { $0 + Int($1.hashed - $1.findable) }
            #expect(kv.distinctHashes(privateHeld: privateHeld) == reference.distinctHashes)
        }
    }

    @Test func `hits, free blocks and evictions are those of a pool that goes block by block`() {
        var (hits, preemptions) = (0, 0)
        for seed in 0..<UInt64(60) {
            var comparison = Comparison(seed: seed)
            for _ in 0..<600 { comparison.turn() }
            hits += comparison.hits
            preemptions += comparison.preemptions
        }
        #expect(hits > 5_000 && preemptions > 200)
    }

    @Test func `a prompt that many share is one entry, and is cut where one uses part of it`() {
        var (runs, list) = (BlockRunStorage(), BlockRunList())
        runs.append(7, count: 5, to: &list)
        runs.append(12, count: 3, to: &list)
        runs.append(40, count: 2, to: &list)
        #expect(list.runCount == 2 && list.blockCount == 10)
        #expect(runs.numbers(from: 6, of: list) == (13, 2) && runs.numbers(from: 9, of: list) == (41, 1))
        for first in stride(from: Int32(100), to: 200, by: 2) { runs.append(first, count: 1, to: &list) }
        #expect(list.runCount == 52 && runs.numbers(from: 59, of: list) == (198, 1))
    }
}
