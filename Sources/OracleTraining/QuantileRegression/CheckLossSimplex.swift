/// Exact minimiser of a sum of asymmetric absolute losses plus a linear term, by the long-step simplex method of Barrodale
/// and Roberts (1973) started from any vertex.
///
/// A vertex is a basis of as many rows with zero residual as there are coefficients. At each pivot one row leaves and the
/// line search runs past breakpoints until the slope turns, which is a weighted median. The dual values of the basis rows
/// prove optimality: each must lie within its row's slopes. Ties are broken by perturbing the observations and
/// undoing it. Cost per pivot: one pass over the rows of the blocks that move.
struct CheckLossSimplex {
    /// Which row of which block stands in the basis.
    struct Slot: Equatable {
        var block: Int
        var row: Int
    }

    /// How a run ended.
    enum Outcome: Equatable {
        case optimal
        /// The objective falls without end along some direction: the linear term outweighs the rows.
        case unbounded
        /// The pivot limit was reached, or no basis could be inverted.
        case stalled
    }

    /// Coefficients of the stacked vector: for each coefficient its padded position.
    let positions: [Int]
    /// Length of the stacked vector, in groups of four.
    let quads: Int
    /// Row blocks; several may share coefficients.
    var blocks: [LossRows]
    /// Linear part of the objective: `linear . beta`.
    var linear: [Double]
    /// Stacked, padded coefficients.
    private(set) var beta: [Double]
    /// One row per coefficient.
    private(set) var basis: [Slot] = []
    /// Dual value of each basis row.
    private(set) var dual: [Double] = []
    /// Pivots done so far.
    private(set) var pivots = 0

    private var inverse: RowBlock
    /// `linear - sum of weight * row` over the rows outside the basis.
    private var gradient: RowBlock
    private var direction: RowBlock
    private var breakpoints: [Breakpoint] = []
    private var perturbed: [[Double]]?

    private struct Breakpoint {
        var step: Double
        var weight: Double
        var block: Int32
        var row: Int32
    }

    /// Direction of the last pivot: along it the objective falls without end when a run ends as unbounded.
    var lastDirection: [Double] { (0..<4 * quads).map { direction.elements(0)[$0] } }

    private var size: Int { positions.count }

    /// A program over `quads` groups of coefficients of which `positions` are used.
    init(positions: [Int], quads: Int, blocks: [LossRows], linear: [Double]) {
        self.positions = positions
        self.quads = quads
        self.blocks = blocks
        self.linear = linear
        beta = [Double](repeating: 0, count: 4 * quads)
        inverse = RowBlock(width: 4 * quads, count: positions.count)
        gradient = RowBlock(width: 4 * quads, count: 1)
        direction = RowBlock(width: 4 * quads, count: 1)
    }

    /// Chooses a basis from the rows with the smallest residuals at `start`, skipping rows that are nearly dependent on
    /// those already taken, and moves to its vertex.
    /// - Returns: whether enough independent rows exist.
    mutating func crash(from start: [Double]) -> Bool {
        beta = start
        refreshResiduals()
        var order: [(size: Double, slot: Slot)] = []
        for (b, block) in blocks.enumerated() {
            for i in 0..<block.count where block.above[i] + block.below[i] > 0 {
                order.append((abs(block.residual[i]), Slot(block: b, row: i)))
            }
        }
        order.sort { ($0.size, $0.slot.block, $0.slot.row) < ($1.size, $1.slot.block, $1.slot.row) }
        for threshold in [0.05, 1e-4, 1e-9] {
            if let found = independent(order.map(\.slot), threshold: threshold) {
                basis = found
                return refresh()
            }
        }
        return false
    }

    /// Starts from a basis known to the caller.
    mutating func start(basis slots: [Slot]) -> Bool {
        basis = slots
        return refresh()
    }

    /// Greedy selection of `size` rows by Gaussian elimination with a relative threshold on what is left of each.
    private func independent(_ order: [Slot], threshold: Double) -> [Slot]? {
        let n = size
        var reduced: [[Double]] = []
        var pivotColumns: [Int] = []
        var taken: [Slot] = []
        // Rows of a rare kind may stand far down the list, and some coefficients need them.
        for slot in order {
            var row = dense(slot)
            var norm = 0.0
            for value in row { norm = max(norm, abs(value)) }
            guard norm > 0 else { continue }
            for (k, other) in reduced.enumerated() {
                let factor = row[pivotColumns[k]]
                if factor != 0 {
                    for j in 0..<n { row[j] -= factor * other[j] }
                }
            }
            var best = 0
            for j in 1..<max(n, 1) where abs(row[j]) > abs(row[best]) { best = j }
            guard abs(row[best]) > threshold * norm else { continue }
            let pivot = row[best]
            for j in 0..<n { row[j] /= pivot }
            reduced.append(row)
            pivotColumns.append(best)
            taken.append(slot)
            if taken.count == n { return taken }
        }
        return nil
    }

    /// A row as a vector over the coefficients in use.
    private func dense(_ slot: Slot) -> [Double] {
        let block = blocks[slot.block]
        let first = 4 * block.offset
        let last = first + 4 * block.rows.quads
        let elements = block.rows.elements(slot.row)
        return positions.map { $0 >= first && $0 < last ? elements[$0 - first] : 0 }
    }

    /// Recomputes everything from the basis: inverse, coefficients, residuals, sides, gradient.
    /// - Returns: false when the basis can't be inverted.
    mutating func refresh() -> Bool {
        guard invertBasis() else { return false }
        let n = size
        var solution = [Double](repeating: 0, count: 4 * quads)
        for k in 0..<n {
            let slot = basis[k]
            let value = blocks[slot.block].y[slot.row]
            let column = inverse.elements(k)
            for p in positions { solution[p] += value * column[p] }
        }
        beta = solution
        refreshResiduals()
        // Basis rows stand at zero by definition; the rest take the side that their residual shows.
        for block in blocks {
            let residual = block.residual
            let side = block.side
            for i in 0..<block.count {
                if side[i] == 0 { side[i] = residual[i] < 0 ? -1 : 1 }
                if residual[i] * Double(side[i]) < -Self.zeroResidual { side[i] = -side[i] }
            }
        }
        for slot in basis {
            blocks[slot.block].side[slot.row] = 0
            blocks[slot.block].residual[slot.row] = 0
        }
        let g = gradient.elements(0)
        for j in 0..<4 * quads { g[j] = linear[j] }
        for block in blocks {
            let target = gradient[0] + block.offset
            let q = block.rows.quads
            var row = UnsafePointer(block.rows.base)
            for i in 0..<block.count {
                let w = block.weight(i)
                if w != 0 { RowKernels.add(row, times: -w, to: target, q) }
                row += q
            }
        }
        return true
    }

    private func refreshResiduals() {
        beta.withUnsafeBytes { raw in
            let vector = raw.baseAddress!.assumingMemoryBound(to: SIMD4<Double>.self)
            let aligned = RowBlock(width: 4 * quads, count: 1)
            UnsafeMutableRawPointer(aligned[0]).copyMemory(from: vector, byteCount: 32 * quads)
            for block in blocks {
                RowKernels.residuals(block.rows, block.y, aligned[0] + block.offset, into: block.residual)
            }
        }
    }

    /// Gauss-Jordan inverse of the basis matrix with row interchanges.
    private mutating func invertBasis() -> Bool {
        let n = size
        guard basis.count == n else { return false }
        var a = basis.map { dense($0) }
        var inv = (0..<n).map { k in (0..<n).map { $0 == k ? 1.0 : 0.0 } }
        for column in 0..<n {
            var best = column
            for i in column..<n where abs(a[i][column]) > abs(a[best][column]) { best = i }
            let pivot = a[best][column]
            guard abs(pivot) > 1e-13 else { return false }
            if best != column {
                a.swapAt(best, column)
                inv.swapAt(best, column)
            }
            let scale = 1 / pivot
            for j in 0..<n {
                a[column][j] *= scale
                inv[column][j] *= scale
            }
            let aRow = a[column]
            let invRow = inv[column]
            for i in 0..<n where i != column {
                let factor = a[i][column]
                if factor == 0 { continue }
                a[i].withUnsafeMutableBufferPointer { row in
                    for j in column..<n { row[j] -= factor * aRow[j] }
                }
                inv[i].withUnsafeMutableBufferPointer { row in
                    for j in 0..<n { row[j] -= factor * invRow[j] }
                }
            }
        }
        // Column k of the inverse is stored as row k, in stacked positions.
        for k in 0..<n {
            let column = inverse.elements(k)
            for j in 0..<4 * quads { column[j] = 0 }
            for i in 0..<n { column[positions[i]] = inv[i][k] }
        }
        return true
    }

    private static let zeroResidual = 1e-11

    /// Pivots until the duals prove optimality.
    mutating func run(maxPivots: Int) -> Outcome {
        var stalls = 0
        var rounds = 0
        var sinceRefresh = 0
        var fresh = false
        let limit = pivots + maxPivots
        while true {
            let violation = price()
            guard let violation else {
                if !fresh {
                    guard refresh() else { return .stalled }
                    fresh = true
                    continue
                }
                guard perturbed != nil else { return .optimal }
                restoreObservations()
                guard refresh() else { return .stalled }
                rounds += 1
                stalls = 0
                continue
            }
            if pivots >= limit { break }
            fresh = false
            guard let step = pivot(violation) else {
                if sinceRefresh > 0 {
                    guard refresh() else { return .stalled }
                    sinceRefresh = 0
                    fresh = true
                    continue
                }
                if perturbed != nil { restoreObservations() }
                _ = refresh()
                return .unbounded
            }
            pivots += 1
            sinceRefresh += 1
            stalls = step <= 1e-13 ? stalls + 1 : 0
            if stalls > size + 20, perturbed == nil {
                if rounds >= 6 { break }
                perturbObservations(round: rounds)
                stalls = 0
                sinceRefresh = 64
            }
            if sinceRefresh >= 64 {
                guard refresh() else { return .stalled }
                sinceRefresh = 0
                fresh = true
            }
        }
        if perturbed != nil { restoreObservations() }
        _ = refresh()
        _ = price()
        return .stalled
    }

    /// Computes the duals and picks the basis row that violates its slopes most.
    private mutating func price() -> (slot: Int, side: Double, amount: Double)? {
        var best: (slot: Int, side: Double, amount: Double)?
        if dual.count != size { dual = [Double](repeating: 0, count: size) }
        for k in 0..<size {
            let value = RowKernels.dot(inverse[k], gradient[0], quads)
            dual[k] = value
            let slot = basis[k]
            let up = blocks[slot.block].above[slot.row]
            let down = blocks[slot.block].below[slot.row]
            let tolerance = 1e-9 * (up + down) + 1e-13
            let over = value - up
            let under = -down - value
            if over > tolerance, over > best?.amount ?? 0 {
                best = (k, 1, over)
            } else if under > tolerance, under > best?.amount ?? 0 {
                best = (k, -1, under)
            }
        }
        return best
    }

    /// Lets basis row `violation.slot` go to its side and takes in the row where the slope turns.
    /// - Returns: the step length, nil when the slope never turns.
    private mutating func pivot(_ violation: (slot: Int, side: Double, amount: Double)) -> Double? {
        let k = violation.slot
        let side = violation.side
        let n = size
        // Leaving upwards means its residual grows: x_k . direction = -1.
        let d = direction[0]
        let column = inverse[k]
        for q in 0..<quads { d[q] = column[q] * -side }
        breakpoints.removeAll(keepingCapacity: true)
        var moving = [Bool](repeating: false, count: blocks.count)
        for (b, block) in blocks.enumerated() {
            let q = block.rows.quads
            let local = UnsafePointer(d + block.offset)
            var any = false
            for i in 0..<q where local[i] != .zero { any = true }
            moving[b] = any
            guard any else { continue }
            var row = UnsafePointer(block.rows.base)
            let residual = block.residual
            let sides = block.side
            let slope = block.slope
            let above = block.above
            let below = block.below
            for i in 0..<block.count {
                let v = RowKernels.dot(row, local, q)
                row += q
                slope[i] = v
                let toward = v * Double(sides[i])
                if toward > 1e-11 {
                    let weight = (above[i] + below[i]) * toward
                    if weight > 0 {
                        breakpoints.append(
                            Breakpoint(
                                step: max(0, residual[i] * Double(sides[i])) / toward, weight: weight,
                                block: Int32(b), row: Int32(i)))
                    }
                }
            }
        }
        guard let entering = turningPoint(violation.amount) else { return nil }
        let step = entering.step
        // Move, and change the side of every row that was passed.
        for (b, block) in blocks.enumerated() where moving[b] {
            let residual = block.residual
            let slope = block.slope
            for i in 0..<block.count { residual[i] -= step * slope[i] }
        }
        for b in breakpoints where b.step < step {
            let block = blocks[Int(b.block)]
            let i = Int(b.row)
            let s = Double(block.side[i])
            RowKernels.add(
                block.rows[i], times: s * (block.above[i] + block.below[i]), to: gradient[0] + block.offset,
                block.rows.quads)
            block.side[i] = -block.side[i]
        }
        let inBlock = blocks[Int(entering.block)]
        let inRow = Int(entering.row)
        RowKernels.add(
            inBlock.rows[inRow], times: inBlock.weight(inRow), to: gradient[0] + inBlock.offset,
            inBlock.rows.quads)
        inBlock.side[inRow] = 0
        inBlock.residual[inRow] = 0
        let outBlock = blocks[basis[k].block]
        let outRow = basis[k].row
        outBlock.side[outRow] = side > 0 ? 1 : -1
        outBlock.residual[outRow] = side * step
        RowKernels.add(
            outBlock.rows[outRow], times: -outBlock.weight(outRow), to: gradient[0] + outBlock.offset,
            outBlock.rows.quads)
        for j in positions { beta[j] += step * direction.elements(0)[j] }
        // Product-form update of the inverse.
        let q = inBlock.rows.quads
        let alphaK = RowKernels.dot(inBlock.rows[inRow], inverse[k] + inBlock.offset, q)
        let scale = 1 / alphaK
        let pivotColumn = inverse[k]
        for j in 0..<quads { pivotColumn[j] *= scale }
        for j in 0..<n where j != k {
            let alpha = RowKernels.dot(inBlock.rows[inRow], inverse[j] + inBlock.offset, q)
            if alpha != 0 { RowKernels.add(pivotColumn, times: -alpha, to: inverse[j], quads) }
        }
        basis[k] = Slot(block: Int(entering.block), row: inRow)
        return step
    }

    /// The breakpoint at which the accumulated weights reach `need`, by quickselect; the steepest row of a tie.
    private mutating func turningPoint(_ need: Double) -> Breakpoint? {
        let blocks = blocks
        return breakpoints.withUnsafeMutableBufferPointer { b -> Breakpoint? in
            var low = 0
            var high = b.count
            var left = need
            while low < high {
                let first = b[low].step
                let middle = b[(low + high) / 2].step
                let last = b[high - 1].step
                let pivot = max(min(first, middle), min(max(first, middle), last))
                // Three parts: below, equal to and above the pivot.
                var lt = low
                var gt = high
                var i = low
                var below = 0.0
                var equal = 0.0
                while i < gt {
                    let step = b[i].step
                    if step < pivot {
                        below += b[i].weight
                        b.swapAt(i, lt)
                        lt += 1
                        i += 1
                    } else if step > pivot {
                        gt -= 1
                        b.swapAt(i, gt)
                    } else {
                        equal += b[i].weight
                        i += 1
                    }
                }
                if left <= below {
                    high = lt
                } else if left <= below + equal {
                    var best = lt
                    func steepness(_ p: Breakpoint) -> Double {
                        abs(blocks[Int(p.block)].slope[Int(p.row)])
                    }
                    for j in lt..<gt {
                        let s = steepness(b[j])
                        let t = steepness(b[best])
                        if s > t || (s == t && (b[j].block, b[j].row) < (b[best].block, b[best].row)) {
                            best = j
                        }
                    }
                    return b[best]
                } else {
                    left -= below + equal
                    low = gt
                }
            }
            return nil
        }
    }

    private mutating func perturbObservations(round: Int) {
        var saved: [[Double]] = []
        let magnitude = 1e-7 / Double(1 << (2 * round))
        for (b, block) in blocks.enumerated() {
            saved.append(Array(UnsafeBufferPointer(start: block.y, count: block.count)))
            for i in 0..<block.count {
                // A fixed scramble of the row's place: same input, same path.
                var z = UInt64(truncatingIfNeeded: i &+ 1) &* 0x9e37_79b9_7f4a_7c15
                z ^= UInt64(b &+ 1 &+ 977 &* round) &* 0xbf58_476d_1ce4_e5b9
                z = (z ^ (z >> 29)) &* 0x94d0_49bb_1331_11eb
                z ^= z >> 32
                block.y[i] += magnitude * (0.5 + Double(z >> 11) * 0x1p-53)
            }
        }
        perturbed = saved
    }

    private mutating func restoreObservations() {
        guard let saved = perturbed else { return }
        for (b, values) in saved.enumerated() {
            for (i, value) in values.enumerated() { blocks[b].y[i] = value }
        }
        perturbed = nil
    }

    /// Value of the objective at the present coefficients, by the rows' true residuals.
    var objective: Double {
        var sum = 0.0
        for (j, value) in linear.enumerated() { sum += value * beta[j] }
        for block in blocks {
            for i in 0..<block.count {
                let r = block.residual[i]
                sum += r > 0 ? block.above[i] * r : -block.below[i] * r
            }
        }
        return sum
    }
}
