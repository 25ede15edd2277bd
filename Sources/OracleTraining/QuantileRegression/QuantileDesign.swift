import ServingCore

/// A design matrix made ready for quantile regression: constant and dependent columns taken out, the rest standardised, rows
/// padded for SIMD. Made once, fitted for any number of quantiles.
package final class QuantileDesign {
    /// Why a column takes no part in the fit; its coefficient is exactly 0.
    package enum Exclusion: Equatable, Sendable {
        /// It never changes (standard deviation at most 1e-12 of the mean).
        case constant
        /// It is a linear combination of columns before it.
        case dependent
    }

    /// Rows.
    package let count: Int
    /// Columns of the caller's matrix, the intercept not counted.
    package let columns: Int
    /// Whether a column of ones stands in front.
    package let intercept: Bool
    /// For each of the caller's columns: nil when used, else why not.
    package private(set) var excluded: [Exclusion?]

    let rows: RowBlock
    /// Padded positions of the coefficients in use.
    private(set) var positions: [Int]
    /// Squared length of each standardised row.
    private(set) var lengths: [Double]
    /// For each position: the caller's column, -1 for the intercept.
    private let columnAt: [Int]
    private var spanLow: [Double]
    private var spanHigh: [Double]
    private let center: [Double]
    private let scale: [Double]
    /// Columns replaced by what others leave of them: `z = (old - sum share * z_k) / length`.
    private var replaced: [(position: Int, shares: [(Int, Double)], length: Double)] = []

    /// Reads `count` rows of `columns` numbers, row-major in `values`.
    /// - Throws: `InvalidInput` when there are no rows, or a number is not finite or too large to square.
    /// - Complexity: O(count columns^2).
    package init(
        _ values: UnsafeBufferPointer<Double>, count: Int, columns: Int, intercept: Bool = true
    ) throws(InvalidInput) {
        guard count > 0 else {
            throw InvalidInput(.badData, "has no rows to fit", accepted: "at least one row")
        }
        precondition(values.count >= count * columns)
        self.count = count
        self.columns = columns
        self.intercept = intercept
        excluded = [Exclusion?](repeating: nil, count: columns)
        // Sums of differences from the first row: exact for constants, free of cancellation for offsets.
        var sums = [Double](repeating: 0, count: columns)
        var squares = [Double](repeating: 0, count: columns)
        sums.withUnsafeMutableBufferPointer { sums in
            squares.withUnsafeMutableBufferPointer { squares in
                for i in 0..<count {
                    let row = i * columns
                    for j in 0..<columns {
                        let d = values[row + j] - (intercept ? values[j] : 0)
                        sums[j] += d
                        squares[j] += d * d
                    }
                }
            }
        }
        var center = [0.0]
        var scale = [1.0]
        var columnAt = intercept ? [-1] : []
        if !intercept {
            center = []
            scale = []
        }
        let n = Double(count)
        for j in 0..<columns {
            guard squares[j].isFinite else {
                for i in 0..<count where !values[i * columns + j].isFinite {
                    throw InvalidInput(
                        line: i + 1, field: "column \(j + 1)", value: "\(values[i * columns + j])",
                        "is not a finite number")
                }
                throw InvalidInput(
                    field: "column \(j + 1)", "holds numbers too large to fit", accepted: "at most 1e150")
            }
            let shift = sums[j] / n
            let mean = intercept ? values[j] + shift : 0
            let variance = max(0, squares[j] / n - (intercept ? shift * shift : 0))
            let deviation = variance.squareRoot()
            if deviation <= 1e-12 * abs(mean) || deviation < 1e-150 {
                excluded[j] = .constant
                continue
            }
            center.append(mean)
            scale.append(deviation)
            columnAt.append(j)
        }
        self.center = center
        self.scale = scale
        self.columnAt = columnAt
        let width = columnAt.count
        rows = RowBlock(width: width, count: count)
        lengths = [Double](repeating: 0, count: count)
        positions = Array(0..<width)
        let quads = rows.quads
        let base = rows.base
        spanLow = []
        spanHigh = []
        lengths.withUnsafeMutableBufferPointer { lengths in
            columnAt.withUnsafeBufferPointer { columnAt in
                center.withUnsafeBufferPointer { center in
                    let inverse = scale.map { 1 / $0 }
                    inverse.withUnsafeBufferPointer { inverse in
                        for i in 0..<count {
                            let out = UnsafeMutableRawPointer(base + i * quads).assumingMemoryBound(
                                to: Double.self)
                            let row = i * columns
                            var length = 0.0
                            for k in 0..<width {
                                let j = columnAt[k]
                                let z = j < 0 ? 1 : (values[row + j] - center[k]) * inverse[k]
                                out[k] = z
                                length += z * z
                            }
                            lengths[i] = length
                        }
                    }
                }
            }
        }
        var low = [SIMD4<Double>](repeating: .init(repeating: .infinity), count: quads)
        var high = [SIMD4<Double>](repeating: .init(repeating: -.infinity), count: quads)
        for i in 0..<count {
            let row = base + i * quads
            for q in 0..<quads {
                low[q] = pointwiseMin(low[q], row[q])
                high[q] = pointwiseMax(high[q], row[q])
            }
        }
        spanLow = (0..<4 * quads).map { low[$0 / 4][$0 % 4] }
        spanHigh = (0..<4 * quads).map { high[$0 / 4][$0 % 4] }
        removeDependence()
    }

    /// Pivoted Cholesky on the Gram matrix; columns of which it leaves little are looked at row by row, for the Gram matrix
    /// can't tell a residue of 1e-8 from rounding.
    private func removeDependence() {
        let width = rows.width
        guard width > 0 else { return }
        let gram = RowKernels.gram(rows)
        var left = (0..<width).map { gram[$0 * width + $0] }
        let full = left
        var factor = [[Double]](repeating: [], count: width)
        var taken: [Int] = []
        var free = Array(0..<width)
        while !free.isEmpty {
            // The intercept first, then the column of which most is left; ties go to the earlier one.
            var best = 0
            for (k, j) in free.enumerated()
            where left[j] / full[j] > left[free[best]] / full[free[best]] + 1e-12 {
                best = k
            }
            let j = free[best]
            guard left[j] > 1e-7 * full[j] else { break }
            free.remove(at: best)
            let root = left[j].squareRoot()
            let rowJ = factor[j]
            for i in free {
                var sum = gram[i * width + j]
                for k in 0..<rowJ.count { sum -= factor[i][k] * rowJ[k] }
                let value = sum / root
                factor[i].append(value)
                left[i] -= value * value
            }
            taken.append(j)
        }
        guard !free.isEmpty else { return }
        taken.sort()
        for j in free.sorted() { examine(j, against: &taken, gram: gram) }
        positions = taken
        let quads = rows.quads
        for i in 0..<count { lengths[i] = RowKernels.dot(rows[i], rows[i], quads) }
    }

    /// Replaces column `j` by its residue on the `taken` columns, or takes it out when nothing is left.
    private func examine(_ j: Int, against taken: inout [Int], gram: [Double]) {
        let width = rows.width
        let p = taken.count
        // Columns replaced before have changed the Gram matrix; those entries are recomputed.
        let current = replaced.isEmpty ? gram : RowKernels.gram(rows)
        var inner = [Double](repeating: 0, count: p * p)
        for (a, i) in taken.enumerated() {
            for (b, k) in taken.enumerated() { inner[a * p + b] = current[i * width + k] }
        }
        let cholesky = SmallCholesky(inner, size: p)
        var shares = [Double](repeating: 0, count: p)
        var length = 0.0
        for _ in 0..<3 {
            var projection = [Double](repeating: 0, count: p)
            for i in 0..<count {
                let z = rows.elements(i)
                for (a, k) in taken.enumerated() { projection[a] += z[k] * z[j] }
            }
            let c = cholesky.solve(projection)
            for a in 0..<p { shares[a] += c[a] }
            length = 0
            for i in 0..<count {
                let z = rows.elements(i)
                for (a, k) in taken.enumerated() { z[j] -= c[a] * z[k] }
                length += z[j] * z[j]
            }
        }
        length = (length / Double(count)).squareRoot()
        if length < 1e-10 || p >= count {
            for i in 0..<count { rows.elements(i)[j] = 0 }
            let column = columnAt[j]
            if column >= 0 { excluded[column] = .dependent }
            return
        }
        for i in 0..<count { rows.elements(i)[j] /= length }
        replaced.append((j, Array(zip(taken, shares)), length))
        taken.append(j)
        taken.sort()
    }

    /// Coefficients of the caller's columns from those of the standardised ones; `yScale` and `yShift` undo the scaling
    /// of the observations.
    func natural(
        _ beta: [Double], yScale: Double = 1, yShift: Double = 0
    ) -> (intercept: Double, coefficients: [Double]) {
        let b = unmixed(beta[...])
        var coefficients = [Double](repeating: 0, count: columns)
        var constant = intercept ? b[0] : 0
        for (k, j) in columnAt.enumerated() where j >= 0 {
            let value = b[k] / scale[k]
            coefficients[j] = value * yScale
            constant -= value * center[k]
        }
        return (intercept ? constant * yScale + yShift : 0, coefficients)
    }

    /// Standardised coefficients of natural ones, the inverse of `natural`; nil where columns were replaced.
    func standardised(
        intercept constant: Double, coefficients: [Double], yScale: Double, yShift: Double
    ) -> [Double]? {
        guard replaced.isEmpty else { return nil }
        var beta = [Double](repeating: 0, count: 4 * rows.quads)
        var first = constant - yShift
        for (k, j) in columnAt.enumerated() where j >= 0 {
            beta[k] = coefficients[j] * scale[k] / yScale
            first += coefficients[j] * center[k]
        }
        if intercept { beta[0] = first / yScale }
        let used = Set(positions)
        for k in beta.indices where !used.contains(k) { beta[k] = 0 }
        return beta
    }

    /// Every natural coefficient, the intercept first, as `row . beta - constant` in standardised coordinates with the
    /// target's shift (in its scale) put back; columns that are left out have none. Column -1 is the intercept.
    func naturalRows(interceptShift: Double) -> [(column: Int, row: [Double], constant: Double)] {
        let width = rows.width
        var inside = [(column: Int, row: [Double], constant: Double)]()
        let named = (intercept ? [-1] : []) + columnAt.filter { $0 >= 0 && excluded[$0] == nil }
        for j in named {
            inside.append((j, [Double](repeating: 0, count: width), j < 0 ? -interceptShift : 0))
        }
        for k in positions {
            var unit = [Double](repeating: 0, count: 4 * rows.quads)
            unit[k] = 1
            let value = natural(unit)
            for (r, j) in named.enumerated() {
                inside[r].row[k] = j < 0 ? value.intercept : value.coefficients[j]
            }
        }
        return inside
    }

    /// Coefficients of the standardised columns before any was replaced.
    func unmixed(_ beta: ArraySlice<Double>) -> [Double] {
        var b = Array(beta)
        for change in replaced.reversed() {
            let value = b[change.position] / change.length
            b[change.position] = value
            for (k, share) in change.shares { b[k] -= value * share }
        }
        return b
    }

    /// A box of the caller's space in standardised coordinates, position by position; the intercept's side is 1 to 1.
    func standardisedBox(_ box: [ClosedRange<Double>]) -> (low: [Double], high: [Double]) {
        var low = [Double](repeating: 0, count: 4 * rows.quads)
        var high = low
        for (k, j) in columnAt.enumerated() {
            low[k] = j < 0 ? 1 : (box[j].lowerBound - center[k]) / scale[k]
            high[k] = j < 0 ? 1 : (box[j].upperBound - center[k]) / scale[k]
        }
        return (low, high)
    }

    /// The box that the training rows span, in standardised coordinates.
    var trainingBox: (low: [Double], high: [Double]) { (spanLow, spanHigh) }

    /// Replaces columns of a standardised row the way the design's were.
    func mixed(_ row: [Double]) -> [Double] {
        var z = row
        for change in replaced {
            for (k, share) in change.shares { z[change.position] -= share * z[k] }
            z[change.position] /= change.length
        }
        let used = Set(positions)
        for k in z.indices where !used.contains(k) { z[k] = 0 }
        return z
    }
}
