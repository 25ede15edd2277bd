import ServingCore
import Testing

@testable import Simulation

@Suite struct SamplingErrorTests {
    /// A stationary sequence of latencies around 100 ms whose neighbours correlate by `correlation`; its marginal
    /// distribution is normal.
    private func sequence(_ length: Int, correlation: Double, seed: UInt64) -> LatencySeries {
        var random = RandomStream(seed: seed, purpose: "sequence")
        func normal() -> Double { normalQuantile(random.positiveUniform() * (1 - 1e-12)) }
        var level = normal()
        var series = LatencySeries()
        let innovation = (1 - correlation * correlation).squareRoot()
        for _ in 0..<length {
            level = correlation * level + innovation * normal()
            series.add(Ticks(100e6 + 10e6 * level))
        }
        return series
    }

    @Test(arguments: [0.0, 0.9])
    func `intervals of mean and percentiles cover the truth although neighbours correlate`(
        correlation: Double
    ) {
        var covered = [0, 0, 0]
        let truths = [100.0, 100 + 10 * normalQuantile(0.5), 100 + 10 * normalQuantile(0.9)]
        let runs = 100
        for seed in 0..<runs {
            let summary = sequence(2000, correlation: correlation, seed: UInt64(seed)).summary(
                percentiles: [50, 90])
            let estimates = [summary.mean] + summary.percentiles.map(\.estimate)
            for (place, estimate) in estimates.enumerated() {
                if estimate.lower! <= truths[place], truths[place] <= estimate.upper! { covered[place] += 1 }
            }
        }
        for count in covered { #expect(Double(count) / Double(runs) > 0.86) }
    }

    @Test func `correlation between neighbours lowers the effective sample size`() {
        let independent = sequence(20_000, correlation: 0, seed: 1).summary(percentiles: [90])
        let correlated = sequence(20_000, correlation: 0.95, seed: 1).summary(percentiles: [90])
        // (1 - r) / (1 + r) of 20,000 is 513.
        #expect(independent.mean.effectiveSamples! > 5000)
        #expect(correlated.mean.effectiveSamples! < 2000)
        #expect(correlated.percentiles[0].estimate.effectiveSamples! < 3000)
        #expect(correlated.mean.standardError! > 3 * independent.mean.standardError!)
    }

    @Test func `long series estimate the same errors in bounded memory`() {
        let exact = sequence(60_000, correlation: 0.9, seed: 4).summary(percentiles: [50, 99])
        let long = sequence(300_000, correlation: 0.9, seed: 4).summary(percentiles: [50, 99])
        #expect(exact.isExact && !long.isExact)
        #expect(long.count == 300_000)
        let ratio = exact.mean.standardError! / long.mean.standardError!
        #expect(ratio > 1.1 && ratio < 4.5)  // the square root of five, give or take
        #expect(abs(long.percentile(50)!.value - 100) < 0.5)
        #expect(long.percentile(99)!.lower! < long.percentile(99)!.value)
    }

    @Test func `a percentile beyond the sample has no upper end`() {
        let summary = sequence(100, correlation: 0, seed: 9).summary(percentiles: [50, 99.9])
        #expect(summary.percentile(50)!.upper != nil)
        #expect(summary.percentile(99.9)!.upper == nil)
        #expect(summary.percentile(99.9)!.value <= summary.maximum)
    }

    @Test func `a handful of requests has values without errors`() {
        var series = LatencySeries()
        for i in 1...6 { series.add(Ticks(i) * 1_000_000) }
        let summary = series.summary(percentiles: [50])
        #expect(summary.mean == Estimate(3.5))
        #expect(summary.median == 3.5)
        #expect(summary.percentiles[0].estimate.standardError == nil)
        #expect(LatencySeries().summary(percentiles: [99]).percentile(99) == Estimate(0))
    }

    @Test func `critical values of Student's t agree with scipy`() {
        let table: [(Double, Double, Double)] = [
            (1, 12.706205, 63.656741),
            (2, 4.302653, 9.924843),
            (3, 3.182446, 5.840909),
            (4, 2.776445, 4.604095),
            (7, 2.364624, 3.499483),
            (15, 2.131450, 2.946713),
            (19, 2.093024, 2.860935),
            (30, 2.042272, 2.749996),
            (100, 1.983972, 2.625891),
        ]
        for (n, two, ten) in table {
            let a = studentTCritical(probability: 0.05, degreesOfFreedom: n)
            let b = studentTCritical(probability: 0.01, degreesOfFreedom: n)
            #expect(abs(a / two - 1) < 3e-4, "\(n): \(a)")
            #expect(abs(b / ten - 1) < 3e-4, "\(n): \(b)")
        }
    }
}
