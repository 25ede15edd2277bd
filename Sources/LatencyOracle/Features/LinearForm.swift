/// Coefficients over `StepTerm`: what a feature, or a whole linear model, is for one deployment.
public struct LinearForm: Equatable, Sendable {
    /// One coefficient per term, in the order of `StepTerm`.
    public private(set) var coefficients = [Double](repeating: 0, count: StepTerm.count)

    /// The form that is 0 for every step.
    public init() {}

    /// Coefficient of one term.
    public subscript(term: StepTerm) -> Double {
        get { coefficients[term.rawValue] }
        set { coefficients[term.rawValue] = newValue }
    }

    /// Adds `factor` times another form.
    public mutating func add(_ other: LinearForm, times factor: Double) {
        for i in coefficients.indices { coefficients[i] += factor * other.coefficients[i] }
    }

    /// Terms with a coefficient other than 0, in order.
    public var nonzero: [(term: Int, coefficient: Double)] {
        coefficients.enumerated().filter { $0.element != 0 }.map {
            (term: $0.offset, coefficient: $0.element)
        }
    }
}

/// `numerator / denominator`, and 0 where the denominator is unknown (0, negative or not finite): a fact that
/// nobody stated switches its feature off.
func ratio(_ numerator: Double, _ denominator: Double) -> Double {
    guard denominator > 0, denominator.isFinite else { return 0 }
    return numerator / denominator
}

/// 1 for true, 0 for false.
func indicator(_ condition: Bool) -> Double { condition ? 1 : 0 }

extension LinearForm: ExpressibleByDictionaryLiteral {
    /// The form with these coefficients; a term that occurs twice gets their sum.
    public init(dictionaryLiteral elements: (StepTerm, Double)...) {
        for (term, coefficient) in elements { self[term] += coefficient }
    }
}
