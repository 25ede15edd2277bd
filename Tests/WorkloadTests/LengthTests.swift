import ServingCore
import Testing

@testable import Workload

@Suite struct LengthTests {
    private func draws(_ distribution: Distribution, _ count: Int = 40_000) -> [Double] {
        var tables = SamplingTables()
        let sampler = Sampler(distribution, &tables)
        let stream = RandomStream(seed: 11, purpose: "test")
        return (0..<count).map { Double(sampler.count(stream, at: UInt64($0), tables)) }
    }

    private func quantile(_ values: [Double], _ p: Double) -> Double {
        values.sorted()[Int(p * Double(values.count))]
    }

    @Test func `the normal quantile agrees with known values`() {
        for (p, z) in [
            (0.5, 0.0), (0.975, 1.959963984540054), (0.01, -2.3263478740408408), (1e-10, -6.361340902404056),
            (0.9999, 3.719016485455709), (1e-300, -37.0471),
        ] {
            #expect(abs(ContinuousSampling.normalQuantile(p) - z) < (p < 1e-100 ? 1e-3 : 1e-12))
        }
    }

    @Test func `a constant is constant`() { #expect(Set(draws(.constant(77), 100)) == [77]) }

    @Test func `uniform lengths reach both ends with equal chance`() {
        let values = draws(Distribution(.uniform(low: 3, high: 7)))
        for length in 3...7 {
            let share = Double(values.filter { $0 == Double(length) }.count) / 40_000
            #expect(abs(share - 0.2) < 0.011)
        }
    }

    @Test func `normal lengths have their mean and deviation and are clipped`() {
        let values = draws(Distribution(.normal(mean: 500, standardDeviation: 50)))
        #expect(abs(mean(values) - 500) < 1.5)
        #expect(abs(variation(values) * 500 - 50) < 1)
        let clipped = draws(Distribution(.normal(mean: 5, standardDeviation: 50), minimum: 4, maximum: 20))
        #expect(clipped.min() == 4 && clipped.max() == 20)
    }

    @Test func `lognormal lengths have their quantiles`() {
        let values = draws(Distribution(.logNormal(mu: 6, sigma: 0.8)))
        #expect(abs(quantile(values, 0.5) / 403.43 - 1) < 0.03)
        #expect(abs(quantile(values, 0.9) / 1124.7 - 1) < 0.04)
    }

    @Test func `lognormal by mean and deviation has them`() throws {
        let read = try specification(
            """
            input_len: {type: lognormal, mean: 800, std_dev: 600}
            output_len: 1
            """)
        let values = draws(read.classes[0].inputLength, 200_000)
        #expect(abs(mean(values) / 800 - 1) < 0.01)
        #expect(abs(variation(values) / 0.75 - 1) < 0.03)
    }

    @Test func `exponential and Pareto lengths have their mean and tail`() {
        let exponential = draws(Distribution(.exponential(mean: 300)))
        #expect(abs(mean(exponential) / 300 - 1) < 0.025)
        #expect(abs(quantile(exponential, 0.9) / 690.8 - 1) < 0.04)
        let pareto = draws(Distribution(.pareto(scale: 100, shape: 2.5)))
        #expect(abs(quantile(pareto, 0.5) / 131.95 - 1) < 0.02)
        #expect(abs(quantile(pareto, 0.99) / 630.96 - 1) < 0.08)
        #expect(pareto.min()! >= 100)
    }

    @Test func `empirical lengths come by weight and zero weights never`() {
        let values = draws(Distribution(.empirical(values: [10, 20, 30, 40], weights: [1, 0, 2, 5])))
        for (value, share) in [(10.0, 0.125), (20, 0), (30, 0.25), (40, 0.625)] {
            let seen = Double(values.filter { $0 == value }.count) / 40_000
            #expect(abs(seen - share) < 0.013 && (share > 0 || seen == 0))
        }
    }

    @Test func `quantile lengths interpolate`() {
        let values = draws(
            Distribution(.quantiles(probabilities: [0, 0.5, 0.9, 1], values: [1, 100, 1000, 8000])), 100_000)
        #expect(abs(quantile(values, 0.25) - 50) < 3)
        #expect(abs(quantile(values, 0.5) - 100) < 3)
        #expect(abs(quantile(values, 0.9) / 1000 - 1) < 0.05)
        #expect(values.max()! <= 8000)
    }

    @Test(arguments: 1...60)
    func `an alias table draws every index by its weight`(count: Int) {
        var stream = RandomStream(seed: UInt64(count), purpose: "weights")
        var weights = (0..<count).map { _ in stream.uniform() < 0.3 ? 0 : stream.uniform() * 1e6 }
        weights[count / 2] = 1
        var tables = SamplingTables()
        _ = tables.addWeights([1, 2])
        let table = tables.addWeights(weights)
        // A fine grid instead of chance: shares are then exact to the grid.
        let grid = 20_000
        var shares = [Double](repeating: 0, count: count)
        for step in 0..<grid {
            shares[tables.index(table, (Double(step) + 0.5) / Double(grid))] += 1 / Double(grid)
        }
        let total = weights.reduce(0, +)
        for index in 0..<count {
            #expect(abs(shares[index] - weights[index] / total) < Double(count) / Double(grid) * 1.5)
            if weights[index] == 0 { #expect(shares[index] == 0) }
        }
    }
}
