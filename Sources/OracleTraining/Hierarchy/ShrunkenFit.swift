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
            for i in 0..<count {
                emphasis[i] = (weights[i] * emphasis[i]).squareRoot() / unit[i]
            }
            var (gram, projection) = products(values, rows.targets, known, factors: emphasis, width: width)
            for a in 0..<width {
                let hold = shrinkage * gram[a, a]
                gram[a, a] += hold
                projection[a] += hold * start[a]
            }
            solution = NonNegativeLeastSquares.solve(gram: gram, projection: projection)
            // What no row shows stays as it was known.
            for a in 0..<width where gram[a, a] <= 0 { solution[a] = start[a] }
            values.withUnsafeBufferPointer { values in
                fitted.withUnsafeMutableBufferPointer {
                    rowProducts(values, rows: count, columns: width, solution, into: $0)
                }
            }
            for i in 0..<count {
                fitted[i] += known[i]
                unit[i] = max(fitted[i], 0.25 * rows.targets[i])
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

    /// Rows whose products are added at once: a block of 40 columns stays in the L2 cache.
    private static let blockRows = 512

    /// X'X and X'y of rows multiplied by factors; y is the target less what is known of it.
    private static func products(
        _ values: [Double], _ targets: [Double], _ known: [Double], factors: [Double], width: Int
    ) -> (gram: SquareMatrix, projection: [Double]) {
        var all = SquareMatrix(size: width + 1)
        withUnsafeTemporaryAllocation(of: Double.self, capacity: blockRows * (width + 1)) { scratch in
            values.withUnsafeBufferPointer { values in
                var start = 0
                while start < targets.count {
                    let count = min(blockRows, targets.count - start)
                    for i in 0..<count {
                        let row = start + i
                        for a in 0..<width {
                            scratch[i * (width + 1) + a] = factors[row] * values[row * width + a]
                        }
                        scratch[i * (width + 1) + width] = factors[row] * (targets[row] - known[row])
                    }
                    addGram(UnsafeBufferPointer(scratch), rows: count, columns: width + 1, to: &all)
                    start += count
                }
            }
        }
        var gram = SquareMatrix(size: width)
        for a in 0..<width {
            for b in a..<width {
                gram[a, b] = all[a, b]
                gram[b, a] = all[a, b]
            }
        }
        return (gram, (0..<width).map { all[$0, width] })
    }
}
