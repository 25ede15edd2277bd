/// Sparse Bayesian regression with Student-t noise (Tipping & Lawrence, 2005), by reweighting.
public enum StudentTARD {
    /// A fit with its noise.
    public struct Fit: Sendable {
        /// Coefficients and their posterior.
        public var estimate: LinearEstimate
        /// Scale of the noise (not its standard deviation).
        public var scale: Double
        /// Degrees of freedom, given or learned.
        public var degreesOfFreedom: Double
        /// Rounds of reweighting.
        public var rounds: Int
    }

    /// Fits rows; `degreesOfFreedom` nil learns them between 2.1 and 100.
    ///
    /// A row's weight leaves out the coefficients' own variance v_i, which is smaller than the noise by the number of
    /// features over the number of rows.
    /// - Returns: nil when the target is constant or there are no rows.
    /// - Complexity: about eight passes over the rows, each O(rows x columns^2).
    public static func fit(_ rows: DesignRows, degreesOfFreedom: Double?) -> Fit? {
        let fit = IterativeFit.fit(
            rows, weights: [Double](repeating: 1, count: rows.count), likelihood: .studentT,
            degreesOfFreedom: degreesOfFreedom, relative: false, solver: .sparse(.tippingFaul))
        return fit.map {
            Fit(
                estimate: $0.estimate, scale: $0.scale, degreesOfFreedom: $0.degreesOfFreedom ?? 4,
                rounds: $0.rounds)
        }
    }
}
