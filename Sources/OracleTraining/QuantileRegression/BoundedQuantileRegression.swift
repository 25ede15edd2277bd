import ServingCore

/// Linear quantile regression whose natural coefficients lie between given bounds, to the exact optimum.
///
/// Coefficients that stand at a bound take no part in the linear program, so that a fit with few coefficients off their bounds
/// costs what those few cost. Which do is found by block pivoting on the optimality conditions (Portugal, Judice & Vicente
/// 1994): first on a sample of the rows, then on all. The result is optimal when the free coefficients keep their bounds and
/// no coefficient at a bound would gain by leaving it.
package struct BoundedQuantileRegression {
    /// Feature values, row after row, and what they belong to.
    private let x: [Double]
    private let columns: Int
    private let y: [Double]
    private let weights: [Double]

    /// Rows of the samples that find out which coefficients are free.
    private static let sampleRows = [1000, 8000]
    /// Exchanges of free and bound coefficients at most.
    private static let mostRounds = 40

    /// Takes `y.count` rows of `columns` numbers; a constant stands in front as coefficient 0.
    package init(_ x: [Double], columns: Int, y: [Double], weights: [Double]) {
        precondition(x.count == columns * y.count && weights.count == y.count)
        self.x = x
        self.columns = columns
        self.y = y
        self.weights = weights
    }

    /// Bounds of the coefficients, the constant first; infinite where there is none.
    package struct Bounds: Sendable, Equatable {
        var lower: [Double]
        var upper: [Double]

        /// At least 0, except `signed` columns, counted with the constant.
        package static func nonNegative(_ count: Int, signed: (Int) -> Bool = { _ in false }) -> Bounds {
            Bounds(
                lower: (0..<count).map { signed($0) ? -.infinity : 0 },
                upper: [Double](repeating: .infinity, count: count))
        }
    }

    /// Where a coefficient stands.
    private enum Place { case lower, upper, free }

    /// Fits one quantile.
    /// - Parameter start: coefficients near the optimum, the constant first, where some are known.
    /// - Throws: `InvalidInput` for numbers that can't be fitted.
    package func fit(tau: Double, bounds: Bounds, from start: [Double]? = nil) throws(InvalidInput)
        -> QuantileFit
    {
        let begin = nearby(tau, bounds, from: start)
        let near = begin.coefficients
        var places = bounds.lower.indices.map { j -> Place in
            let (lower, upper) = (bounds.lower[j], bounds.upper[j])
            if lower >= upper { return .lower }
            if begin.isFree[j] || !lower.isFinite && !upper.isFinite { return .free }
            return lower.isFinite && near[j] < upper ? .lower : .upper
        }
        var fit = try search(tau, bounds, &places, from: near)
        // Exchanges may go round in circles where there are fewer rows than coefficients.
        if !fit.certified {
            let (here, there) = (loss([fit.intercept] + fit.coefficients, tau), loss(near, tau))
            if there < here { (fit.intercept, fit.coefficients) = (near[0], Array(near[1...])) }
            fit.objective = min(here, there)
        }
        return fit
    }

    /// Summed pinball loss of coefficients, the constant first.
    private func loss(_ coefficients: [Double], _ tau: Double) -> Double {
        var sum = 0.0
        for i in y.indices {
            var r = y[i] - coefficients[0]
            for j in 0..<columns { r -= coefficients[j + 1] * x[i * columns + j] }
            sum += weights[i] * max(tau * r, (tau - 1) * r)
        }
        return sum
    }

    /// Minimises the loss with its kink rounded off over a fiftieth of the rows or less: near the optimum, for a fraction of the
    /// cost, and without proof. Exact where a fiftieth of the rows is too few for that.
    /// - Parameter start: coefficients near the optimum, the constant first, where some are known.
    /// - Throws: `InvalidInput` for numbers that can't be fitted.
    package func smoothedFit(tau: Double, bounds: Bounds, from start: [Double]? = nil) throws(InvalidInput)
        -> QuantileFit
    {
        guard BoundedStart.comesNear(rows: y.count, width: columns + 1) else {
            return try fit(tau: tau, bounds: bounds, from: start)
        }
        let near = nearby(tau, bounds, from: start).coefficients
        return QuantileFit(
            tau: tau, intercept: near[0], coefficients: Array(near[1...]), objective: .nan,
            dualObjective: .nan, certified: false, rowsBelow: 0, rowsOn: 0, pivots: 0)
    }

    /// The optimum of the smoothed loss: of samples first, then of all rows.
    private func nearby(_ tau: Double, _ bounds: Bounds, from start: [Double]?) -> BoundedStart {
        func begin(_ rows: BoundedQuantileRegression, _ near: [Double], isRough: Bool) -> BoundedStart {
            BoundedStart(
                rows.x, columns: columns, y: rows.y, weights: rows.weights, tau: tau, bounds: bounds,
                near: near, isRough: isRough)
        }
        var near = start ?? bounds.lower.map { $0.isFinite ? $0 : 0 }
        let samples = Self.sampleRows.filter { y.count > 3 * $0 }
        for (k, size) in samples.enumerated() {
            near = begin(evenlySpread(size), near, isRough: k == 0).coefficients
        }
        return begin(self, near, isRough: samples.isEmpty)
    }

    /// Some of the rows.
    private func evenlySpread(_ size: Int) -> BoundedQuantileRegression {
        let rows = (0..<size).map { $0 * y.count / size }
        return BoundedQuantileRegression(
            rows.flatMap { x[$0 * columns..<($0 + 1) * columns] }, columns: columns,
            y: rows.map { y[$0] }, weights: rows.map { weights[$0] })
    }

    /// Exchanges free and bound coefficients until the conditions of the optimum hold.
    private func search(
        _ tau: Double, _ bounds: Bounds, _ places: inout [Place], from start: [Double]?
    ) throws(InvalidInput) -> QuantileFit {
        var near = start
        var fewest = Int.max
        var patience = 3
        var best: (fit: QuantileFit, violations: Int)?
        for round in 0..<Self.mostRounds {
            let base = places.indices.map { places[$0] == .upper ? bounds.upper[$0] : bounds.lower[$0] }
                .map { $0.isFinite ? $0 : 0 }
            var (fit, pulls, sizes) = try solve(tau, places, base, from: near)
            near = [fit.intercept] + fit.coefficients
            var wrong: [(Int, Place)] = []
            for j in places.indices {
                let value = j == 0 ? fit.intercept : fit.coefficients[j - 1]
                let slack = 1e-10 * (1 + abs(value))
                switch places[j] {
                case .free:
                    if value < bounds.lower[j] - slack {
                        wrong.append((j, .lower))
                    } else if value > bounds.upper[j] + slack {
                        wrong.append((j, .upper))
                    }
                case .lower:
                    if bounds.upper[j] > bounds.lower[j], pulls[j] > 1e-7 * sizes[j] {
                        wrong.append((j, .free))
                    }
                case .upper:
                    if bounds.upper[j] > bounds.lower[j], pulls[j] < -1e-7 * sizes[j] {
                        wrong.append((j, .free))
                    }
                }
            }
            if wrong.isEmpty { return fit }
            fit.certified = false
            // What is out of bounds is put back: a feasible fit, if not the best.
            for (j, place) in wrong where places[j] == .free {
                let value = place == .lower ? bounds.lower[j] : bounds.upper[j]
                if j == 0 { fit.intercept = value } else { fit.coefficients[j - 1] = value }
            }
            if wrong.count < best?.violations ?? .max { best = (fit, wrong.count) }
            if wrong.count < fewest {
                fewest = wrong.count
                patience = 3
            } else if patience > 0 {
                patience -= 1
            } else {
                // All at once goes round in circles: one at a time, the last first.
                wrong = [wrong[round % wrong.count]]
            }
            for (j, place) in wrong { places[j] = place }
        }
        guard let best else { preconditionFailure("a round leaves a fit") }
        return best.fit
    }

    /// The optimum over the free coefficients, and how hard the rows pull at each coefficient.
    private func solve(
        _ tau: Double, _ places: [Place], _ base: [Double], from near: [Double]?
    ) throws(InvalidInput) -> (fit: QuantileFit, pulls: [Double], sizes: [Double]) {
        let n = y.count
        let free = places.indices.filter { $0 > 0 && places[$0] == .free }.map { $0 - 1 }
        let fixed = (0..<columns).filter { base[$0 + 1] != 0 }
        var values: [Double] = []
        values.reserveCapacity(n * free.count)
        var left = y
        x.withUnsafeBufferPointer { x in
            for i in 0..<n {
                let row = i * columns
                for j in free { values.append(x[row + j]) }
                var sum = base[0]
                for j in fixed { sum += base[j + 1] * x[row + j] }
                left[i] -= sum
            }
        }
        let design = try QuantileDesign.make(
            values, count: n, columns: free.count, intercept: places[0] == .free)
        let regression = try QuantileRegression(design: design, y: left, weights: weights)
        // What is known of the optimum, less what the coefficients at a bound take.
        let start = near.flatMap { near in
            design.standardised(
                intercept: near[0] - base[0], coefficients: free.map { near[$0 + 1] - base[$0 + 1] },
                yScale: regression.yScale, yShift: regression.yShift)
        }
        let solution = regression.solve(tau: tau, from: start)
        var fit = regression.report(solution)
        let dual = regression.dual(solution)
        var pulls = [Double](repeating: 0, count: columns + 1)
        var sizes = pulls
        pulls.withUnsafeMutableBufferPointer { pulls in
            sizes.withUnsafeMutableBufferPointer { sizes in
                x.withUnsafeBufferPointer { x in
                    for i in 0..<n {
                        let row = i * columns
                        let psi = dual[i]
                        let w = weights[i]
                        pulls[0] += psi
                        sizes[0] += w
                        for j in 0..<columns {
                            pulls[j + 1] += psi * x[row + j]
                            sizes[j + 1] += w * abs(x[row + j])
                        }
                    }
                }
            }
        }
        var coefficients = Array(base[1...])
        for (k, j) in free.enumerated() { coefficients[j] += fit.coefficients[k] }
        fit.coefficients = coefficients
        fit.intercept += base[0]
        return (fit, pulls, sizes)
    }
}

extension QuantileRegression {
    /// The dual solution: the slope of every row's loss at the optimum, in units of its weight.
    func dual(_ solution: Solution) -> [Double] {
        let quads = design.rows.quads
        let vector = RowBlock(width: 4 * quads, count: 1)
        for j in 0..<4 * quads { vector.elements(0)[j] = solution.beta[j] }
        var sides: [Int: Bool] = [:]
        for tie in solution.ties { sides[tie.row] = tie.above }
        var psi = [Double](repeating: 0, count: design.count)
        for i in psi.indices {
            let r = y[i] - RowKernels.dot(design.rows[i], vector[0], quads)
            let above = abs(r) <= 1e-7 ? sides[i] ?? (r >= 0) : r >= 0
            psi[i] = (weights?[i] ?? 1) * weightScale * (above ? solution.tau : solution.tau - 1)
        }
        for (k, i) in solution.basis.enumerated() where i >= 0 {
            psi[i] = solution.basisDual[k] * weightScale
        }
        return psi
    }
}
