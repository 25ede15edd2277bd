import Catalog
import Scenarios
import ServingCore

/// What must hold between the fields of a configuration for it to belong to the sweep, such as
/// `tensor-parallel-size * replicas == 8` or `not (gpu == "l4" and tensor-parallel-size > 1)`.
public struct Condition: Sendable {
    /// As it was written.
    public let text: String
    private let root: Expression

    /// Reads a condition.
    /// - Throws: `InvalidInput` that says what cannot be read, or names the field nearest to an unknown one.
    init(_ text: String, source: String, field: String) throws {
        self.text = text
        var parser = try ConditionParser(text, source: source, field: field)
        root = try parser.whole()
    }

    /// Whether it holds for a scenario.
    /// - Throws: `InvalidInput` when a field has no value or values cannot be compared.
    func holds(for scenario: ScenarioFile) throws -> Bool {
        switch try root.value(in: scenario) {
        case .truth(let value): return value
        default:
            throw InvalidInput(field: "conditions", value: text, "is neither true nor false")
        }
    }

    indirect enum Expression: Sendable {
        case constant(Value)
        case field(String)
        case not(Expression)
        case negative(Expression)
        case both(Expression, Expression)
        case either(Expression, Expression)
        case arithmetic(Character, Expression, Expression)
        case comparison(String, Expression, Expression)
        case membership(Expression, [Expression])

        func value(in scenario: ScenarioFile) throws -> Value {
            switch self {
            case .constant(let value): return value
            case .field(let name): return try Self.value(of: name, in: scenario)
            case .not(let inner): return .truth(try !inner.truth(in: scenario))
            case .negative(let inner): return .number(try -inner.number(in: scenario))
            case .both(let a, let b): return .truth(try a.truth(in: scenario) && b.truth(in: scenario))
            case .either(let a, let b): return .truth(try a.truth(in: scenario) || b.truth(in: scenario))
            case .arithmetic(let sign, let a, let b):
                let (a, b) = (try a.number(in: scenario), try b.number(in: scenario))
                switch sign {
                case "+": return .number(a + b)
                case "-": return .number(a - b)
                case "*": return .number(a * b)
                case "/": return .number(a / b)
                default: return .number(a.truncatingRemainder(dividingBy: b))
                }
            case .comparison(let sign, let a, let b):
                return .truth(try Self.compare(sign, a.value(in: scenario), b.value(in: scenario)))
            case .membership(let item, let list):
                let item = try item.value(in: scenario)
                return .truth(try list.contains { try $0.value(in: scenario) == item })
            }
        }

        private func truth(in scenario: ScenarioFile) throws -> Bool {
            guard case .truth(let value) = try value(in: scenario) else {
                throw InvalidInput(field: "conditions", "joins something that is neither true nor false")
            }
            return value
        }

        private func number(in scenario: ScenarioFile) throws -> Double {
            guard case .number(let value) = try value(in: scenario) else {
                throw InvalidInput(field: "conditions", "calculates with something that is no number")
            }
            return value
        }

        private static func compare(_ sign: String, _ a: Value, _ b: Value) throws -> Bool {
            if sign == "==" { return a == b }
            if sign == "!=" { return a != b }
            guard case .number(let a) = a, case .number(let b) = b else {
                throw InvalidInput(
                    field: "conditions", value: sign, "compares something that is no number",
                    accepted: "== or !=")
            }
            switch sign {
            case "<": return a < b
            case "<=": return a <= b
            case ">": return a > b
            default: return a >= b
            }
        }

        private static func value(of name: String, in scenario: ScenarioFile) throws -> Value {
            if name == "gpus" {
                let sizes = ["tensor-parallel-size", "data-parallel-size", "replicas"]
                return .number(
                    try sizes.reduce(1) { try $0 * (Self.field($1).number(in: scenario)) })
            }
            switch scenario.value(at: name) {
            case .integer(let value)?: return .number(Double(value))
            case .number(let value)?: return .number(value)
            case .string(let text)?: return Double(text).map { .number($0) } ?? .text(text)
            case .bool(let value)?: return .truth(value)
            case nil, .null?:
                // vLLM's defaults that don't depend on the rest.
                let ones = ["tensor-parallel-size", "data-parallel-size", "replicas"]
                if ones.contains(name) { return .number(1) }
                if name == "enable-expert-parallel" { return .truth(false) }
                throw InvalidInput(
                    field: "conditions", value: name, "has no value in the scenario",
                    accepted: "fields that the base or an axis sets")
            default:
                throw InvalidInput(field: "conditions", value: name, "is no plain value")
            }
        }
    }

    enum Value: Sendable, Equatable {
        case number(Double)
        case text(String)
        case truth(Bool)
    }
}
