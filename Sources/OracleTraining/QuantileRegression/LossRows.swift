/// Rows that share one coefficient block, each with its own slopes of loss above and below zero residual.
///
/// The loss of a row is `above * max(0, r) + below * max(0, -r)` with `r = y - x . beta`. A quantile tau of weight w is
/// `above = w tau`, `below = w (1 - tau)`; a penalty on a coefficient is a row with equal slopes; a constraint is a row with
/// one steep slope.
final class LossRows {
    /// Regressors.
    let rows: RowBlock
    /// Where the block's coefficients start in the stacked vector, in groups of four.
    let offset: Int
    /// Caller's number of each row.
    private(set) var source: [Int] = []

    private(set) var y: UnsafeMutablePointer<Double>
    private(set) var above: UnsafeMutablePointer<Double>
    private(set) var below: UnsafeMutablePointer<Double>
    /// 1 / (above + below); 0 where both are 0.
    private(set) var inverseSpan: UnsafeMutablePointer<Double>
    private(set) var residual: UnsafeMutablePointer<Double>
    /// Change of the residual per unit step, of opposite sign: `x . direction`.
    private(set) var slope: UnsafeMutablePointer<Double>
    /// Which piece of the loss the row is on: 1 above, -1 below, 0 in the basis.
    private(set) var side: UnsafeMutablePointer<Int8>
    private var capacity: Int

    /// No rows yet, room for `capacity`.
    convenience init(width: Int, offset: Int, capacity: Int = 64) {
        let rows = RowBlock(width: width)
        rows.reserve(capacity)
        self.init(rows: rows, offset: offset, capacity: capacity)
    }

    /// All of `rows`, without a copy, at quantile `tau`.
    convenience init(sharing rows: RowBlock, y observations: [Double], weights: [Double]?, tau: Double) {
        self.init(rows: rows, offset: 0, capacity: rows.count)
        for i in 0..<rows.count {
            let w = weights?[i] ?? 1
            y[i] = observations[i]
            above[i] = w * tau
            inverseSpan[i] = w > 0 ? 1 / w : 0
            below[i] = w * (1 - tau)
            residual[i] = 0
            slope[i] = 0
            side[i] = 1
        }
    }

    private init(rows: RowBlock, offset: Int, capacity: Int) {
        self.rows = rows
        self.offset = offset
        self.capacity = max(capacity, 8)
        y = .allocate(capacity: self.capacity)
        above = .allocate(capacity: self.capacity)
        below = .allocate(capacity: self.capacity)
        inverseSpan = .allocate(capacity: self.capacity)
        residual = .allocate(capacity: self.capacity)
        slope = .allocate(capacity: self.capacity)
        side = .allocate(capacity: self.capacity)
    }

    deinit {
        y.deallocate()
        above.deallocate()
        below.deallocate()
        inverseSpan.deallocate()
        residual.deallocate()
        slope.deallocate()
        side.deallocate()
    }

    var count: Int { rows.count }

    /// Adds a row; its residual is computed by the next refresh.
    func append(
        _ row: UnsafePointer<SIMD4<Double>>, y value: Double, above up: Double, below down: Double,
        source id: Int
    ) {
        let i = count
        if i == capacity { grow() }
        rows.append(row)
        source.append(id)
        y[i] = value
        above[i] = up
        inverseSpan[i] = up + down > 0 ? 1 / (up + down) : 0
        below[i] = down
        residual[i] = 0
        slope[i] = 0
        side[i] = 1
    }

    private func grow() {
        func moved<T>(_ old: UnsafeMutablePointer<T>) -> UnsafeMutablePointer<T> {
            let new = UnsafeMutablePointer<T>.allocate(capacity: 2 * capacity)
            new.moveInitialize(from: old, count: capacity)
            old.deallocate()
            return new
        }
        y = moved(y)
        above = moved(above)
        below = moved(below)
        inverseSpan = moved(inverseSpan)
        residual = moved(residual)
        slope = moved(slope)
        side = moved(side)
        capacity *= 2
    }

    /// Derivative of the loss by the residual on the row's present piece.
    @inline(__always)
    func weight(_ i: Int) -> Double { side[i] > 0 ? above[i] : side[i] < 0 ? -below[i] : 0 }
}
