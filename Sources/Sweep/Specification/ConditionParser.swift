import Scenarios
import ServingCore

/// Reads the text of a condition: `or`, `and`, `not`, comparisons, `in [...]`, arithmetic, parentheses, fields, numbers
/// and text in quotes.
struct ConditionParser {
    private enum Token: Equatable {
        case number(Double)
        case text(String)
        case word(String)
        case sign(String)
    }

    private let text: String
    private let source: String
    private let field: String
    private var tokens: [Token] = []
    private var place = 0
    private var depth = 0

    init(_ text: String, source: String, field: String) throws {
        self.text = text
        self.source = source
        self.field = field
        try readTokens()
    }

    mutating func whole() throws -> Condition.Expression {
        let expression = try either()
        guard place == tokens.count else { throw wrong("goes on after its end") }
        return expression
    }

    private func wrong(_ problem: String, _ accepted: String? = nil) -> InvalidInput {
        InvalidInput(source: source, field: field, value: text, problem, accepted: accepted)
    }

    // MARK: Words

    private mutating func readTokens() throws {
        let characters = Array(text)
        var i = 0
        func isWordPart(_ c: Character) -> Bool {
            c.isLetter || c.isNumber || c == "_" || c == "-" || c == "."
        }
        while i < characters.count {
            let c = characters[i]
            if c.isWhitespace {
                i += 1
            } else if c == "\"" || c == "'" {
                guard let end = characters[(i + 1)...].firstIndex(of: c) else {
                    throw wrong("has an open quote")
                }
                tokens.append(.text(String(characters[(i + 1)..<end])))
                i = end + 1
            } else if c.isNumber || c == "." {
                var end = i
                while end < characters.count,
                    characters[end].isNumber || characters[end] == "." || "eE".contains(characters[end])
                        || "+-".contains(characters[end]) && "eE".contains(characters[end - 1])
                {
                    end += 1
                }
                guard let number = Double(String(characters[i..<end])) else {
                    throw wrong("has a number that cannot be read")
                }
                tokens.append(.number(number))
                i = end
            } else if c.isLetter || c == "_" {
                var end = i
                while end < characters.count, isWordPart(characters[end]) { end += 1 }
                tokens.append(.word(String(characters[i..<end])))
                i = end
            } else {
                let two = i + 1 < characters.count ? String(characters[i...(i + 1)]) : ""
                if ["==", "!=", "<=", ">="].contains(two) {
                    tokens.append(.sign(two))
                    i += 2
                } else if "<>()[],+-*/%".contains(c) {
                    tokens.append(.sign(String(c)))
                    i += 1
                } else {
                    throw wrong(
                        "has a sign that is not known: \(c)",
                        "and, or, not, ==, !=, <, <=, >, >=, in, + - * / %")
                }
            }
        }
    }

    private mutating func take(_ token: Token) -> Bool {
        guard place < tokens.count, tokens[place] == token else { return false }
        place += 1
        return true
    }

    private mutating func take(oneOf signs: [String]) -> String? {
        for sign in signs where take(.sign(sign)) { return sign }
        return nil
    }

    // MARK: Grammar

    private mutating func either() throws -> Condition.Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth < 64 else { throw wrong("is nested too deeply") }
        var left = try both()
        while take(.word("or")) { left = .either(left, try both()) }
        return left
    }

    private mutating func both() throws -> Condition.Expression {
        var left = try negation()
        while take(.word("and")) { left = .both(left, try negation()) }
        return left
    }

    private mutating func negation() throws -> Condition.Expression {
        var isNegated = false
        while take(.word("not")) { isNegated.toggle() }
        let inner = try comparison()
        return isNegated ? .not(inner) : inner
    }

    private mutating func comparison() throws -> Condition.Expression {
        let left = try sum()
        if take(.word("in")) {
            guard take(.sign("[")) else { throw wrong("lacks a list after in", "[a, b, …]") }
            var items = [try sum()]
            while take(.sign(",")) { items.append(try sum()) }
            guard take(.sign("]")) else { throw wrong("has a list without its end") }
            return .membership(left, items)
        }
        var result: Condition.Expression?
        var last = left
        while let sign = take(oneOf: ["==", "!=", "<=", ">=", "<", ">"]) {
            let next = try sum()
            let one = Condition.Expression.comparison(sign, last, next)
            result = result.map { .both($0, one) } ?? one
            last = next
        }
        return result ?? left
    }

    private mutating func sum() throws -> Condition.Expression {
        var left = try product()
        while let sign = take(oneOf: ["+", "-"]) { left = .arithmetic(Character(sign), left, try product()) }
        return left
    }

    private mutating func product() throws -> Condition.Expression {
        var left = try signed()
        while let sign = take(oneOf: ["*", "/", "%"]) {
            left = .arithmetic(Character(sign), left, try signed())
        }
        return left
    }

    private mutating func signed() throws -> Condition.Expression {
        var isNegative = false
        while take(.sign("-")) { isNegative.toggle() }
        let inner = try atom()
        return isNegative ? .negative(inner) : inner
    }

    private mutating func atom() throws -> Condition.Expression {
        guard place < tokens.count else { throw wrong("ends too early") }
        let token = tokens[place]
        place += 1
        switch token {
        case .number(let value): return .constant(.number(value))
        case .text(let value): return .constant(.text(value))
        case .word("true"): return .constant(.truth(true))
        case .word("false"): return .constant(.truth(false))
        case .word(let name):
            if name == "gpus" { return .field(name) }
            guard ScenarioFile.isField(name) else {
                let unknown = ScenarioFile.unknown(name, field, source: source)
                throw InvalidInput(
                    source: source, field: field, value: name, unknown.problem,
                    accepted: "a field of the scenario, gpus, a number, or text in quotes")
            }
            return .field(ScenarioFile.canonicalField(name))
        case .sign("("):
            let inner = try either()
            guard take(.sign(")")) else { throw wrong("lacks a closing parenthesis") }
            return inner
        case .sign(let sign): throw wrong("has \(sign) where a value should be")
        }
    }
}
