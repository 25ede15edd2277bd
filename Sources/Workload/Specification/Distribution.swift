/// How a quantity varies from request to request: tokens of a prompt, turns of a conversation, seconds of
/// thought. Draws outside `minimum...maximum` are moved to the nearer end.
public struct Distribution: Equatable, Sendable {
    /// The distribution before clipping.
    public enum Shape: Equatable, Sendable {
        /// Always the same.
        case constant(Double)
        /// Every value between two ends alike; over whole numbers (both ends included) where it means tokens.
        case uniform(low: Double, high: Double)
        /// Normal.
        case normal(mean: Double, standardDeviation: Double)
        /// The logarithm is normal: `exp(mu + sigma * z)`.
        case logNormal(mu: Double, sigma: Double)
        /// Exponential.
        case exponential(mean: Double)
        /// Pareto (type I): `scale / u^(1 / shape)`, never below `scale`.
        case pareto(scale: Double, shape: Double)
        /// One of the listed values, by weight.
        case empirical(values: [Double], weights: [Double])
        /// Given by its quantiles, linear between them; probabilities rise from 0 to 1.
        case quantiles(probabilities: [Double], values: [Double])
    }

    /// The distribution before clipping.
    public var shape: Shape
    /// Smallest value it gives.
    public var minimum: Double
    /// Largest value it gives.
    public var maximum: Double

    /// A distribution of lengths (at least one, at most 2^31 - 1 tokens unless said otherwise).
    public init(_ shape: Shape, minimum: Double = 1, maximum: Double = Double(Int32.max)) {
        self.shape = shape
        self.minimum = minimum
        self.maximum = maximum
    }

    /// Always `value`.
    public static func constant(_ value: Int) -> Distribution { Distribution(.constant(Double(value))) }
}
