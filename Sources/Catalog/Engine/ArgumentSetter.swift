import ServingCore

/// Reads one argument's value as vLLM would, with errors that name it.
struct ArgumentSetter {
    let name: String
    let source: String?
    let value: ConfigValue

    func error(_ problem: String, accepted: String? = nil) -> InvalidInput {
        InvalidInput(.usage, source: source, field: name, value: value.text, problem, accepted: accepted)
    }

    func string() throws -> String {
        switch value {
        case .string(let text) where !text.isEmpty: return text
        case .integer, .number: return value.text
        default: throw error("is not text")
        }
    }

    func oneOf(_ accepted: [String]) throws -> String {
        let text = try string()
        guard accepted.contains(text) else {
            throw error("is not one of its values", accepted: accepted.joined(separator: ", "))
        }
        return text
    }

    func bool() throws -> Bool {
        switch value {
        case .bool(let flag): return flag
        case .string(let text) where text.lowercased() == "true": return true
        case .string(let text) where text.lowercased() == "false": return false
        default: throw error("is not a truth value", accepted: "true or false")
        }
    }

    func number() throws -> Double {
        switch value {
        case .integer(let number): return Double(number)
        case .number(let number) where number.isFinite: return number
        case .string(let text):
            if let number = Double(text), number.isFinite { return number }
            throw error("is not a number")
        default: throw error("is not a number")
        }
    }

    /// A whole number, or text like `32k` (decimal) or `32K` (binary), as vLLM's `human_readable_int`.
    func count(_ range: ClosedRange<Int>) throws -> Int {
        let number: Int
        switch value {
        case .string(let text):
            guard let parsed = Self.humanReadable(text) else {
                throw error(
                    "is not a whole number", accepted: "a number such as 32768, 32k (32,000) or 32K (32,768)")
            }
            number = parsed
        default:
            number = try ConfigReader.wholeNumber(value, in: Int.min...Int.max) { error($0, accepted: $1) }
        }
        guard range.contains(number) else {
            throw error(
                number < range.lowerBound ? "is too small" : "is too large",
                accepted: "\(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// A list of whole numbers, or text with them separated by commas or spaces.
    func counts(_ range: ClosedRange<Int>) throws -> [Int] {
        let elements: [ConfigValue]
        switch json ?? value {
        case .array(let list): elements = list
        case .string(let text):
            elements = text.split { $0 == "," || $0 == " " || $0 == "[" || $0 == "]" }.map {
                .string(String($0))
            }
        case .integer: elements = [value]
        default: throw error("is not a list of whole numbers")
        }
        return try elements.map { try ArgumentSetter(name: name, source: source, value: $0).count(range) }
    }

    func object() throws -> ConfigValue {
        if case .object = value { return value }
        guard case .object? = json else { throw error("is not a JSON object") }
        return json!
    }

    /// The value parsed as JSON when it is text that looks like it.
    var json: ConfigValue? {
        guard case .string(let text) = value, let first = text.first(where: { !$0.isWhitespace }),
            first == "{" || first == "[" || first.isNumber || text == "true" || text == "false"
        else { return nil }
        return try? ConfigValue.parse(json: Array(text.utf8), source: name)
    }

    static func humanReadable(_ text: String) -> Int? {
        if let plain = Int(text.filter { $0 != "_" }) { return plain }
        guard let last = text.last, let number = Double(text.dropLast()), number.isFinite, number >= 0 else {
            return nil
        }
        let factor: Double
        switch last {
        case "k": factor = 1e3
        case "m": factor = 1e6
        case "g": factor = 1e9
        case "t": factor = 1e12
        case "K": factor = 1024
        case "M": factor = 1_048_576
        case "G": factor = 1_073_741_824
        case "T": factor = 1_099_511_627_776
        default: return nil
        }
        let scaled = number * factor
        return scaled < 9e18 ? Int(scaled) : nil
    }
}
