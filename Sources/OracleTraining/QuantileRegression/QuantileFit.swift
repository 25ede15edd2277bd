/// A fitted conditional quantile: `intercept + coefficients . x`.
package struct QuantileFit: Sendable, Equatable {
    /// Which quantile, between 0 and 1.
    package var tau: Double
    /// Value at x = 0; 0 in a fit without intercept.
    package var intercept: Double
    /// One per column, in natural units; exactly 0 for a column that was left out.
    package var coefficients: [Double]
    /// Summed pinball loss over the rows, weights included, penalties left out.
    package var objective: Double
    /// Value of the dual solution found with it; equal to `objective` plus penalties up to rounding when exact.
    package var dualObjective: Double
    /// Whether the dual solution proves the optimum: feasible, and a relative gap of at most 1e-9.
    package var certified: Bool
    /// Rows strictly below the fitted quantile.
    package var rowsBelow: Int
    /// Rows on it.
    package var rowsOn: Int
    /// Simplex pivots.
    package var pivots: Int

    /// The quantile at a point.
    package func callAsFunction(_ x: some Collection<Double>) -> Double {
        var sum = intercept
        for (value, coefficient) in zip(x, coefficients) { sum += value * coefficient }
        return sum
    }
}
