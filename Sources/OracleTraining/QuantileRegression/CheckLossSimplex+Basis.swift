/// Choosing, inverting and moving to a basis.
extension CheckLossSimplex {
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
    func independent(_ order: [Slot], threshold: Double) -> [Slot]? {
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
    func dense(_ slot: Slot) -> [Double] {
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

    func refreshResiduals() {
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
    mutating func invertBasis() -> Bool {
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
}
