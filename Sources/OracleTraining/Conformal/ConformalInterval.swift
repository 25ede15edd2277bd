import ServingCore

/// Widening of an interval that makes it keep its promise on exchangeable data (conformalised quantile regression,
/// Romano, Patterson & Candes 2019).
package struct ConformalInterval: Sendable, Equatable {
    /// How scores are formed.
    package enum Form: String, Sendable, CaseIterable {
        /// One offset on both sides.
        case symmetric
        /// An offset for each side, half the error rate each.
        case asymmetric
        /// One offset in units of the interval's width, for latencies over decades.
        case scaled
    }

    /// How scores were formed.
    package var form: Form
    /// Subtracted from the lower end (times the width when scaled); infinite when there are too few rows.
    package var below: Double
    /// Added to the upper end.
    package var above: Double
    /// Rank of the score chosen, counted from 1.
    package var rank: Int
    /// Rows it was calibrated on.
    package var rows: Int

    /// Calibrates on held-out rows.
    /// - Parameters:
    ///   - alpha: error rate; 0.2 for an interval of 80 %.
    /// - Throws: `InvalidInput` when there are no rows or a number isn't finite.
    package init(
        lower: [Double], upper: [Double], y: [Double], alpha: Double, form: Form = .symmetric
    ) throws(InvalidInput) {
        let n = y.count
        precondition(lower.count == n && upper.count == n && alpha > 0 && alpha < 1)
        guard n > 0 else { throw InvalidInput(field: "calibration rows", "are none") }
        for i in 0..<n where !(y[i].isFinite && lower[i].isFinite && upper[i].isFinite) {
            throw InvalidInput(line: i + 1, field: "calibration row", "holds a number that is not finite")
        }
        self.form = form
        rows = n
        func level(_ scores: [Double], _ error: Double) -> (rank: Int, value: Double) {
            // The product of a sum like (n + 1)(1 - 0.2) may land a hair above a whole number.
            let exact = Double(n + 1) * (1 - error)
            let rank = Int((exact - 1e-9 * exact).rounded(.up))
            var copy = scores
            return (rank, rank > n ? .infinity : selectInPlace(&copy, rank: max(rank, 1) - 1))
        }
        switch form {
        case .symmetric:
            let q = level((0..<n).map { max(lower[$0] - y[$0], y[$0] - upper[$0]) }, alpha)
            (rank, below, above) = (q.rank, q.value, q.value)
        case .asymmetric:
            let low = level((0..<n).map { lower[$0] - y[$0] }, alpha / 2)
            let high = level((0..<n).map { y[$0] - upper[$0] }, alpha / 2)
            (rank, below, above) = (low.rank, low.value, high.value)
        case .scaled:
            let q = level(
                (0..<n).map { i in
                    let width = max(upper[i] - lower[i], 1e-12 * max(abs(upper[i]), 1e-300))
                    return max(lower[i] - y[i], y[i] - upper[i]) / width
                }, alpha)
            (rank, below, above) = (q.rank, q.value, q.value)
        }
    }

    /// The widened (or narrowed) interval; ends that would cross meet in the middle.
    package func callAsFunction(lower: Double, upper: Double) -> (lower: Double, upper: Double) {
        let unit = form == .scaled ? max(upper - lower, 1e-12 * max(abs(upper), 1e-300)) : 1
        let low = lower - below * unit
        let high = upper + above * unit
        guard low > high else { return (low, high) }
        let middle = (low + high) / 2
        return (middle, middle)
    }
}

/// Conformal intervals per group (Mondrian): a group with enough calibration rows has its own, the rest share one.
package struct GroupedConformal: Sendable, Equatable {
    /// For all groups together.
    package var pooled: ConformalInterval
    /// For groups that are large enough, by name.
    package var byGroup: [String: ConformalInterval]
    /// Groups too small to stand alone, in order of name.
    package var pooledGroups: [String]

    /// Fewest calibration rows for a group of its own.
    package static let leastRows = 200

    /// Calibrates on held-out rows.
    /// - Throws: `InvalidInput` when there are no rows or a number isn't finite.
    package init(
        lower: [Double], upper: [Double], y: [Double], groups: [String], alpha: Double,
        form: ConformalInterval.Form = .scaled
    ) throws(InvalidInput) {
        pooled = try ConformalInterval(lower: lower, upper: upper, y: y, alpha: alpha, form: form)
        byGroup = [:]
        pooledGroups = []
        for name in Set(groups).sorted() {
            let rows = groups.indices.filter { groups[$0] == name }
            if rows.count < Self.leastRows {
                pooledGroups.append(name)
            } else {
                byGroup[name] = try ConformalInterval(
                    lower: rows.map { lower[$0] }, upper: rows.map { upper[$0] }, y: rows.map { y[$0] },
                    alpha: alpha, form: form)
            }
        }
    }

    /// The interval of a group.
    package subscript(group: String) -> ConformalInterval { byGroup[group] ?? pooled }
}
