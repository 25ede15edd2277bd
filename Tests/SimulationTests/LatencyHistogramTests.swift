import ServingCore
import Testing

@testable import Simulation

@Suite struct LatencyHistogramTests {
    /// 10,000 latencies whose statistics numpy computed.
    static let latencies = (0..<10_000).map { Ticks($0 * 7919 % 10007 * 1000 + 13) }

    @Test func `exact percentiles equal numpy's to the last bit`() {
        var histogram = LatencyHistogram()
        for latency in Self.latencies { histogram.add(latency) }
        #expect(histogram.isExact)
        #expect(histogram.mean == 5003670.8)
        #expect(abs(histogram.standardDeviation / 2888931.691213754 - 1) < 1e-14)
        let percents: [Double] = [0, 0.1, 1, 25, 50, 90, 99, 99.9, 100]
        #expect(
            histogram.percentiles(percents)
                == [
                    13.0, 10012.0, 100003.00000000001, 2501763.0, 5004513.0, 9006113.0, 9906023.0, 9996014.0,
                    10006013.0,
                ])
        #expect(histogram.minimum == histogram.percentile(0))
        #expect(histogram.maximum == histogram.percentile(100))
    }

    @Test func `an entry with a count equals that many single latencies`() {
        var weighted = LatencyHistogram()
        var single = LatencyHistogram()
        for i in 0..<500 {
            weighted.add(Ticks(i * 7919 % 1009 * 1000 + 1), count: i % 7 + 1)
            for _ in 0...(i % 7) { single.add(Ticks(i * 7919 % 1009 * 1000 + 1)) }
        }
        #expect(weighted.count == single.count)
        #expect(weighted.mean == single.mean)
        #expect(weighted.standardDeviation == single.standardDeviation)
        #expect(
            weighted.percentiles([10, 50, 99, 99.9]) == [93901.00000000003, 497001.0, 997001.0, 1006001.0])
        #expect(single.percentiles([10, 50, 99, 99.9]) == weighted.percentiles([10, 50, 99, 99.9]))
        weighted.add(5, count: 0)
        weighted.add(5, count: -3)
        #expect(weighted.count == single.count)
    }

    @Test func `bucketed percentiles stay within a twentieth of a percent of the exact ones`() {
        var random = RandomStream(seed: 1, purpose: "histogram")
        var exact = LatencyHistogram()
        var bucketed = LatencyHistogram(exact: false)
        for _ in 0..<60_000 {
            // Nine orders of magnitude.
            let latency = Ticks(1 / random.positiveUniform() / random.positiveUniform() * 1000)
            exact.add(latency)
            bucketed.add(latency)
        }
        #expect(exact.isExact && !bucketed.isExact)
        let percents = (0...1000).map { Double($0) / 10 }
        for (a, b) in zip(exact.percentiles(percents), bucketed.percentiles(percents)) {
            #expect(abs(a - b) <= 0.0005 * a + 1)
        }
        #expect(exact.mean == bucketed.mean)
        #expect(exact.standardDeviation == bucketed.standardDeviation)
        #expect(exact.maximum == bucketed.maximum)
    }

    @Test func `merging equals adding everything to one, in any order`() {
        var parts = [LatencyHistogram](repeating: LatencyHistogram(), count: 4)
        var whole = LatencyHistogram()
        var random = RandomStream(seed: 2, purpose: "histogram")
        for i in 0..<100_000 {
            let latency = Ticks(random.next() >> 30)
            parts[i % 4].add(latency, count: i % 3 + 1)
            whole.add(latency, count: i % 3 + 1)
        }
        var forward = LatencyHistogram()
        var backward = LatencyHistogram()
        for part in parts { forward.merge(part) }
        for part in parts.reversed() { backward.merge(part) }
        let percents = [0.0, 1, 50, 99, 99.9, 100]
        for merged in [forward, backward] {
            #expect(!merged.isExact)
            #expect(merged.count == whole.count)
            #expect(merged.mean == whole.mean)
            #expect(merged.standardDeviation == whole.standardDeviation)
            #expect(merged.percentiles(percents) == whole.percentiles(percents))
        }
    }

    @Test func `hour-long latencies of millions of requests keep their standard deviation`() {
        var histogram = LatencyHistogram()
        for i in 0..<2_000 { histogram.add(36_000_000_000_000 + Ticks(i % 2) * 1_000_000, count: 5_000) }
        #expect(histogram.count == 10_000_000)
        #expect(histogram.mean == 36_000_000_500_000)
        #expect(abs(histogram.standardDeviation - 500_000) < 1e-6)
    }

    @Test func `values at the ends of the range neither trap nor vanish`() {
        for exact in [true, false] {
            var histogram = LatencyHistogram(exact: exact)
            histogram.add(-5)
            histogram.add(0)
            histogram.add(.max)
            histogram.add(fractionalTicks: 1e300)
            #expect(histogram.count == 4)
            #expect(histogram.minimum == 0)
            #expect(histogram.maximum >= 0x1p61)
            #expect(histogram.percentile(-3) == 0)
            #expect(histogram.percentile(300) == histogram.maximum)
        }
        #expect(LatencyHistogram().percentiles([50]) == [0])
        #expect(LatencyHistogram().mean == 0)
        #expect(LatencyHistogram().standardDeviation == 0)
    }

    @Test func `every bucket contains the values it counts`() {
        var random = RandomStream(seed: 3, purpose: "buckets")
        for _ in 0..<10_000 {
            let value = Ticks(random.next() >> (1 + random.next() % 63))
            let index = LatencyBuckets.index(of: value)
            let (lower, width) = LatencyBuckets.bounds(of: index)
            #expect(Double(value) >= lower && Double(value) <= lower + width)
            #expect(width <= max(1, lower / 2048))
        }
    }
}
