import ServingCore
import Yams

/// A YAML mapping that is read key by key, with errors that name file, line, key path, value and what is accepted.
struct YAMLFields {
    /// File the mapping stands in.
    let source: String
    /// Keys that lead to it, joined by dots; empty at the top.
    let path: String
    private let mapping: Node.Mapping
    private let line: Int?

    /// Takes a node that must be a mapping.
    /// - Parameter known: keys it may have; nil leaves the check to `check(known:)`.
    init(_ node: Node, path: String, source: String, known: [String]? = nil) throws(InvalidInput) {
        self.source = source
        self.path = path
        line = node.mark?.line
        guard case .mapping(let mapping) = node else {
            throw InvalidInput(
                source: source, line: node.mark?.line, field: path.isEmpty ? nil : path,
                value: node.scalar.map { String($0.string.prefix(60)) }, "is not a mapping",
                accepted: "keys and values")
        }
        self.mapping = mapping
        if let known { try check(known: known) }
    }

    /// Refuses keys that are not in `known`, naming the nearest.
    func check(known: [String]) throws(InvalidInput) {
        for (key, _) in mapping {
            let name = key.scalar?.string ?? "?"
            if known.contains(name) { continue }
            let nearest = nearestName(to: name, among: known)
            throw InvalidInput(
                source: source, line: key.mark?.line, field: full(name), "is not a known key",
                accepted: nearest.map { "did you mean \($0)?" } ?? known.joined(separator: ", "))
        }
    }

    /// The keys in the order of the file.
    var keys: [String] { mapping.map { $0.key.scalar?.string ?? "?" } }

    /// The value of a key; nil when it is missing or null.
    func node(_ key: String) -> Node? {
        for (name, value) in mapping where name.scalar?.string == key {
            if case .scalar(let scalar) = value, scalar.style == .plain,
                ["", "~", "null", "Null", "NULL"].contains(scalar.string)
            {
                return nil
            }
            return value
        }
        return nil
    }

    /// Whether a key is there with a value.
    func has(_ key: String) -> Bool { node(key) != nil }

    /// A complaint about one of the keys.
    func failure(_ key: String, _ problem: String, accepted: String? = nil) -> InvalidInput {
        let value = node(key)
        return InvalidInput(
            source: source, line: value?.mark?.line ?? line, field: full(key),
            value: value?.scalar.map { String($0.string.prefix(60)) }, problem, accepted: accepted)
    }

    /// A complaint about the mapping itself.
    func failure(_ problem: String, accepted: String? = nil) -> InvalidInput {
        InvalidInput(
            source: source, line: line, field: path.isEmpty ? nil : path, problem, accepted: accepted)
    }

    /// Path of a key from the top of the file.
    func full(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// A text.
    func string(_ key: String) throws(InvalidInput) -> String? {
        guard let node = node(key) else { return nil }
        guard let scalar = node.scalar else { throw failure(key, "is not a text", accepted: "a text") }
        return scalar.string
    }

    /// One of a few words.
    func choice(_ key: String, of words: [String]) throws(InvalidInput) -> String? {
        guard let word = try string(key) else { return nil }
        if words.contains(word) { return word }
        throw failure(key, "is not known", accepted: words.joined(separator: ", "))
    }

    /// `true` or `false`.
    func boolean(_ key: String) throws(InvalidInput) -> Bool? {
        guard let word = try string(key) else { return nil }
        switch word.lowercased() {
        case "true", "yes", "on": return true
        case "false", "no", "off": return false
        default: throw failure(key, "is neither true nor false", accepted: "true, false")
        }
    }

    /// A number in a range; `inf` only where the range allows it.
    func number(
        _ key: String, in range: ClosedRange<Double>, accepted: String
    ) throws(InvalidInput) -> Double? {
        guard let node = node(key) else { return nil }
        guard let value = node.scalar.flatMap({ Self.number($0.string) }), range.contains(value) else {
            throw failure(key, Self.problem(node, or: "is not a number"), accepted: accepted)
        }
        return value
    }

    /// A number that must be there.
    func requiredNumber(
        _ key: String, in range: ClosedRange<Double>, accepted: String
    ) throws(InvalidInput) -> Double {
        guard let value = try number(key, in: range, accepted: accepted) else {
            throw failure(key, "is missing", accepted: accepted)
        }
        return value
    }

    /// A whole number in a range (`1e6` and `3.0` count as whole).
    func whole(_ key: String, in range: ClosedRange<Int>) throws(InvalidInput) -> Int? {
        guard let node = node(key) else { return nil }
        let accepted = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let value = node.scalar.flatMap({ Self.number($0.string) }), let whole = Int(exactly: value),
            range.contains(whole)
        else { throw failure(key, Self.problem(node, or: "is not a whole number"), accepted: accepted) }
        return whole
    }

    /// A list.
    func list(_ key: String) throws(InvalidInput) -> [Node]? {
        guard let node = node(key) else { return nil }
        guard case .sequence(let sequence) = node else {
            throw failure(key, "is not a list", accepted: "a list")
        }
        return Array(sequence)
    }

    /// A list of numbers, each in a range.
    func numbers(
        _ key: String, in range: ClosedRange<Double>, accepted: String
    ) throws(InvalidInput) -> [Double]? {
        guard let nodes = try list(key) else { return nil }
        var values: [Double] = []
        for (index, node) in nodes.enumerated() {
            guard let value = node.scalar.flatMap({ Self.number($0.string) }), range.contains(value) else {
                throw InvalidInput(
                    source: source, line: node.mark?.line, field: "\(full(key))[\(index)]",
                    value: node.scalar.map { String($0.string.prefix(60)) },
                    Self.problem(node, or: "is not a number"), accepted: accepted)
            }
            values.append(value)
        }
        return values
    }

    /// The mapping under a key.
    func fields(_ key: String, known: [String]? = nil) throws(InvalidInput) -> YAMLFields? {
        guard let node = node(key) else { return nil }
        return try YAMLFields(node, path: full(key), source: source, known: known)
    }

    /// Keys and values that are both numbers.
    func numberPairs() throws(InvalidInput) -> [(key: Double, value: Double)] {
        var pairs: [(key: Double, value: Double)] = []
        for (name, value) in mapping {
            let text = name.scalar?.string ?? "?"
            guard let key = Self.number(text), let number = value.scalar.flatMap({ Self.number($0.string) }),
                key.isFinite, number.isFinite
            else {
                throw InvalidInput(
                    source: source, line: name.mark?.line, field: full(text),
                    value: value.scalar.map { String($0.string.prefix(60)) }, "is not a pair of numbers",
                    accepted: "number: number")
            }
            pairs.append((key, number))
        }
        return pairs
    }

    /// A decimal number, underscores between digits allowed, or infinity; nil for anything else, NaN included.
    static func number(_ text: String) -> Double? {
        switch text.lowercased() {
        case "inf", "+inf", ".inf", "+.inf", "infinity": return .infinity
        default: break
        }
        guard let first = text.utf8.first, text.utf8.count <= 64,
            text.utf8.allSatisfy({ "0123456789+-.eE_".utf8.contains($0) }), first != UInt8(ascii: "_")
        else { return nil }
        return Double(text.filter { $0 != "_" }).flatMap { $0.isFinite ? $0 : nil }
    }

    private static func problem(_ node: Node, or other: String) -> String {
        guard let value = node.scalar.flatMap({ number($0.string) }) else { return other }
        if value < 0 { return "is negative" }
        return value.rounded() == value
            ? "is out of range" : other == "is not a number" ? "is out of range" : other
    }
}

/// Parses YAML text, turning a syntax error into one line with the place.
func composeYAML(_ text: String, source: String) throws(InvalidInput) -> Node {
    do {
        guard let node = try Yams.compose(yaml: text) else {
            throw InvalidInput(source: source, "is empty", accepted: "a YAML mapping")
        }
        return node
    } catch let error as InvalidInput {
        throw error
    } catch let error as YamlError {
        throw InvalidInput(source: source, line: line(of: error), "is not YAML: \(summary(of: error))")
    } catch {
        throw InvalidInput(source: source, "is not YAML")
    }
}

private func line(of error: YamlError) -> Int? {
    switch error {
    case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): mark.line
    default: nil
    }
}

private func summary(of error: YamlError) -> String {
    switch error {
    case .scanner(_, let problem, _, _), .parser(_, let problem, _, _), .composer(_, let problem, _, _):
        problem
    case .duplicatedKeysInMapping(let duplicates, _):
        "the key \(duplicates.map { "\($0)" }.sorted().first ?? "?") stands twice in a mapping"
    default: String("\(error)".split(separator: "\n").first ?? "damaged")
    }
}
