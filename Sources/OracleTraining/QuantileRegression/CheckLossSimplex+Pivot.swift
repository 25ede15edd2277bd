/// One pivot: pricing, the line search past breakpoints, the exchange of rows.
extension CheckLossSimplex {
    /// Computes the duals and picks the basis row that violates its slopes most.
    mutating func price() -> (slot: Int, side: Double, amount: Double)? {
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
    mutating func pivot(_ violation: (slot: Int, side: Double, amount: Double)) -> Double? {
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
    mutating func turningPoint(_ need: Double) -> Breakpoint? {
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
}
