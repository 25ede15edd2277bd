import LinearAlgebra

/// Least squares with coefficients of at least 0 (Lawson & Hanson, 1974, chapter 23), on sufficient statistics.
public enum NonNegativeLeastSquares {
    /// Solves min ||A x - b||, x >= 0, given A'A and A'b.
    ///
    /// Columns are scaled to unit length; a column that the active ones already explain stays at 0.
    /// - Complexity: O(active^3) per step, usually a few steps per column.
    public static func solve(gram: SquareMatrix, projection: [Double]) -> [Double] {
        let n = projection.count
        let scale = (0..<n).map { gram[$0, $0] > 0 ? 1 / gram[$0, $0].squareRoot() : 0 }
        var g = gram
        for i in 0..<n { for j in 0..<n { g[i, j] *= scale[i] * scale[j] } }
        let c = zip(projection, scale).map { $0 * $1 }
        let size = c.reduce(0) { max($0, abs($1)) }
        var x = [Double](repeating: 0, count: n)
        var active: [Int] = []
        var blocked: Set<Int> = []
        for _ in 0..<(10 * n + 30) {
            let gradient = zip(c, g.times(x)).map { $0 - $1 }
            var entering = -1
            for j in 0..<n where scale[j] > 0 && !active.contains(j) && !blocked.contains(j) {
                guard gradient[j] > 1e-12 * size else { continue }
                if entering < 0 || gradient[j] > gradient[entering] { entering = j }
            }
            guard entering >= 0 else { break }
            active.append(entering)
            guard var solution = solveActive(g, c, active), solution.last! > 0 else {
                // Dependent on the active columns to working precision.
                active.removeLast()
                blocked.insert(entering)
                continue
            }
            blocked.removeAll()
            while let negative = active.indices.filter({ solution[$0] <= 0 }).min(by: {
                step(x[active[$0]], solution[$0]) < step(x[active[$1]], solution[$1])
            }) {
                let t = step(x[active[negative]], solution[negative])
                for (i, j) in active.enumerated() { x[j] += t * (solution[i] - x[j]) }
                x[active[negative]] = 0
                active = active.filter { x[$0] > 0 }
                solution = solveActive(g, c, active) ?? active.map { x[$0] }
            }
            for j in 0..<n { x[j] = 0 }
            for (i, j) in active.enumerated() { x[j] = solution[i] }
        }
        return zip(x, scale).map { $0 * $1 }
    }

    /// How far from `from` towards `to` (at most 0) until 0 is reached.
    private static func step(_ from: Double, _ to: Double) -> Double { from > to ? from / (from - to) : 0 }

    private static func solveActive(_ g: SquareMatrix, _ c: [Double], _ active: [Int]) -> [Double]? {
        guard !active.isEmpty else { return [] }
        guard let factor = CholeskyFactorization(g.submatrix(active)) else { return nil }
        let rhs = active.map { c[$0] }
        var x = factor.solve(rhs)
        // One step of refinement: badly conditioned pairs keep their last digits.
        let residual = zip(rhs, g.submatrix(active).times(x)).map { $0 - $1 }
        for (i, correction) in factor.solve(residual).enumerated() { x[i] += correction }
        return x.allSatisfy { $0.isFinite } ? x : nil
    }

    /// Fits a block with a constant term of at least 0 and reports the uncertainty of the active coefficients, as
    /// of least squares on them alone.
    ///
    /// A prior makes it the mode of the posterior under independent normal priors cut off at 0; the uncertainty is the
    /// posterior's. What neither rows nor prior determine stays as the prior has it.
    /// - Returns: nil when the target is constant or there are no rows.
    public static func fit(_ block: GramBlock, prior: CoefficientPrior? = nil) -> LinearEstimate? {
        let p = block.columns
        guard block.rows > 1, block.weight > 0, !block.isConstant(p) else { return nil }
        if let prior { return fit(block, drawnTo: prior) }
        let w = block.weight
        var (gram, projection) = sumsAboutOrigin(block)
        // A column that does not vary competes with the constant term: the constant stands for it.
        for j in 0..<p where block.isConstant(j) {
            for i in 0...p {
                gram[i, j] = 0
                gram[j, i] = 0
            }
            projection[j] = 0
        }
        let solution = solve(gram: gram, projection: projection)
        let squares =
            block.targetSquares + w * block.targetMean * block.targetMean - 2 * dot(solution, projection)
            + gram.quadratic(solution)
        let kept = (0..<p).filter { solution[$0] > 0 }
        let freedom = max(1, Double(block.rows - kept.count - 1))
        let rowsPerWeight = Double(block.rows) / w
        let variance = max(0, squares) * rowsPerWeight / freedom
        var centred = SquareMatrix(size: kept.count)
        for (i, a) in kept.enumerated() {
            for (j, b) in kept.enumerated() { centred[i, j] = block.product(a, b) * rowsPerWeight }
        }
        var covariance =
            SymmetricEigen(unitDiagonal(centred))?.pseudoInverse(tolerance: 1e-12)
            ?? SquareMatrix(size: kept.count)
        for i in kept.indices {
            for j in kept.indices {
                covariance[i, j] *= variance / (centred[i, i] * centred[j, j]).squareRoot()
            }
        }
        let keptSet = Set(kept)
        let reasons = (0..<p).map { column -> String? in
            if keptSet.contains(column) { return nil }
            return block.isConstant(column) ? "constant" : "its best non-negative coefficient is 0"
        }
        return LinearEstimate(
            coefficients: Array(solution[0..<p]), intercept: solution[p], kept: kept, covariance: covariance,
            means: kept.map { block.means[$0] }, interceptVariance: variance / Double(block.rows),
            noiseVariance: variance * w / Double(block.rows), logEvidence: nil, reasons: reasons,
            iterations: 0)
    }

    /// Weighted products of the columns with each other and with the target about the origin, the column of ones last.
    private static func sumsAboutOrigin(_ block: GramBlock) -> (gram: SquareMatrix, projection: [Double]) {
        let p = block.columns
        let w = block.weight
        var gram = SquareMatrix(size: p + 1)
        var projection = [Double](repeating: 0, count: p + 1)
        for i in 0..<p {
            for j in 0..<p { gram[i, j] = block.product(i, j) + w * block.means[i] * block.means[j] }
            gram[i, p] = w * block.means[i]
            gram[p, i] = gram[i, p]
            projection[i] = block.targetProduct(i) + w * block.means[i] * block.targetMean
        }
        gram[p, p] = w
        projection[p] = w * block.targetMean
        return (gram, projection)
    }

    private static func fit(_ block: GramBlock, drawnTo prior: CoefficientPrior) -> LinearEstimate {
        let p = block.columns
        let w = block.weight
        let (gram, projection) = sumsAboutOrigin(block)
        let total = block.targetSquares + w * block.targetMean * block.targetMean
        var precision = gram
        var pull = projection
        let known = prior.values + [prior.constant]
        let shrinkage = prior.shrinkage + [prior.constantShrinkage]
        for j in 0...p {
            let hold = shrinkage[j] * gram[j, j]
            precision[j, j] += hold
            pull[j] += hold * known[j]
        }
        var solution = solve(gram: precision, projection: pull)
        // No row shows these.
        let unseen = Set((0..<p).filter { gram[$0, $0] <= 0 })
        for j in unseen { solution[j] = max(0, known[j]) }
        let squares = total - 2 * dot(solution, projection) + gram.quadratic(solution)
        let kept = (0..<p).filter { solution[$0] > 0 }
        let rowsPerWeight = Double(block.rows) / w
        // Held coefficients are no degrees of freedom lost: each counts by what the rows say of it.
        let lost = kept.reduce(0) { $0 + 1 / (1 + shrinkage[$1]) }
        let variance = max(0, squares) * rowsPerWeight / max(1, Double(block.rows) - lost - 1)
        // Precision of the coefficients with the constant integrated out; the constant's own at their centre.
        let ofConstant = precision[p, p]
        let centre = (0..<p).map { precision[$0, p] / ofConstant }
        let seen = kept.filter { !unseen.contains($0) }
        var own = SquareMatrix(size: seen.count)
        for (i, a) in seen.enumerated() {
            for (j, b) in seen.enumerated() {
                own[i, j] = rowsPerWeight * (precision[a, b] - precision[a, p] * precision[p, b] / ofConstant)
            }
        }
        let inverse =
            SymmetricEigen(unitDiagonal(own))?.pseudoInverse(tolerance: 1e-12)
            ?? SquareMatrix(size: seen.count)
        var covariance = SquareMatrix(size: kept.count)
        for (i, a) in seen.enumerated() {
            for (j, b) in seen.enumerated() {
                guard let row = kept.firstIndex(of: a), let column = kept.firstIndex(of: b) else { continue }
                covariance[row, column] = inverse[i, j] * variance / (own[i, i] * own[j, j]).squareRoot()
            }
        }
        let keptSet = Set(kept)
        return LinearEstimate(
            coefficients: Array(solution[0..<p]), intercept: solution[p], kept: kept, covariance: covariance,
            means: kept.map { centre[$0] }, interceptVariance: variance / (ofConstant * rowsPerWeight),
            noiseVariance: variance / rowsPerWeight, logEvidence: nil,
            reasons: (0..<p).map { keptSet.contains($0) ? nil : "its best non-negative coefficient is 0" },
            iterations: 0)
    }

    private static func unitDiagonal(_ matrix: SquareMatrix) -> SquareMatrix {
        var result = matrix
        for i in 0..<matrix.size {
            for j in 0..<matrix.size { result[i, j] /= (matrix[i, i] * matrix[j, j]).squareRoot() }
        }
        return result
    }
}

extension NonNegativeLeastSquares {
    /// Solves min ||X b - y||, b >= 0, for rows, without a constant term.
    public static func solve(_ rows: DesignRows) -> [Double] {
        let block = GramBlock(rows)
        let p = block.columns
        var gram = SquareMatrix(size: p)
        var projection = [Double](repeating: 0, count: p)
        for i in 0..<p {
            for j in 0..<p {
                gram[i, j] = block.product(i, j) + block.weight * block.means[i] * block.means[j]
            }
            projection[i] = block.targetProduct(i) + block.weight * block.means[i] * block.targetMean
        }
        return solve(gram: gram, projection: projection)
    }
}
