import LatencyOracle
import LinearAlgebra

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Linear regression with Student-t noise by maximum likelihood: y = b0 + x'b + scale t_nu.
///
/// ECME (Liu & Rubin, 1995): rows are weighted (nu + 1) / (nu + r^2 / s^2), the scale by PX-EM (dividing by the sum
/// of weights), and learned degrees of freedom maximise the likelihood itself at every iteration.
public struct StudentTRegression: Sendable {
    /// Fitted coefficients.
    public let coefficients: [Double]
    /// Constant term.
    public let intercept: Double
    /// Scale (not standard deviation).
    public let scale: Double
    /// Degrees of freedom, given or learned.
    public let degreesOfFreedom: Double
    /// Log likelihood at the maximum.
    public let logLikelihood: Double
    /// Iterations taken.
    public let iterations: Int

    /// Range in which degrees of freedom are learned.
    public static let learnedRange = 0.5...200.0

    /// Fits rows; `degreesOfFreedom` nil learns them.
    /// - Returns: nil when there are fewer rows than unknowns or the target is constant.
    public static func fit(
        _ rows: DesignRows, degreesOfFreedom: Double?, tolerance: Double = 1e-12,
        maximumIterations: Int = 5_000
    ) -> StudentTRegression? {
        guard rows.count > rows.columns + 1 else { return nil }
        var nu = degreesOfFreedom ?? 4
        var weights = [Double](repeating: 1, count: rows.count)
        var estimate: LinearEstimate?
        var scale = 0.0
        var iterations = 0
        var residuals: [Double] = []
        for iteration in 1...maximumIterations {
            iterations = iteration
            let block = GramBlock(rows, weights: weights)
            guard let next = leastSquares(block) else { return nil }
            let fitted = next.predict(rows)
            residuals = zip(rows.targets, fitted).map { $0 - $1 }
            let total = weights.reduce(0, +)
            let squares = zip(weights, residuals).reduce(0) { $0 + $1.0 * $1.1 * $1.1 }
            let nextScale = max((squares / total).squareRoot(), 1e-300)
            var change = abs(nextScale - scale) / nextScale
            if let estimate {
                for (a, b) in zip(estimate.coefficients, next.coefficients) {
                    change = max(change, abs(a - b) / max(abs(b), 1e-12))
                }
            }
            let hadOne = estimate != nil
            estimate = next
            scale = nextScale
            if degreesOfFreedom == nil {
                // Far moves only at first: later maxima lie near the last one.
                let range = iteration < 3 ? learnedRange : nu / 1.2...nu * 1.2
                let learned = bestDegreesOfFreedom(residuals, scale: scale, within: range)
                change = max(change, abs(learned - nu) / nu)
                nu = learned
            }
            for i in weights.indices {
                let z = residuals[i] / scale
                weights[i] = (nu + 1) / (nu + z * z)
            }
            // Degrees of freedom are found to 1e-8 only; nothing else settles closer than they do.
            if hadOne, change < (degreesOfFreedom == nil ? max(tolerance, 1e-7) : tolerance) { break }
        }
        guard let estimate else { return nil }
        let distribution = StudentTDistribution(degreesOfFreedom: nu)
        let likelihood = residuals.reduce(0) { $0 + distribution.logDensity($1 / scale) - log(scale) }
        return StudentTRegression(
            coefficients: estimate.coefficients, intercept: estimate.intercept, scale: scale,
            degreesOfFreedom: nu, logLikelihood: likelihood, iterations: iterations)
    }

    /// Ordinary least squares on a block's varying columns.
    static func leastSquares(_ block: GramBlock) -> LinearEstimate? {
        RidgeRegression.fit(block, penaltyPerRow: 0)
    }

    /// Degrees of freedom that maximise the likelihood of standardised residuals: golden section on log nu.
    public static func bestDegreesOfFreedom(
        _ residuals: [Double], scale: Double, within range: ClosedRange<Double> = learnedRange
    ) -> Double {
        let squares = residuals.map { ($0 / scale) * ($0 / scale) }
        func likelihood(_ logNu: Double) -> Double {
            let nu = exp(logNu)
            let normaliser = lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * log(nu)
            let kernel = squares.reduce(0) { $0 + log1p($1 / nu) }
            return Double(squares.count) * normaliser - (nu + 1) / 2 * kernel
        }
        let golden = (5.0.squareRoot() - 1) / 2
        var low = log(max(range.lowerBound, learnedRange.lowerBound))
        var high = log(min(range.upperBound, learnedRange.upperBound))
        var a = high - golden * (high - low)
        var b = low + golden * (high - low)
        var atA = likelihood(a)
        var atB = likelihood(b)
        while high - low > 1e-8 {
            if atA < atB {
                low = a
                (a, atA) = (b, atB)
                b = low + golden * (high - low)
                atB = likelihood(b)
            } else {
                high = b
                (b, atB) = (a, atA)
                a = high - golden * (high - low)
                atA = likelihood(a)
            }
        }
        return exp(0.5 * (low + high))
    }
}

/// Ridge regression on sufficient statistics: standardised columns, intercept free.
public enum RidgeRegression {
    /// Fits with penalty `penaltyPerRow` x rows on the squared standardised weights; 0 is least squares, where
    /// dependent columns share their coefficient (minimum norm).
    /// - Returns: nil when there are no rows.
    public static func fit(_ block: GramBlock, penaltyPerRow: Double) -> LinearEstimate? {
        let gram = StandardizedGram(block)
        guard gram.rows > 0 else { return nil }
        var matrix = gram.gram
        for i in 0..<matrix.size { matrix[i, i] += penaltyPerRow * gram.rows }
        let inverse: SquareMatrix
        let weights: [Double]
        if let factor = CholeskyFactorization(matrix) {
            inverse = factor.inverse()
            weights = factor.solve(gram.projection)
        } else {
            guard let eigen = SymmetricEigen(matrix) else { return nil }
            inverse = eigen.pseudoInverse(tolerance: 1e-13)
            weights = inverse.times(gram.projection)
        }
        let freedom = max(1, gram.rows - Double(gram.columns.count) - 1)
        let variance = gram.squaredError(weights) / freedom
        let y = gram.targetScale
        var coefficients = [Double](repeating: 0, count: block.columns)
        var covariance = SquareMatrix(size: gram.columns.count)
        var intercept = block.targetMean
        for (i, column) in gram.columns.enumerated() {
            coefficients[column] = weights[i] * y / gram.scales[i]
            intercept -= coefficients[column] * block.means[column]
            for j in gram.columns.indices {
                covariance[i, j] = inverse[i, j] * variance * y * y / (gram.scales[i] * gram.scales[j])
            }
        }
        let kept = Set(gram.columns)
        return LinearEstimate(
            coefficients: coefficients, intercept: intercept, kept: gram.columns, covariance: covariance,
            means: gram.columns.map { block.means[$0] }, interceptVariance: variance * y * y / gram.rows,
            noiseVariance: variance * y * y * block.weight / gram.rows, logEvidence: nil,
            reasons: (0..<block.columns).map { kept.contains($0) ? nil : "constant" }, iterations: 1)
    }
}
