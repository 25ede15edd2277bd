/// What is known of coefficients before a fit.
///
/// Coefficient j has a normal prior around `values[j]` that is worth `shrinkage[j]` times what the rows themselves say of
/// it (a g-prior by column; Zellner, 1986): 0 leaves it to the rows, 1 goes half way.
public struct CoefficientPrior: Sendable, Equatable {
    /// Where coefficients are expected, one per column.
    public var values: [Double]
    /// How firmly, at least 0, one per column.
    public var shrinkage: [Double]
    /// Where the constant term is expected.
    public var constant: Double
    /// How firmly.
    public var constantShrinkage: Double

    /// A prior.
    /// - Precondition: as many values as shrinkages.
    public init(values: [Double], shrinkage: [Double], constant: Double, constantShrinkage: Double) {
        precondition(values.count == shrinkage.count)
        self.values = values
        self.shrinkage = shrinkage
        self.constant = constant
        self.constantShrinkage = constantShrinkage
    }
}
