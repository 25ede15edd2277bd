import ServingCore

/// Several quantiles fitted together so that none crosses its neighbour (Bondell, Reich & Wang 2010).
///
/// First each is fitted alone; where none crosses that is the answer. Otherwise the joint linear program is solved from
/// there by the same simplex method, with the constraint of the whole box added corner by corner as it is violated: every
/// corner is a row with a steep loss on one side.
package enum NonCrossing {
    /// Where quantiles may not cross.
    package enum Region {
        /// In the box that the training rows span.
        case trainingBox
        /// In a given box, one range per column.
        case box([ClosedRange<Double>])
        /// At the training rows only.
        case trainingRows
    }

    /// What a joint fit gives.
    package struct Result: Sendable {
        /// One fit per quantile, in the order asked for.
        package var fits: [QuantileFit]
        /// Corners or rows at which a constraint had to be stated; 0 when the separate fits didn't cross.
        package var constraints: Int
        /// Whether the joint optimum was reached and no constraint is violated.
        package var certified: Bool
    }

    /// How far neighbours are kept apart at the tightest point, in units of the target's scale: above rounding.
    private static let margin = 2e-10

    /// Fits `taus` (ascending) so that they don't cross in `region`.
    /// - Throws: `InvalidInput` when a quantile is not between 0 and 1 or they don't ascend.
    package static func fit(
        _ regression: QuantileRegression, taus: [Double], region: Region = .trainingBox,
        restraint: QuantileRegression.Restraint = .none
    ) throws(InvalidInput) -> Result {
        try check(taus)
        let separate = taus.map { regression.solve(tau: $0, restraint: restraint) }
        var joint = Joint(regression: regression, solutions: separate, region: region)
        return joint.solve()
    }

    /// - Throws: `InvalidInput` unless `taus` ascend strictly between 0 and 1.
    static func check(_ taus: [Double]) throws(InvalidInput) {
        guard !taus.isEmpty else {
            throw InvalidInput(field: "quantiles", "are none", accepted: "0.1,0.5,0.9")
        }
        for (k, tau) in taus.enumerated() where !(tau > 0 && tau < 1) || (k > 0 && tau <= taus[k - 1]) {
            throw InvalidInput(
                field: "quantiles", value: "\(tau)", "is out of range or order",
                accepted: "ascending numbers between 0 and 1")
        }
    }

    private struct Joint {
        let regression: QuantileRegression
        let solutions: [QuantileRegression.Solution]
        let region: Region
        let quads: Int
        let low: [Double]
        let high: [Double]
        var constraints: LossRows

        init(regression: QuantileRegression, solutions: [QuantileRegression.Solution], region: Region) {
            self.regression = regression
            self.solutions = solutions
            self.region = region
            let design = regression.design
            quads = design.rows.quads
            constraints = LossRows(width: solutions.count * 4 * quads, offset: 0)
            switch region {
            case .box(let box): (low, high) = design.standardisedBox(box)
            case .trainingRows: (low, high) = ([], [])
            case .trainingBox:
                // Ranges of the columns as they were before any was replaced come back through the design.
                (low, high) = design.trainingBox
            }
        }

        /// The point at which quantiles k and k + 1 are closest, as a standardised row, and their distance there.
        func closest(_ k: Int, _ beta: [Double]) -> (point: [Double], gap: Double) {
            let design = regression.design
            let width = 4 * quads
            let difference = (0..<width).map { beta[(k + 1) * width + $0] - beta[k * width + $0] }
            if case .trainingRows = region {
                var best = (row: 0, gap: Double.infinity)
                let vector = RowBlock(width: width, count: 1)
                for j in 0..<width { vector.elements(0)[j] = difference[j] }
                for i in 0..<design.count {
                    let gap = RowKernels.dot(design.rows[i], vector[0], quads)
                    if gap < best.gap { best = (i, gap) }
                }
                return ((0..<width).map { design.rows.elements(best.row)[$0] }, best.gap)
            }
            let gaps = design.unmixed(difference[...])
            var corner = [Double](repeating: 0, count: width)
            var gap = 0.0
            for j in 0..<width {
                corner[j] = gaps[j] < 0 ? high[j] : low[j]
                gap += gaps[j] * corner[j]
            }
            return (design.mixed(corner), gap)
        }

        mutating func solve() -> Result {
            let count = solutions.count
            var beta = solutions.flatMap(\.beta)
            let crossing = (0..<max(0, count - 1)).contains { closest($0, beta).gap < 0 }
            let alone = solutions.allSatisfy(\.certified)
            guard crossing, !regression.design.positions.isEmpty else {
                return Result(fits: solutions.map(regression.report), constraints: 0, certified: alone)
            }
            guard var simplex = program() else {
                return Result(fits: solutions.map(regression.report), constraints: 0, certified: false)
            }
            var steepness = 100 * Double(regression.design.count)
            var done = false
            var rounds = 0
            search: while rounds < 400 {
                rounds += 1
                var added = false
                beta = simplex.beta
                for k in 0..<count - 1 {
                    let (point, gap) = closest(k, beta)
                    if gap < 0.25 * NonCrossing.margin {
                        if state(k, point, steepness) { added = true } else { steepness *= 10 }
                    }
                }
                if added || rounds == 1 {
                    guard simplex.refresh() else { break search }
                    guard advance(&simplex) else { break search }
                    continue
                }
                switch correctSides(&simplex) {
                case 0:
                    done = true
                    break search
                default:
                    guard simplex.refresh(), advance(&simplex) else { break search }
                }
            }
            beta = simplex.beta
            let width = 4 * quads
            let fits = solutions.enumerated().map { k, solution in
                var s = solution
                s.beta = Array(beta[k * width..<(k + 1) * width])
                s.basis = []
                s.basisDual = []
                s.ties = []
                s.pivots = simplex.pivots
                var fit = regression.report(s)
                fit.certified = done
                fit.dualObjective = .nan
                return fit
            }
            return Result(fits: fits, constraints: constraints.count, certified: done)
        }

        /// Adds a constraint for the pair (k, k + 1) at a point; false when it is there already.
        private func state(_ k: Int, _ point: [Double], _ steepness: Double) -> Bool {
            let width = 4 * quads
            let row = RowBlock(width: solutions.count * width, count: 1)
            for j in 0..<width {
                row.elements(0)[(k + 1) * width + j] = point[j]
                row.elements(0)[k * width + j] = -point[j]
            }
            for i in 0..<constraints.count {
                var same = true
                for j in 0..<solutions.count * width
                where constraints.rows.elements(i)[j] != row.elements(0)[j] {
                    same = false
                    break
                }
                if same {
                    constraints.above[i] = max(constraints.above[i] * 100, steepness)
                    return false
                }
            }
            constraints.append(
                row[0], y: NonCrossing.margin, above: steepness, below: 0, source: constraints.count)
            return true
        }

        /// The joint program at the separate optima.
        private func program() -> CheckLossSimplex? {
            let design = regression.design
            let n = design.count
            let width = 4 * quads
            var blocks: [LossRows] = []
            var positions: [Int] = []
            var linear = [Double](repeating: 0, count: solutions.count * width)
            var slots: [CheckLossSimplex.Slot] = []
            for (k, solution) in solutions.enumerated() {
                let block = LossRows(width: width, offset: k * quads, capacity: solution.band.count + 64)
                var place = [Int32](repeating: -1, count: n)
                for i in solution.band {
                    let w = regression.weights?[i] ?? 1
                    place[i] = Int32(block.count)
                    block.append(
                        design.rows[i], y: regression.y[i], above: w * solution.tau,
                        below: w * (1 - solution.tau), source: i)
                }
                if solution.band.count < n {
                    let vector = RowBlock(width: width, count: 2)
                    for j in 0..<width { vector.elements(0)[j] = solution.beta[j] }
                    for i in 0..<n where place[i] < 0 {
                        let r = regression.y[i] - RowKernels.dot(design.rows[i], vector[0], quads)
                        let w = regression.weights?[i] ?? 1
                        let psi = w * (r > 0 ? solution.tau : solution.tau - 1)
                        RowKernels.add(design.rows[i], times: -psi, to: vector[1], quads)
                    }
                    for j in 0..<width { linear[k * width + j] = vector.elements(1)[j] }
                }
                for i in solution.basis {
                    if i < 0 {
                        slots.append(.init(block: solutions.count + k, row: -1 - i))
                        continue
                    }
                    guard place[i] >= 0 else { return nil }
                    slots.append(.init(block: k, row: Int(place[i])))
                }
                blocks.append(block)
                positions += design.positions.map { $0 + k * width }
            }
            for (k, solution) in solutions.enumerated() {
                blocks.append(
                    regression.restraintRows(solution.restraint, offset: k * quads)
                        ?? LossRows(width: width, offset: k * quads))
            }
            blocks.append(constraints)
            var simplex = CheckLossSimplex(
                positions: positions, quads: solutions.count * quads, blocks: blocks, linear: linear)
            return simplex.start(basis: slots) ? simplex : nil
        }

        /// Pivots to the optimum; where the bands leave a direction open, the rows that it would reach first join.
        private func advance(_ simplex: inout CheckLossSimplex) -> Bool {
            for _ in 0..<400 {
                switch simplex.run(maxPivots: 400 * simplex.positions.count) {
                case .optimal: return true
                case .stalled: return false
                case .unbounded:
                    guard admit(&simplex), simplex.refresh() else { return false }
                }
            }
            return false
        }

        /// Takes the rows into the program that its last direction would reach first; false when there are none.
        private func admit(_ simplex: inout CheckLossSimplex) -> Bool {
            let design = regression.design
            let width = 4 * quads
            let direction = simplex.lastDirection
            var any = false
            for (k, solution) in solutions.enumerated() {
                let block = simplex.blocks[k]
                let own = direction[k * width..<(k + 1) * width]
                guard block.count < design.count, own.contains(where: { $0 != 0 }) else { continue }
                var inside = [Bool](repeating: false, count: design.count)
                for i in block.source { inside[i] = true }
                let vector = RowBlock(width: width, count: 3)
                for j in 0..<width {
                    vector.elements(0)[j] = direction[k * width + j]
                    vector.elements(1)[j] = simplex.beta[k * width + j]
                    vector.elements(2)[j] = solution.beta[j]
                }
                var reached: [(step: Double, row: Int)] = []
                for i in 0..<design.count where !inside[i] {
                    let before = regression.y[i] - RowKernels.dot(design.rows[i], vector[2], quads)
                    let side = before > 0 ? 1.0 : -1.0
                    let toward = side * RowKernels.dot(design.rows[i], vector[0], quads)
                    guard toward > 1e-11 else { continue }
                    let r = side * (regression.y[i] - RowKernels.dot(design.rows[i], vector[1], quads))
                    reached.append((max(0, r) / toward, i))
                }
                reached.sort { ($0.step, $0.row) < ($1.step, $1.row) }
                for (_, i) in reached.prefix(2 * design.positions.count) {
                    let before = regression.y[i] - RowKernels.dot(design.rows[i], vector[2], quads)
                    release(i, k, above: before > 0, &simplex)
                    any = true
                }
            }
            return any
        }

        /// Takes a row that stood for its side alone into the program.
        private func release(_ i: Int, _ k: Int, above: Bool, _ simplex: inout CheckLossSimplex) {
            let width = 4 * quads
            let tau = solutions[k].tau
            let w = regression.weights?[i] ?? 1
            let fixed = w * (above ? tau : tau - 1)
            let z = regression.design.rows.elements(i)
            for j in 0..<width { simplex.linear[k * width + j] += fixed * z[j] }
            simplex.blocks[k].append(
                regression.design.rows[i], y: regression.y[i], above: w * tau, below: w * (1 - tau), source: i
            )
        }

        /// Takes rows into the program that the joint fit has moved to the other side; how many there were.
        private func correctSides(_ simplex: inout CheckLossSimplex) -> Int {
            let design = regression.design
            let n = design.count
            let width = 4 * quads
            var corrected = 0
            for (k, solution) in solutions.enumerated() {
                let block = simplex.blocks[k]
                guard block.count < n else { continue }
                var inside = [Bool](repeating: false, count: n)
                for i in block.source { inside[i] = true }
                let vector = RowBlock(width: width, count: 2)
                for j in 0..<width {
                    vector.elements(0)[j] = solution.beta[j]
                    vector.elements(1)[j] = simplex.beta[k * width + j]
                }
                for i in 0..<n where !inside[i] {
                    let before = regression.y[i] - RowKernels.dot(design.rows[i], vector[0], quads)
                    let after = regression.y[i] - RowKernels.dot(design.rows[i], vector[1], quads)
                    guard (before > 0) != (after > 0) else { continue }
                    release(i, k, above: before > 0, &simplex)
                    corrected += 1
                }
            }
            return corrected
        }
    }
}
