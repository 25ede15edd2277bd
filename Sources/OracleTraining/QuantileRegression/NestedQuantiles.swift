import ServingCore

/// Several quantiles with coefficients of at least 0 that can't cross anywhere where no feature is negative.
///
/// The middle quantile is fitted freely; going outwards, no coefficient falls below the one before (above the middle) or rises
/// above it (below the middle). Each fit is exact under its bounds, and the spread never shrinks as a step does more. That asks
/// a little more than not to cross in the box of the training rows (Bondell, Reich & Wang 2010), and holds outside it too.
package enum NestedQuantiles {
    /// Fits `taus`, ascending.
    /// - Parameters:
    ///   - signed: columns from this one on may have either sign, as the constant beside them; their coefficients are the same
    ///     for all quantiles.
    ///   - start: least-squares coefficients, the constant first, that the middle quantile is near to.
    ///   - exact: whether each fit is taken to the proven optimum; else it is smoothed (`smoothedFit`).
    /// - Throws: `InvalidInput` for numbers that can't be fitted.
    package static func fit(
        _ x: [Double], columns: Int, y: [Double], weights: [Double], taus: [Double], signed: Int? = nil,
        start: [Double], exact: Bool = true
    ) throws(InvalidInput) -> (fits: [QuantileFit], certified: Bool) {
        let regression = BoundedQuantileRegression(x, columns: columns, y: y, weights: weights)
        let count = columns + 1
        func one(_ tau: Double, _ bounds: BoundedQuantileRegression.Bounds, from start: [Double])
            throws(InvalidInput) -> QuantileFit
        {
            exact
                ? try regression.fit(tau: tau, bounds: bounds, from: start)
                : try regression.smoothedFit(tau: tau, bounds: bounds, from: start)
        }
        func isSigned(_ j: Int) -> Bool { signed.map { j == 0 || j > $0 } ?? false }
        let middle = taus.indices.min { abs(taus[$0] - 0.5) < abs(taus[$1] - 0.5) } ?? 0
        // Entries beyond those of `start` are near 0.
        let known = (0..<count).map { $0 < start.count ? start[$0] : 0 }
        let centre = try one(taus[middle], .nonNegative(count, signed: isSigned), from: known)
        var fits = [QuantileFit](repeating: centre, count: taus.count)
        func values(_ fit: QuantileFit) -> [Double] { [fit.intercept] + fit.coefficients }
        for k in taus.indices where k > middle {
            let inner = values(fits[k - 1])
            var bounds = BoundedQuantileRegression.Bounds(
                lower: inner, upper: [Double](repeating: .infinity, count: count))
            for j in 1..<count where isSigned(j) { bounds.upper[j] = inner[j] }
            fits[k] = try one(taus[k], bounds, from: inner)
        }
        for k in taus.indices.reversed() where k < middle {
            let inner = values(fits[k + 1])
            var bounds = BoundedQuantileRegression.Bounds(
                lower: (0..<count).map { isSigned($0) ? ($0 == 0 ? -.infinity : inner[$0]) : 0 },
                upper: inner)
            for j in bounds.lower.indices where bounds.lower[j] > bounds.upper[j] {
                bounds.lower[j] = bounds.upper[j]
            }
            fits[k] = try one(taus[k], bounds, from: inner)
        }
        return (fits, fits.allSatisfy(\.certified))
    }
}
