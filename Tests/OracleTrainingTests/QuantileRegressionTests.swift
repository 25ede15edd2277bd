import ServingCore
import Testing

@testable import OracleTraining

/// Seeded data for property tests.
struct QuantileSample {
    var x: [Double] = []
    var y: [Double] = []
    var rows: Int
    var columns: Int

    init(rows: Int, columns: Int, seed: UInt64, integer: Bool = false) {
        var stream = RandomStream(seed: seed, purpose: "quantile tests")
        self.rows = rows
        self.columns = columns
        for _ in 0..<rows {
            var mean = 3.0
            var spread = 0.5
            for j in 0..<columns {
                var value = 4 * stream.uniform() + Double(j)
                if integer { value.round() }
                x.append(value)
                mean += Double(j + 1) * value
                spread += 0.3 * value
            }
            let u = stream.uniform() - 0.5
            var value = mean + spread * u / (0.6 - abs(u))
            if integer { value.round() }
            y.append(value)
        }
    }

    func regression(weights: [Double]? = nil) throws -> QuantileRegression {
        try QuantileRegression(
            design: QuantileDesign.make(x, count: rows, columns: columns), y: y, weights: weights)
    }
}

@Suite struct QuantileRegressionTests {
    @Test(arguments: [(30, 2, false), (400, 5, false), (500, 4, true), (9000, 6, false), (7000, 3, true)])
    func `every fit is certified and splits the rows as its quantile says`(
        rows: Int, columns: Int, integer: Bool
    ) throws {
        let sample = QuantileSample(rows: rows, columns: columns, seed: 3, integer: integer)
        let regression = try sample.regression()
        for tau in [0.1, 0.5, 0.9] {
            let fit = regression.fit(tau: tau)
            #expect(fit.certified)
            #expect(Double(fit.rowsBelow) <= tau * Double(rows) + 1e-6)
            #expect(Double(fit.rowsBelow + fit.rowsOn) >= tau * Double(rows) - 1e-6)
        }
    }

    @Test func `a sample with a band and all rows at once give the same optimum`() throws {
        let sample = QuantileSample(rows: 7000, columns: 5, seed: 8)
        let regression = try sample.regression()
        for tau in [0.05, 0.5, 0.95] {
            let banded = regression.report(regression.solve(tau: tau))
            let small = QuantileSample(rows: 7000, columns: 5, seed: 8)
            // Weights of 1 go through the same code; rows doubled and halved in weight must not matter.
            let doubled = try QuantileRegression(
                design: QuantileDesign.make(small.x + small.x, count: 14_000, columns: 5),
                y: small.y + small.y,
                weights: [Double](repeating: 0.5, count: 14_000)
            ).fit(tau: tau)
            #expect(banded.certified && doubled.certified)
            #expect(abs(banded.objective - doubled.objective) <= 1e-9 * banded.objective)
        }
    }

    @Test func `interior point and pivoting agree`() throws {
        let sample = QuantileSample(rows: 300, columns: 4, seed: 5)
        let regression = try sample.regression()
        let block = LossRows(
            sharing: regression.design.rows, y: regression.y, weights: nil, tau: 0.3)
        let beta = FrischNewton.solve(
            block, positions: regression.design.positions, linear: [Double](repeating: 0, count: 8))
        let exact = regression.solve(tau: 0.3)
        for (a, b) in zip(beta, exact.beta) { #expect(abs(a - b) < 1e-6) }
    }

    @Test func `scaling and shifting change the fit as they should`() throws {
        let sample = QuantileSample(rows: 500, columns: 3, seed: 2)
        let fit = try sample.regression().fit(tau: 0.7)
        var scaled = sample
        for i in scaled.y.indices { scaled.y[i] = 1e-6 * sample.y[i] + 40 }
        for i in 0..<sample.rows { scaled.x[i * 3] *= 1e9 }
        let other = try scaled.regression().fit(tau: 0.7)
        #expect(abs(other.coefficients[0] * 1e15 - fit.coefficients[0]) < 1e-6)
        #expect(abs(other.coefficients[1] * 1e6 - fit.coefficients[1]) < 1e-6)
        #expect(abs((other.intercept - 40) * 1e6 - fit.intercept) < 1e-5)
    }

    @Test func `constant and dependent columns get a coefficient of exactly zero`() throws {
        var sample = QuantileSample(rows: 200, columns: 4, seed: 1)
        for i in 0..<200 {
            sample.x[i * 4 + 1] = 7
            sample.x[i * 4 + 3] = sample.x[i * 4] - 2 * sample.x[i * 4 + 2]
        }
        let design = try QuantileDesign.make(sample.x, count: 200, columns: 4)
        #expect(design.excluded[1] == .constant)
        #expect(design.excluded.filter { $0 == .dependent }.count == 1)
        let fit = try QuantileRegression(design: design, y: sample.y).fit(tau: 0.5)
        #expect(fit.certified && fit.coefficients[1] == 0)
    }

    @Test func `a nearly dependent column still counts`() throws {
        var sample = QuantileSample(rows: 300, columns: 3, seed: 4)
        for i in 0..<300 {
            let jitter = 1e-6 * sample.x[i * 3 + 2]
            sample.x[i * 3 + 2] = sample.x[i * 3] + jitter
            sample.y[i] = 2 * sample.x[i * 3 + 1] + 1e6 * jitter
        }
        let fit = try sample.regression().fit(tau: 0.5)
        #expect(fit.certified && fit.objective < 1e-4)
    }

    @Test func `a penalty of 1 leaves nothing, a small one little changed`() throws {
        let sample = QuantileSample(rows: 400, columns: 4, seed: 9)
        let regression = try sample.regression()
        let free = regression.fit(tau: 0.5)
        #expect(regression.fit(tau: 0.5, restraint: .init(penalty: 1)).coefficients == [0, 0, 0, 0])
        let edge = regression.largestPenalty(tau: 0.5)
        #expect(
            regression.fit(tau: 0.5, restraint: .init(penalty: edge * 1.01)).coefficients == [0, 0, 0, 0])
        #expect(regression.fit(tau: 0.5, restraint: .init(penalty: edge * 0.9)).coefficients != [0, 0, 0, 0])
        let slight = regression.fit(tau: 0.5, restraint: .init(penalty: 1e-9))
        #expect(abs(slight.objective - free.objective) < 1e-6 * free.objective)
    }

    @Test(arguments: [(80, 3), (800, 6), (9000, 5)])
    func `non-negative fits are optimal under their constraint`(rows: Int, columns: Int) throws {
        var sample = QuantileSample(rows: rows, columns: columns, seed: 21)
        // The second column works the wrong way, so its constraint binds.
        for i in 0..<rows { sample.y[i] -= 5 * sample.x[i * columns + 1] }
        let regression = try sample.regression()
        for tau in [0.1, 0.5, 0.9] {
            let fit = regression.fit(tau: tau, restraint: .init(nonNegative: true))
            #expect(fit.certified)
            #expect(fit.intercept >= -1e-9 && fit.coefficients.allSatisfy { $0 >= -1e-9 })
            #expect(fit.coefficients[1] < 1e-9)
            // No feasible neighbour is better.
            let best = loss(sample, fit, tau)
            for j in -1..<columns {
                for change in [-1e-4, 1e-4] {
                    var other = fit
                    if j < 0 { other.intercept += change } else { other.coefficients[j] += change }
                    if other.intercept < 0 || other.coefficients.contains(where: { $0 < 0 }) { continue }
                    #expect(loss(sample, other, tau) >= best * (1 - 1e-12))
                }
            }
        }
        let joint = try NonCrossing.fit(
            regression, taus: [0.1, 0.5, 0.9], restraint: .init(nonNegative: true))
        #expect(joint.certified)
        for fit in joint.fits { #expect(fit.coefficients.allSatisfy { $0 >= -1e-9 }) }
    }

    private func loss(_ sample: QuantileSample, _ fit: QuantileFit, _ tau: Double) -> Double {
        var sum = 0.0
        for i in 0..<sample.rows {
            let r = sample.y[i] - fit(sample.x[i * sample.columns..<(i + 1) * sample.columns])
            sum += max(tau * r, (tau - 1) * r)
        }
        return sum
    }

    @Test func `the path keeps what helps on groups left out`() throws {
        let sample = QuantileSample(rows: 300, columns: 3, seed: 12)
        let path = try QuantilePenaltyPath.choose(
            sample.x, count: 300, columns: 3, y: sample.y, groups: (0..<300).map { $0 % 4 }, tau: 0.5)
        #expect(path.chosen < path.penalties[0])
        #expect(path.fit.coefficients.allSatisfy { $0 != 0 })
        #expect(throws: InvalidInput.self) {
            try QuantilePenaltyPath.choose(
                sample.x, count: 300, columns: 3, y: sample.y, groups: [Int](repeating: 0, count: 300),
                tau: 0.5)
        }
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func `joint quantiles keep their order everywhere in the training box`(seed: UInt64) throws {
        let sample = QuantileSample(rows: 90, columns: 4, seed: seed)
        let regression = try sample.regression()
        let joint = try NonCrossing.fit(regression, taus: [0.1, 0.3, 0.5, 0.7, 0.9])
        #expect(joint.certified)
        let low = (0..<4).map { j in (0..<90).map { sample.x[$0 * 4 + j] }.min()! }
        let high = (0..<4).map { j in (0..<90).map { sample.x[$0 * 4 + j] }.max()! }
        var stream = RandomStream(seed: seed, purpose: "box")
        for trial in 0..<3000 {
            let point = (0..<4).map { j in
                trial < 16
                    ? ((trial >> j) & 1 == 0 ? low[j] : high[j])
                    : low[j] + (high[j] - low[j]) * stream.uniform()
            }
            let values = joint.fits.map { $0(point) }
            for k in 1..<values.count { #expect(values[k] >= values[k - 1]) }
        }
    }

    @Test func `unusable numbers are refused by name`() throws {
        #expect(throws: InvalidInput.self) { try QuantileDesign.make([1, .nan], count: 2, columns: 1) }
        #expect(throws: InvalidInput.self) { try QuantileDesign.make([1, .infinity], count: 2, columns: 1) }
        #expect(throws: InvalidInput.self) { try QuantileDesign.make([1, 1e200], count: 2, columns: 1) }
        #expect(throws: InvalidInput.self) { try QuantileDesign.make([], count: 0, columns: 1) }
        let design = try QuantileDesign.make([1, 2, 3], count: 3, columns: 1)
        #expect(throws: InvalidInput.self) { try QuantileRegression(design: design, y: [1, .nan, 2]) }
        #expect(throws: InvalidInput.self) {
            try QuantileRegression(design: design, y: [1, 2, 2], weights: [1, -1, 1])
        }
        #expect(throws: InvalidInput.self) {
            try QuantileRegression(design: design, y: [1, 2, 2], weights: [0, 0, 0])
        }
        let regression = try QuantileRegression(design: design, y: [1, 2, 2])
        #expect(throws: InvalidInput.self) { try NonCrossing.fit(regression, taus: [0.5, 0.1]) }
        #expect(throws: InvalidInput.self) { try NonCrossing.fit(regression, taus: [0, 0.5]) }
    }

    @Test func `all rows alike, one row and a constant target are fitted without a trap`() throws {
        let one = try QuantileRegression(design: QuantileDesign.make([3, 4], count: 1, columns: 2), y: [5])
        #expect(one.fit(tau: 0.5)([3, 4]) == 5)
        let alike = try QuantileRegression(
            design: QuantileDesign.make([Double](repeating: 2, count: 40), count: 20, columns: 2),
            y: (0..<20).map(Double.init))
        #expect(alike.fit(tau: 0.1).certified)
        let flat = QuantileSample(rows: 50, columns: 2, seed: 1)
        let constant = try QuantileRegression(
            design: QuantileDesign.make(flat.x, count: 50, columns: 2), y: [Double](repeating: 9, count: 50))
        #expect(abs(constant.fit(tau: 0.9)([1, 1]) - 9) < 1e-9)
    }
}
