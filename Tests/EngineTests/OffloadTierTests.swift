import ServingCore
import Testing

@testable import Engine

@Suite struct OffloadTierTests {
    /// A tier and an index whose keys 0, 1, 2 … are the blocks of one endless text.
    private struct Fixture {
        var tier: OffloadTier
        var index = PrefixIndex(blockSize: 4)
        private var accepted: [Int] = []

        init(capacity: Int, policy: OffloadConfiguration.EvictionPolicy) {
            tier = OffloadTier(capacity: capacity, policy: policy)
            let node = index.privateChild(of: PrefixIndex.root, at: 0)
            index.retain(node)
            var (keys, list) = (BlockRunStorage(), BlockRunList())
            index.appendKeys(of: node, blocks: 0..<256, expected: 256, to: &keys, &list)
        }

        mutating func prepare(_ keys: [Int32]) -> Bool {
            tier.prepareStore(keys, accepted: &accepted, index: &index)
        }

        /// Stores chunks and has them written.
        mutating func expectStored(_ keys: [Int32]) {
            let isDone = prepare(keys)
            #expect(isDone)
            for position in accepted { tier.finishWriting(keys[position]) }
            tier.checkInvariants(readers: [:])
        }

        mutating func expectRefused(_ keys: [Int32]) {
            let isDone = prepare(keys)
            #expect(!isDone)
        }

        func holds(_ key: Int32) -> Bool { tier.residence(of: key) == .ready }
    }

    @Test func `the least recently used chunk gives way, a lookup alone is no use`() {
        var fixture = Fixture(capacity: 3, policy: .lru)
        fixture.expectStored([0, 1, 2])
        fixture.tier.touch(0, isReuse: true)
        _ = fixture.holds(1)
        fixture.expectStored([3])
        #expect(!fixture.holds(1) && fixture.holds(0) && fixture.holds(2) && fixture.holds(3))
    }

    @Test func `a store that can't be made room for is refused as a whole`() {
        var fixture = Fixture(capacity: 3, policy: .lru)
        fixture.expectStored([0, 1])
        fixture.tier.beginReading(0, marksLoading: true)
        fixture.expectRefused([5, 6, 7])
        #expect(fixture.tier.refusals == 1 && fixture.tier.residentCount == 2)
        // 0 is being read and 1 is on offer itself, so nothing may give way.
        let first = fixture.prepare([1, 5, 6])
        #expect(!first)
        fixture.tier.finishReading(0)
        let second = fixture.prepare([1, 5, 6])
        #expect(second)
        #expect(fixture.tier.residence(of: 5) == .beingWritten && !fixture.holds(0) && fixture.holds(1))
    }

    @Test func `under the adaptive policy a scan doesn't push out what was used again`() {
        for (policy, survives) in [(OffloadConfiguration.EvictionPolicy.lru, false), (.arc, true)] {
            var fixture = Fixture(capacity: 8, policy: policy)
            fixture.expectStored([0, 1, 2, 3])
            for key: Int32 in 0..<4 { fixture.tier.touch(key, isReuse: true) }
            for key: Int32 in 10..<40 {
                fixture.expectStored([key])
                fixture.tier.touch(key, isReuse: false)
            }
            #expect((0..<4).allSatisfy { fixture.holds($0) } == survives, "\(policy)")
            #expect(fixture.tier.residentCount == 8)
        }
    }

    @Test func `the adaptive policy gives recent chunks more room when they are missed`() {
        var fixture = Fixture(capacity: 4, policy: .arc)
        fixture.expectStored([0, 1, 2, 3])
        fixture.expectStored([4])
        #expect(fixture.tier.recentTarget == 0 && !fixture.holds(0))
        fixture.expectStored([0])
        #expect(fixture.tier.recentTarget >= 1)
        // Ghosts are bounded, however many chunks pass.
        for key: Int32 in 20..<120 { fixture.expectStored([key]) }
        #expect(fixture.tier.lists.count(of: .recentGhost) <= 4)
        #expect(fixture.tier.residentCount == 4)
    }
}
