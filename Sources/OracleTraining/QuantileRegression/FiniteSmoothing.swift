/// Newton's method on the check loss with its kink rounded off, on ever narrower bands (Madsen & Nielsen 1993; Chen 2007).
///
/// Brings coefficients close to the optimum in a few passes; the simplex method does the rest exactly. The band is narrowed
/// by the share of rows that it holds, so nothing depends on the unit of `y`.
enum FiniteSmoothing {
    /// Improves `beta` until at most `target` rows lie in the band.
    /// - Parameters:
    ///   - extra: penalties and constraints, which count for no share.
    ///   - positions: coefficients in use, as padded positions.
    ///   - share: share of rows in the first band; 1 starts from weighted least squares.
    ///   - stepsPerBand: Newton steps at most before the band is narrowed.
    static func descend(
        _ block: LossRows, extra: LossRows? = nil, positions: [Int], linear: [Double], beta: inout [Double],
        share: Double, target: Int, stepsPerBand: Int = 6
    ) {
        let n = block.count
        let quads = block.rows.quads
        guard n > 0 else { return }
        let vector = RowBlock(width: 4 * quads, count: 3)  // coefficients, gradient, direction
        let current = vector.elements(0)
        for j in 0..<4 * quads { current[j] = beta[j] }
        RowKernels.residuals(block.rows, block.y, vector[0], into: block.residual)
        let most = n + (extra?.count ?? 0)
        let band = RowBlock(width: 4 * quads)
        band.reserve(most)
        var bandWeights = [Double](repeating: 0, count: most)
        let blocks = extra.map { [block, $0] } ?? [block]
        if let extra { RowKernels.residuals(extra.rows, extra.y, vector[0], into: extra.residual) }
        var needed = [Double](repeating: 0, count: n)
        var f = share
        while true {
            let gamma = width(block, share: f, scratch: &needed)
            guard gamma > 0, gamma.isFinite else { break }
            var lastBand = -1
            for _ in 0..<stepsPerBand {
                let inBand = newtonStep(
                    blocks, gamma: gamma, positions: positions, linear: linear, vector: vector, band: band,
                    bandWeights: &bandWeights)
                if inBand == lastBand || inBand < 0 { break }
                lastBand = inBand
            }
            if f <= Double(target) / Double(n) * (1 + 1e-9) { break }
            f = max(f * (f > 0.5 ? 0.35 : 0.3), Double(target) / Double(n))
        }
        for j in 0..<4 * quads { beta[j] = vector.elements(0)[j] }
    }

    /// Band width that holds a share of the rows.
    static func width(_ block: LossRows, share: Double, scratch: inout [Double]) -> Double {
        var used = 0
        let residual = block.residual
        let above = block.above
        let below = block.below
        for i in 0..<block.count {
            let sum = above[i] + below[i]
            guard sum > 0 else { continue }
            let r = residual[i]
            let slope = r > 0 ? above[i] : below[i]
            scratch[used] = slope > 0 ? abs(r) * sum / slope : .greatestFiniteMagnitude
            used += 1
        }
        guard used > 0 else { return 0 }
        if share >= 1 {
            var largest = 0.0
            for i in 0..<used where scratch[i] < .greatestFiniteMagnitude {
                largest = max(largest, scratch[i])
            }
            return 4 * largest
        }
        var values = Array(scratch[0..<used])
        return selectInPlace(&values, rank: min(used - 1, Int(share * Double(used))))
    }

    /// One damped Newton step; returns how many rows were in the band, -1 when no progress was possible.
    private static func newtonStep(
        _ blocks: [LossRows], gamma: Double, positions: [Int], linear: [Double], vector: RowBlock,
        band: RowBlock,
        bandWeights: inout [Double]
    ) -> Int {
        let quads = band.quads
        let g = vector.elements(1)
        for j in 0..<4 * quads { g[j] = linear[j] }
        var inBand = 0
        var start = 0.0
        for block in blocks {
            start += gather(
                block, gamma: gamma, gradient: vector[1], band: band, bandWeights: &bandWeights,
                inBand: &inBand)
        }
        guard inBand > 0 else { return -1 }
        var padded = [SIMD4<Double>](repeating: .zero, count: 4 * quads * quads)
        padded.withUnsafeMutableBufferPointer { out in
            bandWeights.withUnsafeBufferPointer {
                RowKernels.accumulateGram(
                    band.base, count: inBand, quads: quads, weights: $0.baseAddress!, into: out.baseAddress!)
            }
        }
        let p = positions.count
        var hessian = [Double](repeating: 0, count: p * p)
        for (a, i) in positions.enumerated() {
            for (b, j) in positions.enumerated() {
                let (low, high) = i <= j ? (i, j) : (j, i)
                hessian[a * p + b] = padded[low * quads + high / 4][high % 4]
            }
        }
        let factor = SmallCholesky(hessian, size: p, ridge: 1e-10)
        let step = factor.solve(positions.map { -g[$0] })
        let d = vector.elements(2)
        for j in 0..<4 * quads { d[j] = 0 }
        var slope = 0.0
        for (a, j) in positions.enumerated() {
            guard step[a].isFinite else { return -1 }
            d[j] = step[a]
            slope += step[a] * g[j]
        }
        guard slope < 0 else { return -1 }
        for block in blocks {
            var row = UnsafePointer(block.rows.base)
            let change = block.slope
            for i in 0..<block.count {
                change[i] = RowKernels.dot(row, vector[2], quads)
                row += quads
            }
        }
        var linearSlope = 0.0
        for j in positions { linearSlope += linear[j] * d[j] }
        var t = 1.0
        var halvings = 0
        while true {
            var value = t * linearSlope
            for block in blocks { value += smoothed(block, gamma: gamma, at: t) }
            if value <= start + 1e-4 * t * slope { break }
            t *= halvings < 4 ? 0.5 : 0.2
            halvings += 1
            if halvings > 20 { return -1 }
        }
        let b = vector.elements(0)
        for j in positions { b[j] += t * d[j] }
        for block in blocks {
            let residual = block.residual
            let change = block.slope
            for i in 0..<block.count { residual[i] -= t * change[i] }
        }
        return inBand
    }

    /// Adds a block's pulls to the gradient and its rows on the rounded part to the band; its smoothed loss.
    static func gather(
        _ block: LossRows, gamma: Double, gradient: UnsafeMutablePointer<SIMD4<Double>>, band: RowBlock,
        bandWeights: inout [Double], inBand: inout Int
    ) -> Double {
        let quads = block.rows.quads
        let residual = block.residual
        let above = block.above
        let below = block.below
        let inverseSpan = block.inverseSpan
        let inverseGamma = 1 / gamma
        let base = band.base
        var held = inBand
        var loss = 0.0
        var row = UnsafePointer(block.rows.base)
        bandWeights.withUnsafeMutableBufferPointer { weights in
            for i in 0..<block.count {
                let c = (above[i] + below[i]) * inverseGamma
                let r = residual[i]
                let pull = r * c
                let psi = max(-below[i], min(above[i], pull))
                loss += psi * (r - 0.5 * psi * gamma * inverseSpan[i])
                if psi == pull, c > 0 {
                    (base + held * quads).update(from: row, count: quads)
                    weights[held] = c
                    held += 1
                }
                RowKernels.add(row, times: -psi, to: gradient, quads)
                row += quads
            }
        }
        inBand = held
        return loss
    }

    /// A block's smoothed loss after a step of `t`: the integral of the clipped residual, without a branch, for the signs
    /// are random.
    static func smoothed(_ block: LossRows, gamma: Double, at t: Double) -> Double {
        let residual = block.residual
        let change = block.slope
        let above = block.above
        let below = block.below
        let inverseSpan = block.inverseSpan
        let inverseGamma = 1 / gamma
        var sum = 0.0
        for i in 0..<block.count {
            let r = residual[i] - t * change[i]
            let psi = max(-below[i], min(above[i], r * (above[i] + below[i]) * inverseGamma))
            sum += psi * (r - 0.5 * psi * gamma * inverseSpan[i])
        }
        return sum
    }
}
