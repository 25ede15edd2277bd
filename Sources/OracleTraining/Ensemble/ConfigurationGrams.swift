/// Sums of squares and products of each configuration's rows, relative to the measured times: what a least-squares fit of
/// any group of configurations needs, whatever their number of rows.
///
/// Each configuration counts the same. Columns are scaled to mean square 1 over all configurations.
package struct ConfigurationGrams: Sendable {
    /// Columns, the constant among them as the first.
    let size: Int
    /// Whether coefficients below 0 are refused.
    let nonNegative: Bool
    /// Factor that takes a scaled coefficient back to natural units.
    let scales: [Double]
    private let grams: [Double]
    private let projections: [Double]
    private let hasRows: [Bool]

    /// Collects them in one pass over the rows.
    package init(_ data: ConfiguredRows, nonNegative: Bool = true) {
        let columns = data.features.count
        let k = columns + 1
        size = k
        self.nonNegative = nonNegative
        var raw: [[Double]] = []
        var sums = [Double](repeating: 0, count: k)
        for own in data.members {
            let block = RowBlock(width: columns + 2, count: own.count)
            let share = 1 / Double(max(1, own.count)).squareRoot()
            for (r, i) in own.enumerated() {
                let out = block.elements(r)
                let w = share / data.rows.targets[i]
                out[0] = w
                data.rows.features.withUnsafeBufferPointer { f in
                    for j in 0..<columns { out[j + 1] = f[i * columns + j] * w }
                }
                out[k] = share
            }
            let full = RowKernels.gram(block)
            for a in 0..<k { sums[a] += full[a * (k + 1) + a] }
            raw.append(full)
        }
        let count = Double(max(1, data.members.count { !$0.isEmpty }))
        let s = sums.map { $0 > 0 ? (count / $0).squareRoot() : 0 }
        scales = s
        var grams: [Double] = []
        var projections: [Double] = []
        grams.reserveCapacity(raw.count * k * k)
        for full in raw {
            for a in 0..<k { for b in 0..<k { grams.append(full[a * (k + 1) + b] * s[a] * s[b]) } }
            for a in 0..<k { projections.append(full[a * (k + 1) + k] * s[a]) }
        }
        self.grams = grams
        self.projections = projections
        hasRows = data.members.map { !$0.isEmpty }
    }

    /// Sums over configurations.
    struct Total: Sendable {
        var gram: [Double]
        var projection: [Double]
        var count = 0.0

        init(size: Int) {
            gram = [Double](repeating: 0, count: size * size)
            projection = [Double](repeating: 0, count: size)
        }

        /// Adds `factor` times another total.
        mutating func add(_ other: Total, times factor: Double = 1) {
            for k in gram.indices { gram[k] += factor * other.gram[k] }
            for k in projection.indices { projection[k] += factor * other.projection[k] }
            count += factor * other.count
        }
    }

    /// Adds `factor` times a configuration.
    func add(_ c: Int, times factor: Double = 1, to total: inout Total) {
        let k = size
        grams.withUnsafeBufferPointer { g in
            total.gram.withUnsafeMutableBufferPointer { out in
                for j in 0..<k * k { out[j] += factor * g[c * k * k + j] }
            }
        }
        for j in 0..<k { total.projection[j] += factor * projections[c * k + j] }
        total.count += factor
    }

    /// The sum of some configurations.
    func total(_ configurations: some Sequence<Int>) -> Total {
        var sum = Total(size: size)
        for c in configurations { add(c, to: &sum) }
        return sum
    }

    /// Root mean squared relative error of scaled coefficients on a configuration; at most 2, so that one wild configuration
    /// doesn't decide.
    func error(_ c: Int, _ x: [Double]) -> Double {
        guard hasRows[c] else { return 0 }
        let k = size
        var sum = 1.0
        grams.withUnsafeBufferPointer { g in
            for r in 0..<k where x[r] != 0 {
                var inner = 0.0
                let row = c * k * k + r * k
                for j in 0..<k { inner += g[row + j] * x[j] }
                sum += x[r] * (inner - 2 * projections[c * k + r])
            }
        }
        return min(max(0, sum).squareRoot(), 2)
    }

    /// Improves `x` by cyclic coordinate descent on the sum of squares.
    func descend(_ total: Total, _ x: inout [Double], sweeps: Int = 60, tolerance: Double = 1e-4) {
        let limit = tolerance * max(total.count, 1e-12).squareRoot()
        RowKernels.withPadded(total.gram, total.projection, size: size) { rows, gradient, quads in
            x.withUnsafeMutableBufferPointer { x in
                func subtract(_ r: Int, times factor: Double) {
                    let row = rows + r * quads
                    for q in 0..<quads { gradient[q] -= row[q] * factor }
                }
                var largestDiagonal = 0.0
                for r in 0..<size {
                    largestDiagonal = max(largestDiagonal, rows[r * quads + r / 4][r % 4])
                    if x[r] != 0 { subtract(r, times: x[r]) }
                }
                for _ in 0..<sweeps {
                    var largest = 0.0
                    for r in 0..<size {
                        let d = rows[r * quads + r / 4][r % 4]
                        guard d > 1e-10 * largestDiagonal else { continue }
                        var value = x[r] + gradient[r / 4][r % 4] / d
                        if nonNegative { value = max(0, value) }
                        let change = value - x[r]
                        if change == 0 { continue }
                        x[r] = value
                        largest = max(largest, abs(change) * d.squareRoot())
                        subtract(r, times: change)
                    }
                    if largest < limit { break }
                }
            }
        }
    }

    /// Least-squares coefficients of a group to which all of `pool` adds as much as `share` of one configuration; the
    /// constant first, in natural units.
    func solve(_ group: [Int], pool: [Int], share: Double) -> [Double] {
        var sum = total(group)
        let others = pool.filter { !group.contains($0) }
        if share > 0, !others.isEmpty { sum.add(total(others), times: share / Double(others.count)) }
        var x = [Double](repeating: 0, count: size)
        descend(sum, &x, sweeps: 400, tolerance: 1e-5)
        return zip(x, scales).map { $0 * $1 }
    }
}
