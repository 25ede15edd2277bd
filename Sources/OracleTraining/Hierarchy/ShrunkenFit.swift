import LinearAlgebra

/// Robust non-negative least squares of relative errors, drawn towards coefficients known beforehand.
///
/// Minimises sum_i w_i rho((y_i - o_i - x_i b) / f_i) + shrinkage sum_j s_j (b_j - prior_j)^2 with b >= 0, where f_i is the
/// prediction, rho the negative log density of Student's t, and s_j = sum_i w_i (x_ij / f_i)^2: a coefficient is held
/// the more firmly the less the rows can tell. Solved by iterated reweighting.
struct ShrunkenFit {
    /// Coefficients, one per column, at least 0.
    var coefficients: [Double]
    /// Scale of the relative errors.
    var scale: Double

    /// - Parameters:
    ///   - weights: weight of each row, sum 1.
    ///   - offset: known part of each row's target.
    ///   - free: columns to fit; the others keep their prior, which is no part of `offset`.
    static func fit(
        _ rows: DesignRows, weights: [Double], offset: [Double]? = nil, free: [Int], prior: [Double],
        shrinkage: Double, degreesOfFreedom nu: Double = 4, rounds: Int = 12
    ) -> ShrunkenFit {
        let (count, width) = (rows.count, free.count)
        let held = Set(prior.indices).subtracting(free).filter { prior[$0] != 0 }.sorted()
        var values = [Double](repeating: 0, count: count * width)
        var known = offset ?? [Double](repeating: 0, count: count)
        for i in 0..<count {
            let row = rows.row(i)
            for (k, column) in free.enumerated() { values[i * width + k] = row[row.startIndex + column] }
            for column in held { known[i] += prior[column] * row[row.startIndex + column] }
        }
        let start = free.map { prior[$0] }
        var solution = start
        var unit = rows.targets
        var emphasis = [Double](repeating: 1, count: count)
        var scale = 0.05
        var fitted = [Double](repeating: 0, count: count)
        for _ in 0..<rounds {
            var gram = SquareMatrix(size: width)
            var projection = [Double](repeating: 0, count: width)
            values.withUnsafeBufferPointer { values in
                for i in 0..<count {
                    let weight = weights[i] * emphasis[i] / (unit[i] * unit[i])
                    let target = rows.targets[i] - known[i]
                    for a in 0..<width {
                        let scaled = weight * values[i * width + a]
                        guard scaled != 0 else { continue }
                        projection[a] += scaled * target
                        for b in 0...a { gram[a, b] += scaled * values[i * width + b] }
                    }
                }
            }
            for a in 0..<width {
                for b in 0..<a { gram[b, a] = gram[a, b] }
            }
            for a in 0..<width {
                let hold = shrinkage * gram[a, a]
                gram[a, a] += hold
                projection[a] += hold * start[a]
            }
            solution = NonNegativeLeastSquares.solve(gram: gram, projection: projection)
            // What no row shows stays as it was known.
            for a in 0..<width where gram[a, a] <= 0 { solution[a] = start[a] }
            for i in 0..<count {
                var sum = known[i]
                for a in 0..<width { sum += values[i * width + a] * solution[a] }
                fitted[i] = sum
                unit[i] = max(sum, 0.25 * rows.targets[i])
            }
            for _ in 0..<6 {
                var (squares, mass) = (0.0, 0.0)
                for i in 0..<count {
                    let z = (rows.targets[i] - fitted[i]) / unit[i] / scale
                    let factor = (nu + 1) / (nu + z * z)
                    squares += weights[i] * factor * z * z
                    mass += weights[i] * factor
                }
                scale = max(scale * (squares / max(mass, 1e-300)).squareRoot(), 1e-6)
            }
            for i in 0..<count {
                let z = (rows.targets[i] - fitted[i]) / unit[i] / scale
                emphasis[i] = (nu + 1) / (nu + z * z)
            }
        }
        var coefficients = prior
        for (k, column) in free.enumerated() { coefficients[column] = solution[k] }
        return ShrunkenFit(coefficients: coefficients, scale: scale)
    }
}
