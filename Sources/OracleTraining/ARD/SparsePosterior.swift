import LinearAlgebra

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Gaussian posterior of standardised weights under independent precisions: y = Zw + e, e ~ N(0, 1/b),
/// w_j ~ N(0, 1/a_j), for the columns that are active.
public struct SparsePosterior: Sendable {
    /// Positions of the active columns in the standardised Gram matrix.
    public let active: [Int]
    /// Prior precision of each.
    public let precisions: [Double]
    /// Noise precision b.
    public let noisePrecision: Double
    /// Posterior means.
    public let weights: [Double]
    /// Posterior covariance.
    public let covariance: SquareMatrix
    /// Logarithm of the evidence of the centred, standardised target.
    public let logEvidence: Double

    /// The posterior for given precisions; nil when the matrix is not positive definite to working precision.
    public init?(_ gram: StandardizedGram, active: [Int], precisions: [Double], noisePrecision b: Double) {
        guard b > 0, b.isFinite else { return nil }
        var matrix = gram.gram.submatrix(active)
        for i in matrix.elements.indices { matrix.elements[i] *= b }
        for (i, a) in precisions.enumerated() { matrix[i, i] += a }
        guard let factor = CholeskyFactorization(matrix) else { return nil }
        let projection = active.map { gram.projection[$0] }
        covariance = factor.inverse()
        weights = factor.solve(projection.map { b * $0 })
        self.active = active
        self.precisions = precisions
        noisePrecision = b
        let fit = b * dot(projection, weights) - b * gram.targetSquares
        let prior = precisions.reduce(0) { $0 + log($1) }
        logEvidence =
            0.5 * (gram.rows * log(b) + prior - factor.logDeterminant - gram.rows * log(2 * Double.pi) + fit)
    }

    /// Well-determinedness of every weight, 1 - a S: 1 when the data decide, 0 when the prior does.
    public var determinedness: [Double] {
        active.indices.map { 1 - precisions[$0] * covariance[$0, $0] }
    }

    /// Squared error of the posterior mean.
    func squaredError(_ gram: StandardizedGram) -> Double {
        let own = gram.gram.submatrix(active)
        let projection = active.map { gram.projection[$0] }
        return max(0, gram.targetSquares - 2 * dot(weights, projection) + own.quadratic(weights))
    }
}
