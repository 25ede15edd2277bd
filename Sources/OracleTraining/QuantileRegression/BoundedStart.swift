/// A place near the optimum of a bounded quantile regression: which coefficients stand at a bound, and roughly what the others
/// are.
///
/// Newton's method on the smoothed loss (`FiniteSmoothing`), or a majorising quadratic where that fails; each step minimises the
/// quadratic model within the bounds by cyclic coordinate descent, so that coefficients meet and leave their bounds as they
/// should. The exact fit that starts here checks every condition itself.
struct BoundedStart {
    /// Coefficients in natural units, within their bounds, the constant first.
    private(set) var coefficients: [Double]
    /// Whether each is off its bounds.
    private(set) var isFree: [Bool]

    /// Shares of the rows in the rounded part of the loss, from rough to fine, and the steps at each at most.
    private static let shares = [0.5, 0.2, 0.07, nearShare, 0.007]
    private static let stepsPerShare = 5
    /// The share at which a place is near the optimum; who comes from one goes on from here.
    private static let nearShare = 0.02

    /// Ever narrower bands where there are fewer rows than coefficients.
    private static let bandsOfFewRows = 16

    /// Whether so many rows are enough to come near: half a row in the band for each coefficient.
    static func comesNear(rows: Int, width: Int) -> Bool { isEnough(nearShare, of: rows, width) }

    private static func isEnough(_ share: Double, of rows: Int, _ width: Int) -> Bool {
        share * Double(rows) > Double(width) / 2
    }

    /// Looks at the rows given.
    /// - Parameters:
    ///   - x: feature values, row after row, without the constant.
    ///   - near: where to begin.
    ///   - isRough: whether that may be far from the optimum.
    /// - Complexity: O(rows x coefficients^2) a step.
    init(
        _ x: [Double], columns: Int, y: [Double], weights: [Double], tau: Double,
        bounds: BoundedQuantileRegression.Bounds, near: [Double], isRough: Bool = true
    ) {
        let width = columns + 1
        let n = y.count
        // Columns of mean square 1, so that one ridge fits all.
        var scales = [Double](repeating: 1, count: width)
        for j in 0..<columns {
            var sum = 0.0
            for i in 0..<n { sum += weights[i] * x[i * columns + j] * x[i * columns + j] }
            scales[j + 1] = sum > 0 ? (sum / Double(n)).squareRoot() : 0
        }
        let block = LossRows(width: width, offset: 0, capacity: n)
        let row = RowBlock(width: width, count: 1)
        for i in 0..<n {
            let values = row.elements(0)
            values[0] = 1
            for j in 0..<columns {
                values[j + 1] = scales[j + 1] > 0 ? x[i * columns + j] / scales[j + 1] : 0
            }
            let w = weights[i]
            block.append(row[0], y: y[i], above: w * tau, below: w * (1 - tau), source: i)
        }
        var lower = (0..<width).map { scales[$0] > 0 ? bounds.lower[$0] * scales[$0] : 0 }
        var upper = (0..<width).map { scales[$0] > 0 ? bounds.upper[$0] * scales[$0] : 0 }
        for j in 0..<width where scales[j] == 0 || lower[j] > upper[j] { (lower[j], upper[j]) = (0, 0) }
        let beta = (0..<width).map { min(max(near[$0] * scales[$0], lower[$0]), upper[$0]) }
        var descent = Descent(block, beta: beta, lower: lower, upper: upper)
        var scratch = [Double](repeating: 0, count: n)
        func descend(_ gamma: Double) {
            guard gamma > 0, gamma.isFinite else { return }
            for _ in 0..<Self.stepsPerShare where !descent.step(gamma: gamma) { break }
        }
        if Self.isEnough(Self.shares[0], of: n, width) {
            for share in Self.shares
            where (isRough || share <= Self.nearShare) && Self.isEnough(share, of: n, width) {
                descend(FiniteSmoothing.width(block, share: share, scratch: &scratch))
            }
        } else {
            // So few rows have no shares to speak of.
            var gamma = FiniteSmoothing.width(block, share: 1, scratch: &scratch)
            for _ in 0..<Self.bandsOfFewRows {
                descend(gamma)
                gamma *= 0.3
            }
        }
        let found = descent.beta
        isFree = (0..<width).map { found[$0] > lower[$0] && found[$0] < upper[$0] }
        coefficients = (0..<width).map { j in
            scales[j] > 0 ? min(max(found[j] / scales[j], bounds.lower[j]), bounds.upper[j]) : near[j]
        }
    }

    /// Newton steps within bounds.
    private struct Descent {
        /// Passes over the coefficients for one step at most.
        private static let mostSweeps = 100
        /// Gain that a step must promise, as a share of the loss.
        private static let leastGain = 1e-4

        let block: LossRows
        let lower: [Double]
        let upper: [Double]
        private(set) var beta: [Double]
        /// Coefficients, gradient and direction, padded.
        private let vector: RowBlock
        private let band: RowBlock
        private var bandWeights: [Double]

        init(_ block: LossRows, beta: [Double], lower: [Double], upper: [Double]) {
            self.block = block
            self.lower = lower
            self.upper = upper
            self.beta = beta
            let quads = block.rows.quads
            vector = RowBlock(width: 4 * quads, count: 3)
            band = RowBlock(width: 4 * quads)
            band.reserve(block.count)
            bandWeights = [Double](repeating: 0, count: block.count)
            for j in beta.indices { vector.elements(0)[j] = beta[j] }
            RowKernels.residuals(block.rows, block.y, vector[0], into: block.residual)
        }

        /// One damped step on the loss rounded off over `gamma`; false when there is nothing to gain.
        mutating func step(gamma: Double) -> Bool {
            let gradient = vector.elements(1)
            for j in 0..<4 * block.rows.quads { gradient[j] = 0 }
            var inBand = 0
            let value = FiniteSmoothing.gather(
                block, gamma: gamma, gradient: vector[1], band: band, bandWeights: &bandWeights,
                inBand: &inBand)
            if inBand > 0,
                let gained = move(
                    hessian(band.base, count: inBand), value: value, gamma: gamma,
                    tries: [1, 0.4, 0.16, 0.064])
            {
                return gained
            }
            // Newton's step looks at rows in the band alone and may go far too long. This quadratic lies nowhere below the loss
            // (Hunter & Lange 2000), so that its minimum is a step down, if a short one: a longer one is tried first.
            for i in 0..<block.count {
                bandWeights[i] =
                    (block.above[i] + block.below[i]) / max(gamma, 2 * abs(block.residual[i]))
            }
            return move(
                hessian(block.rows.base, count: block.count), stretch: 1.7, value: value, gamma: gamma,
                tries: [1, 0.6, 0.24]) ?? false
        }

        /// Goes towards where a quadratic model is least within the bounds, or `stretch` times as far, or part of the way: whether
        /// that gained anything; nil when the loss rises along that way.
        private mutating func move(
            _ hessian: [Double], stretch: Double = 1, value: Double, gamma: Double, tries: [Double]
        ) -> Bool? {
            let quads = block.rows.quads
            let gradient = vector.elements(1)
            let start = (0..<beta.count).map { gradient[$0] }
            var direction = boundedMinimum(hessian, start)
            let d = vector.elements(2)
            var slope = 0.0
            for j in beta.indices {
                direction[j] = min(max(stretch * direction[j], lower[j] - beta[j]), upper[j] - beta[j])
                d[j] = direction[j]
                slope += direction[j] * start[j]
            }
            guard slope < -Self.leastGain * abs(value) else { return false }
            var row = UnsafePointer(block.rows.base)
            for i in 0..<block.count {
                block.slope[i] = RowKernels.dot(row, vector[2], quads)
                row += quads
            }
            for t in tries {
                guard FiniteSmoothing.smoothed(block, gamma: gamma, at: t) <= value + 1e-4 * t * slope
                else { continue }
                for j in beta.indices {
                    beta[j] = min(max(beta[j] + t * direction[j], lower[j]), upper[j])
                }
                for i in 0..<block.count { block.residual[i] -= t * block.slope[i] }
                return true
            }
            return nil
        }

        private func hessian(_ rows: UnsafePointer<SIMD4<Double>>, count: Int) -> [Double] {
            let quads = block.rows.quads
            var padded = [SIMD4<Double>](repeating: .zero, count: 4 * quads * quads)
            padded.withUnsafeMutableBufferPointer { out in
                bandWeights.withUnsafeBufferPointer {
                    RowKernels.accumulateGram(
                        rows, count: count, quads: quads, weights: $0.baseAddress!, into: out.baseAddress!)
                }
            }
            return RowKernels.unpack(padded, width: beta.count, quads: quads)
        }

        /// Where the quadratic model is least within the bounds, from where the coefficients are.
        private func boundedMinimum(_ hessian: [Double], _ gradient: [Double]) -> [Double] {
            let p = beta.count
            var d = [Double](repeating: 0, count: p)
            let largest = (0..<p).reduce(0.0) { max($0, hessian[$1 * p + $1]) }
            let inner = (0..<p).filter { lower[$0] < upper[$0] && hessian[$0 * p + $0] + largest > 0 }
            RowKernels.withPadded(hessian, gradient, size: p) { h, g, quads in
                var greatest = 0.0
                for _ in 0..<Self.mostSweeps {
                    var gain = 0.0
                    for j in inner {
                        let row = h + j * quads
                        let curvature = row[j / 4][j % 4] + 1e-8 * largest
                        let value = min(
                            max(d[j] - g[j / 4][j % 4] / curvature, lower[j] - beta[j]), upper[j] - beta[j])
                        let change = value - d[j]
                        if change == 0 { continue }
                        d[j] = value
                        gain = max(gain, change * change * curvature)
                        for q in 0..<quads { g[q] += row[q] * change }
                    }
                    greatest = max(greatest, gain)
                    if gain <= 1e-6 * greatest { break }
                }
            }
            return d
        }
    }
}
