import ServingCore

/// L1-penalised quantile regression along a path of penalties, the penalty chosen by leaving groups of rows out.
///
/// The loss is the mean pinball loss plus `penalty` times the sum of absolute standardised coefficients, the intercept
/// free. At a penalty of 1 every coefficient is provably zero, for no mean of pulls can exceed it.
package struct QuantilePenaltyPath: Sendable {
    /// Penalties tried, descending; the first leaves every coefficient at zero.
    package var penalties: [Double]
    /// Mean pinball loss on rows left out, for each penalty, in units of the target.
    package var heldOutLoss: [Double]
    /// The penalty with the smallest held-out loss; 0 when none helps.
    package var chosen: Double
    /// The fit to all rows at that penalty.
    package var fit: QuantileFit

    /// Chooses a penalty for one quantile.
    /// - Parameters:
    ///   - values: `count` rows of `columns` numbers, row-major.
    ///   - groups: a group per row; a group is left out as a whole.
    ///   - nonNegative: whether coefficients below 0 are refused.
    ///   - steps: penalties between the largest useful one and a thousandth of it; 0 is tried as well.
    /// - Throws: `InvalidInput` for unusable numbers or fewer than two groups.
    package static func choose(
        _ values: [Double], count: Int, columns: Int, y: [Double], weights: [Double]? = nil, groups: [Int],
        tau: Double, nonNegative: Bool = false, steps: Int = 10
    ) throws(InvalidInput) -> QuantilePenaltyPath {
        let names = Set(groups).sorted()
        guard names.count > 1 else {
            throw InvalidInput(
                field: "groups", value: "\(names.count)",
                "are too few to choose a penalty by leaving one out",
                accepted: "at least 2")
        }
        let whole = try regression(values, columns, Array(0..<count), y, weights)
        let largest = whole.largestPenalty(tau: tau)
        var penalties = (0..<max(steps, 2)).map { k -> Double in
            var value = largest
            // A thousandth in `steps` equal ratios, without a power function.
            for _ in 0..<k { value *= ratio(max(steps, 2) - 1) }
            return value
        }
        penalties.append(0)
        var loss = [Double](repeating: 0, count: penalties.count)
        var weightSum = 0.0
        for group in names {
            let inside = (0..<count).filter { groups[$0] != group }
            let outside = (0..<count).filter { groups[$0] == group }
            let fold = try regression(values, columns, inside, y, weights)
            for i in outside { weightSum += weights?[i] ?? 1 }
            for (k, penalty) in penalties.enumerated() {
                let fit = fold.fit(tau: tau, restraint: .init(penalty: penalty, nonNegative: nonNegative))
                for i in outside {
                    let r = y[i] - fit(values[i * columns..<(i + 1) * columns])
                    loss[k] += (weights?[i] ?? 1) * max(tau * r, (tau - 1) * r)
                }
            }
        }
        for k in loss.indices { loss[k] /= weightSum }
        var best = penalties.count - 1
        for k in loss.indices where loss[k] < loss[best] { best = k }
        return QuantilePenaltyPath(
            penalties: penalties, heldOutLoss: loss, chosen: penalties[best],
            fit: whole.fit(tau: tau, restraint: .init(penalty: penalties[best], nonNegative: nonNegative)))
    }

    private static func ratio(_ steps: Int) -> Double {
        // The steps-th root of 1/1000 by Newton's method.
        var x = 0.5
        for _ in 0..<80 {
            var power = 1.0
            for _ in 0..<(steps - 1) { power *= x }
            x -= (power * x - 1e-3) / (Double(steps) * power)
        }
        return x
    }

    private static func regression(
        _ values: [Double], _ columns: Int, _ rows: [Int], _ y: [Double], _ weights: [Double]?
    ) throws(InvalidInput) -> QuantileRegression {
        var x: [Double] = []
        x.reserveCapacity(rows.count * columns)
        for i in rows { x += values[i * columns..<(i + 1) * columns] }
        let design = try QuantileDesign.make(x, count: rows.count, columns: columns)
        return try QuantileRegression(
            design: design, y: rows.map { y[$0] }, weights: weights.map { w in rows.map { w[$0] } })
    }
}

extension QuantileDesign {
    /// A design from an array of rows.
    package static func make(
        _ values: [Double], count: Int, columns: Int, intercept: Bool = true
    ) throws(InvalidInput) -> QuantileDesign {
        var made: Swift.Result<QuantileDesign, InvalidInput>?
        values.withUnsafeBufferPointer { buffer in
            do throws(InvalidInput) {
                made = .success(
                    try QuantileDesign(buffer, count: count, columns: columns, intercept: intercept))
            } catch { made = .failure(error) }
        }
        return try made!.get()
    }
}

extension QuantileRegression {
    /// The smallest penalty at which every coefficient but the intercept is zero.
    func largestPenalty(tau: Double) -> Double {
        var order = y.indices.sorted { (y[$0], $0) < (y[$1], $1) }
        var total = 0.0
        for i in order { total += weights?[i] ?? 1 }
        var reached = 0.0
        var level = order.last.map { y[$0] } ?? 0
        for i in order {
            reached += weights?[i] ?? 1
            if reached >= tau * total {
                level = y[i]
                break
            }
        }
        if !design.intercept { level = 0 }
        order = []
        var pull = [Double](repeating: 0, count: 4 * design.rows.quads)
        for i in y.indices {
            let w = weights?[i] ?? 1
            let psi = y[i] > level ? tau * w : y[i] < level ? (tau - 1) * w : 0
            let z = design.rows.elements(i)
            for j in pull.indices { pull[j] += psi * z[j] }
        }
        var largest = 0.0
        for j in design.positions where !(design.intercept && j == 0) { largest = max(largest, abs(pull[j])) }
        return largest / Double(y.count)
    }
}
