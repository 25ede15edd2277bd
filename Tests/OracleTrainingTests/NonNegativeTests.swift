import LinearAlgebra
import ServingCore
import Testing

@testable import OracleTraining

@Suite struct `Coefficients of at least 0` {
    /// Rows of `truth` over independent columns in [0, 1), the last column 0 throughout, with noise.
    private func rows(_ truth: [Double], constant: Double, count: Int, seed: UInt64, noise: Double = 0.05)
        -> DesignRows
    {
        var stream = RandomStream(seed: seed, purpose: "rows")
        var rows = DesignRows(columns: truth.count, capacity: count)
        for _ in 0..<count {
            let x = truth.indices.map { $0 == truth.count - 1 ? 0 : stream.uniform() }
            let error = noise * (stream.uniform() + stream.uniform() - 1)
            rows.append(x, target: zip(x, truth).reduce(constant + error) { $0 + $1.0 * $1.1 })
        }
        return rows
    }

    @Test func `are the evidence's own where none would be negative`() throws {
        let block = GramBlock(rows([1, 0.5, 2, 0], constant: 1, count: 400, seed: 3))
        let free = try #require(ARDRegression.fit(block))
        let held = try #require(NonNegativeARD.fit(block))
        #expect(held.kept == free.kept)
        for column in 0..<4 {
            #expect(abs(held.coefficients[column] - free.coefficients[column]) < 1e-9)
        }
        #expect(held.logEvidence != nil)
    }

    @Test(arguments: 1...20) func `keep no negative one and say why`(_ seed: Int) throws {
        var stream = RandomStream(seed: UInt64(seed), purpose: "truth")
        let truth = (0..<8).map { _ in 2 * stream.uniform() - 1 }
        let block = GramBlock(rows(truth, constant: 4, count: 300, seed: UInt64(seed)))
        let free = try #require(ARDRegression.fit(block))
        let held = try #require(NonNegativeARD.fit(block))
        #expect(free.coefficients.contains { $0 < 0 })
        #expect(held.coefficients.allSatisfy { $0 >= 0 } && held.intercept >= 0)
        for column in 0..<8 {
            #expect((held.reasons[column] == nil) == held.kept.contains(column))
            if truth[column] > 0.2, column < 7 { #expect(held.kept.contains(column)) }
        }
    }

    @Test func `are least squares under a prior of no weight, and the prior under a firm one`() throws {
        let all = rows([1, 0.5, 2, 0], constant: 1, count: 200, seed: 5)
        let block = GramBlock(all)
        func prior(_ shrinkage: Double) -> CoefficientPrior {
            CoefficientPrior(
                values: [3, 3, 3, 7], shrinkage: [Double](repeating: shrinkage, count: 4), constant: 2,
                constantShrinkage: shrinkage)
        }
        let least = try #require(NonNegativeLeastSquares.fit(block))
        let loose = try #require(NonNegativeLeastSquares.fit(block, prior: prior(0)))
        let firm = try #require(NonNegativeLeastSquares.fit(block, prior: prior(1e9)))
        for column in 0..<3 {
            #expect(abs(loose.coefficients[column] - least.coefficients[column]) < 1e-8)
            #expect(abs(firm.coefficients[column] - 3) < 1e-6)
            let loosely = try #require(loose.kept.firstIndex(of: column))
            let own = try #require(least.kept.firstIndex(of: column))
            #expect(
                abs(loose.covariance[loosely, loosely] / least.covariance[own, own] - 1) < 0.02)
        }
        #expect(abs(firm.intercept - 2) < 1e-6)
        // No row shows the last column.
        #expect(loose.coefficients[3] == 7 && firm.coefficients[3] == 7)
        #expect(abs(loose.interceptVariance / least.interceptVariance - 1) < 0.02)
    }

    @Test func `under a prior have the variance of the posterior`() throws {
        let all = rows([1, 0.5, 0], constant: 1, count: 60, seed: 6, noise: 0.3)
        let prior = CoefficientPrior(
            values: [1, 0.5, 0], shrinkage: [0.5, 2, 1], constant: 1, constantShrinkage: 0.25)
        let estimate = try #require(NonNegativeLeastSquares.fit(GramBlock(all), prior: prior))
        #expect(estimate.kept == [0, 1])
        // (X'X + H)^-1 over both columns and the constant, written out.
        var precision = SquareMatrix(size: 3)
        for index in 0..<all.count {
            let row = Array(all.row(index))
            let x = [row[0], row[1], 1]
            for i in 0..<3 { for j in 0..<3 { precision[i, j] += x[i] * x[j] } }
        }
        for (i, shrinkage) in [0.5, 2, 0.25].enumerated() { precision[i, i] *= 1 + shrinkage }
        let inverse = try #require(CholeskyFactorization(precision)).inverse()
        for point in [[0.0, 0.0, 0.0], [1, 0.2, 0], [0.3, 0.9, 0]] {
            let expected = inverse.quadratic([point[0], point[1], 1]) * estimate.noiseVariance
            #expect(abs(estimate.coefficientVariance(point) / expected - 1) < 1e-9)
        }
    }
}
