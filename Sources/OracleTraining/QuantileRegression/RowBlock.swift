/// Rows of doubles, one after another, each padded with zeros to a multiple of four columns and aligned for SIMD.
///
/// The working storage of quantile regression: its kernels read whole rows, never a column.
package final class RowBlock {
    /// Columns that mean something.
    package let width: Int
    /// Groups of four columns per row, padding included.
    package let quads: Int
    /// Rows held.
    package private(set) var count: Int
    private var capacity: Int
    private(set) var base: UnsafeMutablePointer<SIMD4<Double>>

    /// `count` rows of `width` zeros.
    package init(width: Int, count: Int = 0) {
        self.width = width
        quads = max(1, (width + 3) / 4)
        self.count = count
        capacity = max(count, 8)
        base = .allocate(capacity: capacity * quads)
        base.initialize(repeating: .zero, count: capacity * quads)
    }

    deinit { base.deallocate() }

    /// Start of a row.
    subscript(row: Int) -> UnsafeMutablePointer<SIMD4<Double>> {
        precondition(row >= 0 && row < count)
        return base + row * quads
    }

    /// Elements of a row, padding included.
    func elements(_ row: Int) -> UnsafeMutablePointer<Double> {
        UnsafeMutableRawPointer(self[row]).assumingMemoryBound(to: Double.self)
    }

    /// Adds a copy of a row of `quads` groups; amortised O(width).
    func append(_ row: UnsafePointer<SIMD4<Double>>) {
        if count == capacity { reserve(2 * capacity) }
        (base + count * quads).update(from: row, count: quads)
        count += 1
    }

    /// Makes room for `rows` rows.
    func reserve(_ rows: Int) {
        guard rows > capacity else { return }
        let grown = UnsafeMutablePointer<SIMD4<Double>>.allocate(capacity: rows * quads)
        grown.moveInitialize(from: base, count: count * quads)
        (grown + count * quads).initialize(repeating: .zero, count: (rows - count) * quads)
        base.deallocate()
        base = grown
        capacity = rows
    }
}

/// The few inner loops that quantile regression spends its time in.
enum RowKernels {
    /// Inner product of two padded vectors.
    @inline(__always)
    static func dot(_ a: UnsafePointer<SIMD4<Double>>, _ b: UnsafePointer<SIMD4<Double>>, _ quads: Int)
        -> Double
    {
        var sum = SIMD4<Double>.zero
        for q in 0..<quads { sum += a[q] * b[q] }
        let half = sum.lowHalf + sum.highHalf
        return half.x + half.y
    }

    /// `sum += scale * row`.
    @inline(__always)
    static func add(
        _ row: UnsafePointer<SIMD4<Double>>, times scale: Double, to sum: UnsafeMutablePointer<SIMD4<Double>>,
        _ quads: Int
    ) {
        for q in 0..<quads { sum[q] += row[q] * scale }
    }

    /// `out[i] = y[i] - row_i . beta` for every row.
    static func residuals(
        _ rows: RowBlock, _ y: UnsafePointer<Double>, _ beta: UnsafePointer<SIMD4<Double>>,
        into out: UnsafeMutablePointer<Double>
    ) {
        let quads = rows.quads
        var row = UnsafePointer(rows.base)
        for i in 0..<rows.count {
            out[i] = y[i] - dot(row, beta, quads)
            row += quads
        }
    }

    /// `gram += sum of weight_i * row_i row_i'`, upper tiles of 4 x 4 only; `mirror` completes it.
    ///
    /// `gram` has `4 * quads` rows of `quads` groups. Rows are taken in chunks that stay in the first-level cache while the
    /// tiles pass over them.
    static func accumulateGram(
        _ rows: UnsafePointer<SIMD4<Double>>, count: Int, quads: Int, weights: UnsafePointer<Double>?,
        into gram: UnsafeMutablePointer<SIMD4<Double>>
    ) {
        let chunk = max(16, 2048 / (quads * 4))
        var start = 0
        while start < count {
            let end = min(count, start + chunk)
            for p in 0..<quads {
                for q in p..<quads {
                    var s0 = SIMD4<Double>.zero
                    var s1 = SIMD4<Double>.zero
                    var s2 = SIMD4<Double>.zero
                    var s3 = SIMD4<Double>.zero
                    var row = rows + start * quads
                    if let weights {
                        for i in start..<end {
                            let a = row[p] * weights[i]
                            let b = row[q]
                            s0 += b * a.x
                            s1 += b * a.y
                            s2 += b * a.z
                            s3 += b * a.w
                            row += quads
                        }
                    } else {
                        for _ in start..<end {
                            let a = row[p]
                            let b = row[q]
                            s0 += b * a.x
                            s1 += b * a.y
                            s2 += b * a.z
                            s3 += b * a.w
                            row += quads
                        }
                    }
                    gram[(4 * p) * quads + q] += s0
                    gram[(4 * p + 1) * quads + q] += s1
                    gram[(4 * p + 2) * quads + q] += s2
                    gram[(4 * p + 3) * quads + q] += s3
                }
            }
            start = end
        }
    }

    /// The weighted Gram matrix of `rows` as a dense symmetric `width` x `width` matrix, row-major.
    static func gram(_ rows: RowBlock, weights: UnsafePointer<Double>? = nil) -> [Double] {
        let quads = rows.quads
        var padded = [SIMD4<Double>](repeating: .zero, count: 4 * quads * quads)
        padded.withUnsafeMutableBufferPointer {
            accumulateGram(
                rows.base, count: rows.count, quads: quads, weights: weights, into: $0.baseAddress!)
        }
        return unpack(padded, width: rows.width, quads: quads)
    }

    /// Hands on a copy of a square matrix and a vector, each row padded to `quads` whole groups of four.
    static func withPadded(
        _ matrix: [Double], _ vector: [Double], size: Int,
        _ body: (
            _ rows: UnsafePointer<SIMD4<Double>>, _ vector: UnsafeMutablePointer<SIMD4<Double>>, _ quads: Int
        ) -> Void
    ) {
        let quads = max(1, (size + 3) / 4)
        withUnsafeTemporaryAllocation(of: SIMD4<Double>.self, capacity: (size + 1) * quads) { padded in
            padded.initialize(repeating: .zero)
            padded.withMemoryRebound(to: Double.self) { out in
                for r in 0..<size {
                    for c in 0..<size { out[4 * quads * r + c] = matrix[r * size + c] }
                }
                for c in 0..<size { out[4 * quads * size + c] = vector[c] }
            }
            let rows = padded.baseAddress!
            body(rows, rows + size * quads, quads)
        }
    }

    /// Dense symmetric form of the upper tiles that `accumulateGram` leaves.
    static func unpack(_ padded: [SIMD4<Double>], width: Int, quads: Int) -> [Double] {
        var dense = [Double](repeating: 0, count: width * width)
        for i in 0..<width {
            for j in i..<width {
                let value = padded[i * quads + j / 4][j % 4]
                dense[i * width + j] = value
                dense[j * width + i] = value
            }
        }
        return dense
    }
}
