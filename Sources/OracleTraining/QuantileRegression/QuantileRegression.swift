import ServingCore

/// Linear quantile regression to the exact optimum (Koenker & Bassett 1978).
///
/// Small problems are smoothed, then finished by simplex pivots. Large ones are first fitted on a sample; rows sure to lie above
/// or below enter only as their sum, and the rest is solved exactly and checked against every row (Portnoy & Koenker
/// 1997). Every result carries a dual certificate. The same input gives the same bytes.
package struct QuantileRegression {
    /// The matrix, ready.
    package let design: QuantileDesign
    let y: [Double]
    let weights: [Double]?
    let yShift: Double
    let yScale: Double
    let weightScale: Double

    /// Prepares observations for a design.
    /// - Parameters:
    ///   - y: one observation per row.
    ///   - weights: one per row, not negative; nil weights all alike. `1/y` makes the loss relative.
    /// - Throws: `InvalidInput` when a number is not finite or a weight is negative, or all weights are 0.
    package init(design: QuantileDesign, y: [Double], weights: [Double]? = nil) throws(InvalidInput) {
        precondition(y.count == design.count && (weights == nil || weights?.count == y.count))
        for (i, value) in y.enumerated() where !(abs(value) <= 1e150) {
            throw InvalidInput(
                line: i + 1, field: "target", value: "\(value)", "cannot be fitted",
                accepted: "a finite number of at most 1e150")
        }
        var total = 0.0
        if let weights {
            for (i, value) in weights.enumerated() {
                guard value >= 0, value <= 1e150 else {
                    throw InvalidInput(
                        line: i + 1, field: "weight", value: "\(value)", "is no weight",
                        accepted: "a finite number of at least 0")
                }
                total += value
            }
            guard total > 0 else { throw InvalidInput(field: "weight", "is 0 in every row") }
        }
        weightScale = weights == nil ? 1 : total / Double(y.count)
        self.design = design
        var sample: [Double] = []
        let step = max(1, y.count / 1000)
        var i = 0
        while i < y.count {
            sample.append(y[i])
            i += step
        }
        let shift = design.intercept ? selectInPlace(&sample, rank: sample.count / 2) : 0
        for k in sample.indices { sample[k] = abs(sample[k] - shift) }
        var scale = selectInPlace(&sample, rank: sample.count / 2)
        if scale <= 1e-9 * abs(shift) {
            var sum = 0.0
            for value in y { sum += abs(value - shift) / Double(y.count) }
            scale = sum
        }
        if scale <= 1e-13 * abs(shift) || scale < 1e-150 { scale = max(abs(shift), 1) }
        yShift = shift
        yScale = scale
        let inverse = 1 / scale
        self.y = y.map { ($0 - shift) * inverse }
        if let weights {
            let ws = weightScale
            self.weights = weights.map { $0 / ws }
        } else {
            self.weights = nil
        }
    }

    /// The optimum found so far, in standardised coordinates, with what a joint fit needs to go on from it.
    struct Solution {
        var tau: Double
        var restraint: Restraint
        var beta: [Double]
        /// Rows in the basis, one per coefficient; negative numbers are rows of the restraint.
        var basis: [Int]
        var basisDual: [Double]
        /// Rows on the fit outside the basis, and the side that the dual solution takes for them.
        var ties: [(row: Int, above: Bool)] = []
        /// Rows solved exactly; the others are on a known side.
        var band: [Int]
        var pivots: Int
        var certified: Bool
    }

    /// Rows up to which everything is solved at once.
    static let directLimit = 6000

    /// What is asked of the coefficients besides a small loss.
    package struct Restraint: Sendable, Equatable {
        /// L1 penalty on the standardised coefficients, per unit of mean loss in units of the target's scale; the
        /// intercept is free. 0 leaves it out.
        package var penalty = 0.0
        /// Whether coefficients, the intercept among them, must not be negative in natural units.
        package var nonNegative = false

        /// L1 penalty on the coefficients in natural units, per unit of mean loss in the target's unit: what a solver does
        /// that doesn't standardise. The intercept is free.
        package var naturalPenalty = 0.0
        /// With `nonNegative`: columns from this one on, and the intercept, may have either sign.
        package var signedColumns: Int?

        /// A restraint.
        package init(penalty: Double = 0, nonNegative: Bool = false, signedColumns: Int? = nil) {
            self.penalty = penalty
            self.nonNegative = nonNegative
            self.signedColumns = signedColumns
        }

        /// None.
        package static let none = Restraint()
    }

    /// Fits one quantile, `tau` strictly between 0 and 1.
    /// - Complexity: a few passes over the rows, and about O(m p^2) with m a few thousand.
    package func fit(tau: Double, restraint: Restraint = .none) -> QuantileFit {
        report(solve(tau: tau, restraint: restraint))
    }

    /// Rows that state a restraint, in the coordinates of the design; nil when there is none.
    func restraintRows(_ restraint: Restraint, offset: Int = 0) -> LossRows? {
        guard restraint != .none else { return nil }
        let width = design.rows.width
        let rows = LossRows(width: width, offset: offset)
        let row = RowBlock(width: width, count: 1)
        let n = Double(design.count)
        if restraint.penalty > 0 {
            for j in design.positions where !(design.intercept && j == 0) {
                row.elements(0)[j] = 1
                let slope = restraint.penalty * n
                rows.append(row[0], y: 0, above: slope, below: slope, source: -1 - rows.count)
                row.elements(0)[j] = 0
            }
        }
        if restraint.naturalPenalty > 0 {
            for natural in design.naturalRows(interceptShift: yShift / yScale) where natural.column >= 0 {
                var length = 0.0
                for value in natural.row { length += value * value }
                length = length.squareRoot()
                guard length > 0 else { continue }
                for j in 0..<width { row.elements(0)[j] = natural.row[j] / length }
                let slope = restraint.naturalPenalty * n * length
                rows.append(row[0], y: 0, above: slope, below: slope, source: -1 - rows.count)
            }
            for j in 0..<width { row.elements(0)[j] = 0 }
        }
        if restraint.nonNegative {
            // Above any pull that the data can have on a coefficient.
            var pulls = 0.0
            for i in 0..<design.count { pulls += (weights?[i] ?? 1) * design.lengths[i].squareRoot() }
            let steep = max(30 * n, 4 * pulls)
            // Each natural coefficient is linear in the standardised ones; scaled to length 1 it makes a row that costs
            // more than all the data while it is negative.
            for weights in design.naturalRows(interceptShift: yShift / yScale) {
                if let first = restraint.signedColumns, weights.column < 0 || weights.column >= first {
                    continue
                }
                var length = 0.0
                for value in weights.row { length += value * value }
                length = length.squareRoot()
                guard length > 0 else { continue }
                for j in 0..<width { row.elements(0)[j] = weights.row[j] / length }
                rows.append(
                    row[0], y: weights.constant / length, above: steep, below: 0, source: -1 - rows.count)
            }
        }
        return rows
    }

    func solve(tau: Double, restraint: Restraint = .none, from start: [Double]? = nil) -> Solution {
        let positions = design.positions
        guard !positions.isEmpty else {
            return Solution(
                tau: tau, restraint: restraint, beta: [Double](repeating: 0, count: 4 * design.rows.quads),
                basis: [],
                basisDual: [],
                band: Array(0..<design.count), pivots: 0, certified: true)
        }
        let n = design.count
        if n <= Self.directLimit {
            let zero = [Double](repeating: 0, count: 4 * design.rows.quads)
            return solveBand(
                tau: tau, band: Array(0..<n), from: start ?? zero, share: start == nil ? 1 : 0.05,
                restraint: restraint)
        }
        // A sample brings the fit near, a few smoothed steps on all rows bring it so near that few rows are in doubt.
        let p = positions.count
        var beta = start ?? sampleFit(tau: tau, rows: min(n / 4, max(2000, 120 * p)), restraint: restraint)
        let all = LossRows(sharing: design.rows, y: y, weights: weights, tau: tau)
        var size = max(60 * p, Int(Double(n).squareRoot() * 4))
        FiniteSmoothing.descend(
            all, extra: restraintRows(restraint), positions: positions,
            linear: [Double](repeating: 0, count: beta.count), beta: &beta,
            share: 0.15,
            target: size / 3, stepsPerBand: 2)
        while size < n * 3 / 5 {
            let band = bandRows(around: beta, size: size)
            let found = solveBand(tau: tau, band: band, from: beta, share: 0.1, restraint: restraint)
            if found.certified { return found }
            size *= 3
        }
        return solveBand(tau: tau, band: Array(0..<n), from: beta, share: 0.3, restraint: restraint)
    }
}
