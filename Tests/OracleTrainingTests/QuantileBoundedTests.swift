import ServingCore
import Testing

@testable import OracleTraining

/// Rows of positive features with a non-negative law and skewed noise.
private func rows(_ count: Int, columns: Int, seed: UInt64) -> (x: [Double], y: [Double], weights: [Double]) {
    var stream = RandomStream(seed: seed, purpose: "bounded tests")
    var x: [Double] = []
    var y: [Double] = []
    for _ in 0..<count {
        let row = (0..<columns).map { _ in stream.uniform() }
        var mean = 0.5
        for j in 0..<columns where j % 2 == 0 { mean += Double(j + 1) * row[j] }
        let noise = stream.uniform()
        x += row
        y.append(mean * (1 + 0.4 * noise * noise))
    }
    return (x, y, y.map { 1 / $0 })
}

private func loss(_ fit: QuantileFit, _ x: [Double], _ y: [Double], _ w: [Double], columns: Int) -> Double {
    var sum = 0.0
    for i in y.indices {
        let r = y[i] - fit(x[i * columns..<(i + 1) * columns])
        sum += w[i] * max(fit.tau * r, (fit.tau - 1) * r)
    }
    return sum
}

@Suite struct QuantileBoundedTests {
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64], [0.1, 0.5, 0.9])
    func `bounds by block pivoting give the optimum that steep penalties give`(seed: UInt64, tau: Double)
        throws
    {
        let columns = 3 + Int(seed)
        let (x, y, weights) = rows(150 * Int(seed), columns: columns, seed: seed)
        let bounded = try BoundedQuantileRegression(x, columns: columns, y: y, weights: weights).fit(
            tau: tau, bounds: .nonNegative(columns + 1))
        #expect(bounded.certified)
        #expect(bounded.intercept >= -1e-9 && bounded.coefficients.allSatisfy { $0 >= -1e-9 })
        let design = try QuantileDesign.make(x, count: y.count, columns: columns)
        let steep = try QuantileRegression(design: design, y: y, weights: weights).fit(
            tau: tau, restraint: .init(nonNegative: true))
        let (a, b) = (
            loss(bounded, x, y, weights, columns: columns), loss(steep, x, y, weights, columns: columns)
        )
        #expect(a <= b * (1 + 1e-8), "\(a) \(b)")
    }

    @Test(arguments: [(400, 1), (2_000, 2), (5_000, 3), (30_000, 4)] as [(Int, UInt64)], [0.1, 0.5, 0.9])
    func `a smoothed fit keeps its bounds and loses little against the optimum`(
        shape: (count: Int, seed: UInt64), tau: Double
    ) throws {
        let columns = 12
        let (x, y, weights) = rows(shape.count, columns: columns, seed: shape.seed)
        let regression = BoundedQuantileRegression(x, columns: columns, y: y, weights: weights)
        let bounds = BoundedQuantileRegression.Bounds.nonNegative(columns + 1)
        let exact = try regression.fit(tau: tau, bounds: bounds)
        let smoothed = try regression.smoothedFit(tau: tau, bounds: bounds)
        #expect(smoothed.intercept >= 0 && smoothed.coefficients.allSatisfy { $0 >= 0 })
        let (a, b) = (
            loss(smoothed, x, y, weights, columns: columns), loss(exact, x, y, weights, columns: columns)
        )
        #expect(a >= b * (1 - 1e-8) && a <= b * 1.005, "\(a) \(b)")
    }

    @Test func `nested quantiles don't cross anywhere where features are positive, and cost little loss`()
        throws
    {
        let columns = 8
        let (x, y, weights) = rows(6000, columns: columns, seed: 9)
        let nested = try NestedQuantiles.fit(
            x, columns: columns, y: y, weights: weights, taus: [0.1, 0.5, 0.9],
            start: [Double](repeating: 1, count: columns + 1))
        #expect(nested.certified)
        var stream = RandomStream(seed: 3, purpose: "points")
        for _ in 0..<20_000 {
            let point = (0..<columns).map { _ in 100 * stream.uniform() * stream.uniform() }
            let values = nested.fits.map { $0(point) }
            #expect(values[0] <= values[1] + 1e-9 && values[1] <= values[2] + 1e-9)
        }
        let design = try QuantileDesign.make(x, count: y.count, columns: columns)
        let regression = try QuantileRegression(design: design, y: y, weights: weights)
        for fit in nested.fits {
            let free = regression.fit(tau: fit.tau)
            #expect(
                loss(fit, x, y, weights, columns: columns) <= 1.02
                    * loss(free, x, y, weights, columns: columns))
        }
    }

    /// Almost all steps decode; what a prefill costs rests on five of them.
    @Test func `a kind of row that occurs five times in ten thousand is fitted and certified`() throws {
        var stream = RandomStream(seed: 4, purpose: "rare rows")
        var x: [Double] = []
        var y: [Double] = []
        for i in 0..<10_000 {
            let decodes = 1 + stream.uniform() * 60
            let prefill = i % 2000 == 77 ? 100 + 900 * stream.uniform() : 0
            x += [decodes, prefill, prefill > 0 ? 1 : 0]
            let noise = 1 + 0.1 * (stream.uniform() - 0.5)
            y.append((5 + 0.05 * decodes + 0.02 * prefill + (prefill > 0 ? 2 : 0)) * noise)
        }
        let weights = y.map { 1 / $0 }
        let nested = try NestedQuantiles.fit(
            x, columns: 3, y: y, weights: weights, taus: [0.1, 0.5, 0.9], start: [1, 1, 1, 1])
        #expect(nested.certified)
        for i in y.indices where x[3 * i + 1] > 0 {
            let values = nested.fits.map { $0(x[3 * i..<3 * i + 3]) }
            #expect(abs(values[1] / y[i] - 1) < 0.15)
            #expect(values[0] <= values[1] && values[1] <= values[2])
        }
        let design = try QuantileDesign.make(x, count: y.count, columns: 3)
        let regression = try QuantileRegression(design: design, y: y, weights: weights)
        let joint = try NonCrossing.fit(regression, taus: [0.1, 0.5, 0.9])
        #expect(joint.certified)
    }

    @Test func `an offset taken from blocks covers what it promises on blocks that differ`() {
        var stream = RandomStream(seed: 8, purpose: "blocks")
        var covered = 0.0
        for _ in 0..<200 {
            // Every stretch of time has a level of its own.
            func block(_ k: Int) -> BlockCalibration.Block {
                let level = 1.2 * (stream.uniform() - 0.5)
                return .init(
                    group: "g\(k % 6)", start: Double(k / 6) / 12, end: Double(k / 6 + 1) / 12,
                    scores: (0..<60).map { _ in level + stream.uniform() })
            }
            let blocks = (12..<72).map(block)
            let calibration = BlockCalibration(blocks, coverage: 0.8)!
            let next = block(72)
            let offset = calibration.byGroup[next.group]?.widening ?? calibration.pooled.widening
            covered += Double(next.scores.count { $0 <= offset }) / Double(next.scores.count) / 200
        }
        #expect(covered > 0.77 && covered < 0.87, "\(covered)")
    }

    @Test func `the penalty of the design as written leaves no coefficient`() throws {
        let columns = 4
        let (x, y, _) = rows(400, columns: columns, seed: 2)
        let design = try QuantileDesign.make(x, count: y.count, columns: columns)
        var restraint = QuantileRegression.Restraint()
        restraint.naturalPenalty = 1
        // Seconds, as step times are: a penalty of 1 on features of about 1 is far above any gain.
        let fit = try QuantileRegression(design: design, y: y.map { $0 / 1000 }).fit(
            tau: 0.5, restraint: restraint)
        #expect(fit.coefficients.allSatisfy { abs($0) < 1e-12 })
        #expect(fit.certified)
    }

    /// Rows with ties, empty columns, rows of weight 0, and few rows.
    @Test(arguments: 0..<60) func `awkward rows are fitted as well as steep penalties fit them`(seed: Int)
        throws
    {
        var stream = RandomStream(seed: UInt64(seed), purpose: "awkward rows")
        func below(_ n: Int) -> Int { min(n - 1, Int(stream.uniform() * Double(n))) }
        let columns = 1 + below(8)
        let count = [3, 12, 60, 300, 1500][seed % 5]
        let kinds = (0..<columns).map { _ in below(4) }
        var x: [Double] = []
        var y: [Double] = []
        var weights: [Double] = []
        for _ in 0..<count {
            var value = Double(below(3))
            for kind in kinds {
                let cell: Double
                switch kind {
                case 0: cell = stream.uniform()
                case 1: cell = Double(below(4))
                case 2: cell = stream.uniform() < 0.05 ? 1e6 * stream.uniform() : 0
                default: cell = 0
                }
                x.append(cell)
                value += Double(kind) * cell * (1 + stream.uniform())
            }
            y.append(seed % 3 == 0 ? value.rounded() : value + stream.uniform())
            weights.append(stream.uniform() < 0.1 ? 0 : 1 / (1 + value))
        }
        weights[0] = 1
        let tau = 0.05 + 0.9 * stream.uniform()
        let regression = BoundedQuantileRegression(x, columns: columns, y: y, weights: weights)
        let bounds = BoundedQuantileRegression.Bounds.nonNegative(columns + 1)
        let design = try QuantileDesign.make(x, count: count, columns: columns)
        let steep = try QuantileRegression(design: design, y: y, weights: weights).fit(
            tau: tau, restraint: .init(nonNegative: true))
        let least = loss(steep, x, y, weights, columns: columns)
        let exact = try regression.fit(tau: tau, bounds: bounds)
        let size = zip(y, weights).reduce(0) { $0 + $1.0 * $1.1 }
        for fit in [exact, try regression.smoothedFit(tau: tau, bounds: bounds)] {
            // Where rows are few and whole numbers, rounding off the kink shows.
            let slack = fit.certified ? 1e-6 : 0.05
            let own = loss(fit, x, y, weights, columns: columns)
            #expect(fit.intercept >= -1e-9 && fit.coefficients.allSatisfy { $0 >= -1e-9 })
            #expect(
                own <= least * (1 + slack) + 1e-9 * size,
                "\(own) \(least) \(fit.certified)")
        }
    }
}
