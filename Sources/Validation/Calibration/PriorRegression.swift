import LinearAlgebra
import OracleTraining

/// Weighted least squares with a normal prior, coefficients held at 0 or above: the posterior mode and covariance.
struct PriorRegression {
    /// Prior means.
    var means: [Double]
    /// Prior covariance.
    var covariance: SquareMatrix
    /// Columns that may fall below 0.
    var free: Set<Int> = []

    /// What was fitted.
    struct Fit {
        var coefficients: [Double]
        /// Of coefficients held at 0: zeros.
        var covariance: SquareMatrix
    }

    /// Fits sums of products of rows, weights included: `gram` = sum of w x x', `projection` = sum of w x y.
    /// - Returns: nil when the prior is not positive definite.
    func fit(gram: SquareMatrix, projection: [Double]) -> Fit? {
        guard let prior = CholeskyFactorization(covariance) else { return nil }
        let precision = prior.inverse()
        let size = means.count
        var matrix = gram
        for index in matrix.elements.indices { matrix.elements[index] += precision.elements[index] }
        let pull = precision.times(means)
        let rhs = (0..<size).map { projection[$0] + pull[$0] }
        var active = Array(0..<size)
        // Each round holds the worst offender at 0; what is held stays held, which is enough with a prior above 0.
        while true {
            guard let factor = CholeskyFactorization(matrix.submatrix(active)) else { return nil }
            let solution = factor.solve(active.map { rhs[$0] })
            let scales = factor.inverse().diagonal.map { max($0, 0).squareRoot() }
            let worst = active.indices.filter { solution[$0] < 0 && !free.contains(active[$0]) }.min {
                solution[$0] / scales[$0] < solution[$1] / scales[$1]
            }
            if let worst {
                active.remove(at: worst)
                continue
            }
            var fit = Fit(
                coefficients: [Double](repeating: 0, count: size), covariance: SquareMatrix(size: size))
            let inverse = factor.inverse()
            for (i, a) in active.enumerated() {
                fit.coefficients[a] = solution[i]
                for (j, b) in active.enumerated() { fit.covariance[a, b] = inverse[i, j] }
            }
            return fit
        }
    }
}
