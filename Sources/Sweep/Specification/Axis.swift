import Catalog
import ServingCore

/// One thing that differs between configurations: a field of the scenario, or several that change together.
public struct Axis: Sendable {
    /// The field's dotted path, or the name of a group of fields.
    public let name: String
    /// The fields that it sets.
    public let fields: [String]
    /// Its values in order; for a range without steps the two ends.
    public let values: [Value]
    /// If any number between the two ends will do, which only sampling can use.
    let continuous: Continuous?

    /// One of an axis's values.
    public struct Value: Sendable, Equatable {
        /// What results call it.
        public var label: ConfigValue
        /// The fields that it sets.
        public var assignments: [Assignment]
    }

    /// A field and what it is set to.
    public struct Assignment: Sendable, Equatable {
        /// Dotted path.
        public var field: String
        /// Its value.
        public var value: ConfigValue
    }

    /// A range without steps.
    struct Continuous: Sendable {
        var field: String
        var from: Double
        var to: Double
        var isLogarithmic: Bool
        var isWhole: Bool

        /// The value at a share of the way from one end to the other.
        func value(at share: Double) -> Value {
            let number = Self.between(from, to, share, isLogarithmic)
            let value: ConfigValue
            if isWhole {
                value = .integer(Int(max(-9e15, min(9e15, number.rounded()))))
            } else {
                value = .number(number)
            }
            return Value(label: value, assignments: [Assignment(field: field, value: value)])
        }

        static func between(_ from: Double, _ to: Double, _ share: Double, _ isLogarithmic: Bool) -> Double {
            guard isLogarithmic else { return from + (to - from) * share }
            return from * power(to / from, share)
        }
    }

    /// The value that a sample takes at a share in [0, 1).
    func value(at share: Double) -> Value {
        if let continuous { return continuous.value(at: share) }
        return values[min(values.count - 1, Int(share * Double(values.count)))]
    }
}
