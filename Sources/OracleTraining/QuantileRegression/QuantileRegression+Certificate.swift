import ServingCore

/// The proof of optimality that a fit carries.
extension QuantileRegression {
    /// Scores a solution on every row and proves it by its dual.
    func report(_ solution: Solution) -> QuantileFit {
        let n = design.count
        let quads = design.rows.quads
        let tau = solution.tau
        let vector = RowBlock(width: 4 * quads, count: 2)
        for j in 0..<4 * quads { vector.elements(0)[j] = solution.beta[j] }
        var inBasis = [Bool](repeating: false, count: n)
        for i in solution.basis where i >= 0 { inBasis[i] = true }
        var above = [Int: Bool](minimumCapacity: solution.ties.count)
        for tie in solution.ties { above[tie.row] = tie.above }
        var objective = 0.0
        var dual = 0.0
        var rowsBelow = 0
        var rowsOn = 0
        var size = 0.0
        for i in 0..<n {
            let fitted = RowKernels.dot(design.rows[i], vector[0], quads)
            let r = y[i] - fitted
            let w = weights?[i] ?? 1
            objective += w * (r > 0 ? tau * r : (tau - 1) * r)
            size += w
            if inBasis[i] || abs(r) <= 1e-10 * (1 + abs(y[i])) {
                rowsOn += 1
            } else if r < 0 {
                rowsBelow += 1
            }
            if !inBasis[i] {
                let positive = abs(r) <= 1e-7 ? above[i] ?? (r >= 0) : r >= 0
                let psi = w * (positive ? tau : tau - 1)
                dual += psi * y[i]
                RowKernels.add(design.rows[i], times: psi, to: vector[1], quads)
            }
        }
        var feasible = true
        for (k, i) in solution.basis.enumerated() where i >= 0 {
            let value = solution.basisDual[k]
            let w = weights?[i] ?? 1
            if value > w * tau * (1 + 1e-7) + 1e-9 || value < -w * (1 - tau) * (1 + 1e-7) - 1e-9 {
                feasible = false
            }
            dual += value * y[i]
            RowKernels.add(design.rows[i], times: value, to: vector[1], quads)
        }
        var restrained = objective
        if let extra = restraintRows(solution.restraint) {
            RowKernels.residuals(extra.rows, extra.y, vector[0], into: extra.residual)
            var basic = [Int: Double]()
            for (k, i) in solution.basis.enumerated() where i < 0 { basic[-1 - i] = solution.basisDual[k] }
            for k in 0..<extra.count {
                let r = extra.residual[k]
                let value = basic[k] ?? (r > 0 ? extra.above[k] : -extra.below[k])
                restrained += basic[k] != nil ? 0 : r > 0 ? extra.above[k] * r : -extra.below[k] * r
                dual += value * extra.y[k]
                RowKernels.add(extra.rows[k], times: value, to: vector[1], quads)
            }
        }
        for j in design.positions where abs(vector.elements(1)[j]) > 1e-8 * size { feasible = false }
        let toNatural = yScale * weightScale
        let natural = design.natural(solution.beta, yScale: yScale, yShift: yShift)
        return QuantileFit(
            tau: tau, intercept: natural.intercept, coefficients: natural.coefficients,
            objective: objective * toNatural, dualObjective: dual * toNatural,
            certified: solution.certified && feasible
                && abs(restrained - dual) <= 1e-9 * max(objective, 1e-3 * size),
            rowsBelow: rowsBelow, rowsOn: rowsOn, pivots: solution.pivots)
    }
}
