import ServingCore

/// Large problems: a fit on a sample says which rows can lie near the optimum, and only those are solved exactly.
extension QuantileRegression {
    /// A rough fit on a stratified sample.
    func sampleFit(tau: Double, rows m: Int, restraint: Restraint) -> [Double] {
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
    func bandRows(around beta: [Double], size: Int) -> [Int] {
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
    func solveBand(
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
        // A direction that no row of the band holds back meets rows outside: those that it would reach first join, more each
        // time, for every time looks at all rows.
        var rescues = 0
        func admitMore() -> Bool {
            rescues += 1
            let count = positions.count << min(rescues, 8)
            return admit(&simplex, block, tau, &sides, count: count) && simplex.refresh()
        }
        while outcome == .unbounded, band.count < n, rescues < 200 {
            guard admitMore() else { break }
            outcome = simplex.run(maxPivots: 4000)
        }
        if outcome == .stalled, band.count <= 20_000, extra == nil {
            beta = FrischNewton.solve(block, positions: positions, linear: linear)
            if simplex.crash(from: beta) { outcome = simplex.run(maxPivots: 20_000) }
        }
        var certified = outcome == .optimal
        var ties: [(row: Int, above: Bool)] = []
        while certified, band.count < n {
            // Do the rows outside stand where they were put?
            for j in 0..<4 * quads { vector.elements(0)[j] = simplex.beta[j] }
            var wrong: [Int] = []
            ties.removeAll(keepingCapacity: true)
            for i in 0..<n where sides[i] != 2 {
                let r = y[i] - RowKernels.dot(design.rows[i], vector[0], quads)
                if r * Double(sides[i]) < 0 { wrong.append(i) }
                // On the fit, with many others where observations are whole numbers.
                if abs(r) <= 1e-8 { ties.append((i, sides[i] > 0)) }
            }
            if wrong.isEmpty { break }
            if wrong.count > max(200, band.count) {
                certified = false
                break
            }
            for i in wrong { release(i, simplex: &simplex, block, tau, &sides) }
            var again = simplex.refresh() ? simplex.run(maxPivots: 4000) : .stalled
            while again == .unbounded, rescues < 200 {
                guard admitMore() else { break }
                again = simplex.run(maxPivots: 4000)
            }
            guard again == .optimal else {
                certified = false
                break
            }
        }
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
    func admit(
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
        if reached.count > 4 * count {
            // Only the nearest need an order.
            var steps = reached.map(\.step)
            let limit = selectInPlace(&steps, rank: count)
            reached.removeAll { $0.step > limit }
        }
        reached.sort { ($0.step, $0.row) < ($1.step, $1.row) }
        for (_, i) in reached.prefix(count) { release(i, simplex: &simplex, block, tau, &sides) }
        return !reached.isEmpty
    }

    /// Takes a row that stood for its side alone into the program.
    func release(
        _ i: Int, simplex: inout CheckLossSimplex, _ block: LossRows, _ tau: Double, _ sides: inout [Int8]
    ) {
        let w = weights?[i] ?? 1
        let fixed = w * (sides[i] > 0 ? tau : tau - 1)
        let z = design.rows.elements(i)
        for j in 0..<4 * design.rows.quads { simplex.linear[j] += fixed * z[j] }
        sides[i] = 2
        block.append(design.rows[i], y: y[i], above: w * tau, below: w * (1 - tau), source: i)
    }
}
