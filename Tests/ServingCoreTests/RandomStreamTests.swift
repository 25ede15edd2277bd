import Testing

@testable import ServingCore

@Suite struct RandomStreamTests {
    @Test func `skipping ahead gives the number that drawing one by one would`() {
        var stream = RandomStream(seed: 7, purpose: "arrivals")
        let drawn = (0..<100).map { _ in stream.next() }
        let looked = RandomStream(seed: 7, purpose: "arrivals")
        #expect(drawn == (0..<100).map { looked.word(at: UInt64($0)) })
    }

    @Test func `streams of different purposes, seeds and indices differ`() {
        let words = [
            RandomStream(seed: 1, purpose: "arrivals"), RandomStream(seed: 2, purpose: "arrivals"),
            RandomStream(seed: 1, purpose: "lengths"), RandomStream(seed: 1, purpose: "arrivals", index: 1),
        ].map { $0.word(at: 0) }
        #expect(Set(words).count == words.count)
    }

    @Test func `uniform numbers fill the unit interval evenly`() {
        var stream = RandomStream(seed: 3, purpose: "test")
        var bins = [Int](repeating: 0, count: 10)
        for _ in 0..<100_000 { bins[Int(stream.uniform() * 10)] += 1 }
        let chiSquared = bins.reduce(0.0) { $0 + (Double($1) - 10_000) * (Double($1) - 10_000) / 10_000 }
        #expect(chiSquared < 27.9)  // 99.9 % quantile, 9 degrees of freedom
    }
}
