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
    private static let directLimit = 6000

    /// What is asked of the coefficients besides a small loss.
    package struct Restraint: Sendable, Equatable {
        /// L1 penalty on the standardised coefficients, per unit of mean loss in units of the target's scale; the
        /// intercept is free. 0 leaves it out.
        package var penalty = 0.0
        /// Whether coefficients, the intercept among them, must not be negative in natural units.
        package var nonNegative = false

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
                tau: tau, band: Array(0..<n), from: start ?? zero, share: start == nil ? 1 : 0.2,
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

    /// A rough fit on a stratified sample.
    private func sampleFit(tau: Double, rows m: Int, restraint: Restraint) -> [Double] {
        let n = design.count
        var stream = RandomStream(seed: 1, purpose: "quantile sample")
        let block = LossRows(width: design.rows.width, offset: 0, capacity: m)
        for b in 0..<m {
            let i = min(n - 1, Int((Double(b) + stream.uniform()) * Double(n) / Double(m)))
            let w = weights?[i] ?? 1
            block.append(design.rows[i], y: y[i], above: w * tau, below: w * (1 - tau), source: i)
        }
        var beta = [Double](repeating: 0, count: 4 * design.rows.quads)
        FiniteSmoothing.descend(
            block, extra: restraintRows(restraint), positions: design.positions, linear: beta, beta: &beta,
            share: 1,
            target: 6 * design.positions.count)
        return beta
    }

    /// Rows nearest to the fit, by residual over the row's length.
    private func bandRows(around beta: [Double], size: Int) -> [Int] {
        let n = design.count
        let vector = RowBlock(width: 4 * design.rows.quads, count: 1)
        for j in 0..<4 * design.rows.quads { vector.elements(0)[j] = beta[j] }
        var scores = [Double](repeating: 0, count: n)
        scores.withUnsafeMutableBufferPointer { scores in
            y.withUnsafeBufferPointer {
                RowKernels.residuals(design.rows, $0.baseAddress!, vector[0], into: scores.baseAddress!)
            }
            design.lengths.withUnsafeBufferPointer { lengths in
                for i in 0..<n { scores[i] = scores[i] * scores[i] / max(lengths[i], 1e-300) }
            }
        }
        var copy = scores
        let limit = selectInPlace(&copy, rank: min(n - 1, size))
        // Rare kinds of rows hold back directions of their own: for every column the nearest few among those where it counts.
        var chosen = scores.map { $0 <= limit }
        let width = design.rows.width
        var largest = [Double](repeating: 0, count: width)
        for i in 0..<n {
            let z = design.rows.elements(i)
            for j in 0..<width { largest[j] = max(largest[j], abs(z[j])) }
        }
        var nearest = [[(score: Double, row: Int)]](repeating: [], count: width)
        for i in 0..<n {
            let z = design.rows.elements(i)
            for j in 0..<width where abs(z[j]) > 0.5 * largest[j] {
                let worst = nearest[j].last?.score ?? .infinity
                if nearest[j].count >= 8, scores[i] >= worst { continue }
                let place = nearest[j].firstIndex { $0.score > scores[i] } ?? nearest[j].count
                nearest[j].insert((scores[i], i), at: place)
                if nearest[j].count > 8 { nearest[j].removeLast() }
            }
        }
        for list in nearest { for (_, i) in list { chosen[i] = true } }
        return chosen.indices.filter { chosen[$0] }
    }

    /// Solves exactly on `band` with the other rows on the side where `start` has them, then takes in rows that turned
    /// out on the other side, until none does.
    private func solveBand(
        tau: Double, band: [Int], from start: [Double], share: Double, restraint: Restraint
    ) -> Solution {
        let n = design.count
        let quads = design.rows.quads
        let positions = design.positions
        let block = LossRows(width: design.rows.width, offset: 0, capacity: band.count + 64)
        for i in band {
            let w = weights?[i] ?? 1
            block.append(design.rows[i], y: y[i], above: w * tau, below: w * (1 - tau), source: i)
        }
        var linear = [Double](repeating: 0, count: 4 * quads)
        var sides = [Int8](repeating: 0, count: band.count < n ? n : 0)
        let vector = RowBlock(width: 4 * quads, count: 1)
        if band.count < n {
            for i in band { sides[i] = 2 }
            for j in 0..<4 * quads { vector.elements(0)[j] = start[j] }
            let sum = RowBlock(width: 4 * quads, count: 1)
            for i in 0..<n where sides[i] == 0 {
                let r = y[i] - RowKernels.dot(design.rows[i], vector[0], quads)
                sides[i] = r > 0 ? 1 : -1
                let w = weights?[i] ?? 1
                RowKernels.add(design.rows[i], times: -w * (r > 0 ? tau : tau - 1), to: sum[0], quads)
            }
            for j in 0..<4 * quads { linear[j] = sum.elements(0)[j] }
        }
        let extra = restraintRows(restraint)
        let blocks = extra.map { [block, $0] } ?? [block]
        var beta = start
        FiniteSmoothing.descend(
            block, positions: positions, linear: linear, beta: &beta, share: share,
            target: 2 * positions.count)
        var simplex = CheckLossSimplex(positions: positions, quads: quads, blocks: blocks, linear: linear)
        var outcome =
            simplex.crash(from: beta) ? simplex.run(maxPivots: 4000 + 40 * positions.count) : .stalled
        // A direction that no row of the band holds back meets rows outside: those that it would reach first join.
        var rescues = 0
        while outcome == .unbounded, band.count < n, rescues < 200 {
            rescues += 1
            guard admit(&simplex, block, tau, &sides, count: 2 * positions.count), simplex.refresh() else {
                break
            }
            outcome = simplex.run(maxPivots: 4000)
        }
        if outcome == .stalled, band.count <= 20_000, extra == nil {
            beta = FrischNewton.solve(block, positions: positions, linear: linear)
            if simplex.crash(from: beta) { outcome = simplex.run(maxPivots: 20_000) }
        }
        var certified = outcome == .optimal
        while certified, band.count < n {
            // Do the rows outside stand where they were put?
            for j in 0..<4 * quads { vector.elements(0)[j] = simplex.beta[j] }
            var wrong: [Int] = []
            for i in 0..<n where sides[i] != 2 {
                let r = y[i] - RowKernels.dot(design.rows[i], vector[0], quads)
                if r * Double(sides[i]) < 0 { wrong.append(i) }
            }
            if wrong.isEmpty { break }
            if wrong.count > max(200, band.count) {
                certified = false
                break
            }
            for i in wrong { release(i, simplex: &simplex, block, tau, &sides) }
            var again = simplex.refresh() ? simplex.run(maxPivots: 4000) : .stalled
            while again == .unbounded, rescues < 200 {
                rescues += 1
                guard admit(&simplex, block, tau, &sides, count: 2 * positions.count), simplex.refresh()
                else { break }
                again = simplex.run(maxPivots: 4000)
            }
            guard again == .optimal else {
                certified = false
                break
            }
        }
        var ties: [(row: Int, above: Bool)] = []
        for i in 0..<block.count where block.side[i] != 0 && abs(block.residual[i]) <= 1e-8 {
            ties.append((block.source[i], block.side[i] > 0))
        }
        return Solution(
            tau: tau, restraint: restraint, beta: simplex.beta,
            basis: simplex.basis.map { simplex.blocks[$0.block].source[$0.row] }, basisDual: simplex.dual,
            ties: ties, band: block.source, pivots: simplex.pivots, certified: certified)
    }

    /// Takes the rows outside the band into the program that its last direction would reach first.
    /// - Returns: whether there were any.
    private func admit(
        _ simplex: inout CheckLossSimplex, _ block: LossRows, _ tau: Double, _ sides: inout [Int8], count: Int
    ) -> Bool {
        let quads = design.rows.quads
        let vector = RowBlock(width: 4 * quads, count: 2)
        for (j, value) in simplex.lastDirection.enumerated() { vector.elements(0)[j] = value }
        for j in 0..<4 * quads { vector.elements(1)[j] = simplex.beta[j] }
        var reached: [(step: Double, row: Int)] = []
        for i in 0..<design.count where sides[i] != 2 {
            let side = Double(sides[i])
            let toward = side * RowKernels.dot(design.rows[i], vector[0], quads)
            guard toward > 1e-11 else { continue }
            let r = side * (y[i] - RowKernels.dot(design.rows[i], vector[1], quads))
            reached.append((max(0, r) / toward, i))
        }
        reached.sort { ($0.step, $0.row) < ($1.step, $1.row) }
        for (_, i) in reached.prefix(count) { release(i, simplex: &simplex, block, tau, &sides) }
        return !reached.isEmpty
    }

    /// Takes a row that stood for its side alone into the program.
    private func release(
        _ i: Int, simplex: inout CheckLossSimplex, _ block: LossRows, _ tau: Double, _ sides: inout [Int8]
    ) {
        let w = weights?[i] ?? 1
        let fixed = w * (sides[i] > 0 ? tau : tau - 1)
        let z = design.rows.elements(i)
        for j in 0..<4 * design.rows.quads { simplex.linear[j] += fixed * z[j] }
        sides[i] = 2
        block.append(design.rows[i], y: y[i], above: w * tau, below: w * (1 - tau), source: i)
    }

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

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension Double {
    fileprivate static func logarithm(_ x: Double) -> Double { log(x) }
    fileprivate static func pow23(_ x: Double) -> Double { pow(x, 2.0 / 3.0) }
}
