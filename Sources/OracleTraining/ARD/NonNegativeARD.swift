import LinearAlgebra

/// Sparse Bayesian regression with coefficients of at least 0.
///
/// Non-negative least squares chooses the columns that can have a positive coefficient at all; the evidence prunes among
/// them. A column whose coefficient the evidence would turn negative leaves, the most negative first.
public enum NonNegativeARD {
    /// Fits a block.
    ///
    /// Where the constant term would fall below 0 it is 0, and the columns keep their least-squares coefficients: the
    /// evidence is that of a free constant.
    /// - Returns: nil when the target is constant or there are no rows.
    public static func fit(_ block: GramBlock, updates: EvidenceUpdates = .tippingFaul) -> LinearEstimate? {
        guard let least = NonNegativeLeastSquares.fit(block) else { return nil }
        var support = least.kept
        while !support.isEmpty {
            guard let estimate = ARDRegression.fit(block, updates: updates, candidates: support) else {
                return least
            }
            let negative = estimate.kept.filter { estimate.coefficients[$0] < 0 }.min {
                estimate.coefficients[$0] * block.standardDeviation($0)
                    < estimate.coefficients[$1] * block.standardDeviation($1)
            }
            guard let negative else {
                guard estimate.intercept >= 0 else { return least }
                var result = estimate
                for column in 0..<block.columns where !least.kept.contains(column) {
                    result.reasons[column] = least.reasons[column]
                }
                return result
            }
            support.removeAll { $0 == negative }
        }
        return least
    }
}
