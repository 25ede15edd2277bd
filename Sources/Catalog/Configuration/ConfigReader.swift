import ServingCore

/// Typed access to the fields of a configuration, with errors that name file, field and value.
struct ConfigReader {
    /// File (or flag) that the values came from.
    let source: String
    /// Path of this object inside the file, with a dot at its end; empty at top level.
    let path: String
    /// The fields.
    let fields: [String: ConfigValue]

    init(_ value: ConfigValue, source: String, path: String = "") throws {
        guard case .object(let fields) = value else {
            throw InvalidInput(
                source: source, field: path.isEmpty ? nil : String(path.dropLast()), value: value.text,
                "is not an object", accepted: "named fields")
        }
        self.init(fields: fields, source: source, path: path)
    }

    init(fields: [String: ConfigValue], source: String, path: String = "") {
        self.fields = fields
        self.source = source
        self.path = path
    }

    /// The first of `names` that is present and not null.
    func value(_ names: [String]) -> (name: String, value: ConfigValue)? {
        for name in names {
            if let value = fields[name], value != .null { return (name, value) }
        }
        return nil
    }

    func has(_ name: String) -> Bool { value([name]) != nil }

    func error(_ name: String, _ value: ConfigValue? = nil, _ problem: String, accepted: String? = nil)
        -> InvalidInput
    {
        InvalidInput(
            source: source, field: path + name, value: value?.text, problem, accepted: accepted)
    }

    /// A whole number in `range`, or nil when every name is absent. A double without a fraction counts as one.
    func count(_ names: String..., in range: ClosedRange<Int> = 0...Self.largestDimension) throws -> Int? {
        guard let (name, value) = value(names) else { return nil }
        return try Self.wholeNumber(value, in: range) { error(name, value, $0, accepted: $1) }
    }

    /// A whole number in `range` that must be there.
    func requiredCount(_ names: String..., in range: ClosedRange<Int> = 1...Self.largestDimension) throws
        -> Int
    {
        guard let (name, value) = value(names) else {
            throw error(names[0], nil, "is missing", accepted: Self.describe(range))
        }
        return try Self.wholeNumber(value, in: range) { error(name, value, $0, accepted: $1) }
    }

    func number(_ names: String..., in range: ClosedRange<Double> = 0...1e300) throws -> Double? {
        guard let (name, value) = value(names) else { return nil }
        let number: Double
        switch value {
        case .integer(let integer): number = Double(integer)
        case .number(let double): number = double
        case .string(let text):
            // YAML 1.1 reads 1.0e+12 but not 1e12 as a number.
            guard let parsed = Double(text) else { throw error(name, value, "is not a number") }
            number = parsed
        default: throw error(name, value, "is not a number")
        }
        guard range.contains(number) else {
            throw error(
                name, value, "is out of range", accepted: "\(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func bool(_ names: String...) throws -> Bool? {
        guard let (name, value) = value(names) else { return nil }
        guard case .bool(let flag) = value else {
            throw error(name, value, "is not a truth value", accepted: "true or false")
        }
        return flag
    }

    func string(_ names: String...) throws -> String? {
        guard let (name, value) = value(names) else { return nil }
        guard case .string(let text) = value else { throw error(name, value, "is not text") }
        return text
    }

    func strings(_ names: String...) throws -> [String]? {
        guard let (name, value) = value(names) else { return nil }
        guard case .array(let list) = value else { throw error(name, value, "is not a list") }
        return try list.map {
            guard case .string(let text) = $0 else { throw error(name, $0, "is not text") }
            return text
        }
    }

    func counts(_ names: String..., in range: ClosedRange<Int> = 0...Self.largestDimension) throws -> [Int]? {
        guard let (name, value) = value(names) else { return nil }
        guard case .array(let list) = value else { throw error(name, value, "is not a list") }
        return try list.map { element in
            try Self.wholeNumber(element, in: range) { error(name, element, $0, accepted: $1) }
        }
    }

    func object(_ name: String) throws -> ConfigReader? {
        guard let value = fields[name], value != .null else { return nil }
        return try ConfigReader(value, source: source, path: path + name + ".")
    }

    /// Larger than any real dimension, and three of them multiplied stay far inside a double.
    static let largestDimension = 1 << 31

    static func wholeNumber(
        _ value: ConfigValue, in range: ClosedRange<Int>, error: (String, String) -> InvalidInput
    ) throws -> Int {
        let accepted = describe(range)
        let number: Int
        switch value {
        case .integer(let integer): number = integer
        case .number(let double):
            guard let exact = Int(exactly: double) else { throw error("is not a whole number", accepted) }
            number = exact
        default: throw error("is not a whole number", accepted)
        }
        guard number >= range.lowerBound else {
            throw error(
                number < 0 ? "is negative" : number == 0 ? "is zero" : "is too small", accepted)
        }
        guard number <= range.upperBound else { throw error("is too large", accepted) }
        return number
    }

    private static func describe(_ range: ClosedRange<Int>) -> String {
        range.upperBound >= largestDimension
            ? "a whole number of at least \(range.lowerBound)"
            : "a whole number from \(range.lowerBound) to \(range.upperBound)"
    }
}
