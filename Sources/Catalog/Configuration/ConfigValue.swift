import ServingCore
import Yams

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A value of a configuration file, JSON or YAML: config.json, an accelerator file, vLLM's `--config` file, or the
/// JSON argument of a flag.
public enum ConfigValue: Sendable, Equatable {
    /// `null`, or a YAML key without a value.
    case null
    /// A truth value.
    case bool(Bool)
    /// A whole number that fits 64 bits.
    case integer(Int)
    /// Any other number; infinite or NaN where Python wrote `Infinity` or `NaN`.
    case number(Double)
    /// Text.
    case string(String)
    /// A list.
    case array([ConfigValue])
    /// Named values.
    case object([String: ConfigValue])

    /// Reads JSON text, accepting what Python's `json` writes beyond the standard (`Infinity`, `NaN`).
    /// - Throws: `InvalidInput` with the line at fault.
    public static func parse(json bytes: [UInt8], source: String) throws -> ConfigValue {
        var text = JSONText(bytes, source: source)
        return try text.value()
    }

    /// Reads YAML text of one document; a tagged or anchored value means what YAML 1.1 says.
    /// - Throws: `InvalidInput` with the line at fault.
    public static func parse(yaml text: String, source: String) throws -> ConfigValue {
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch let error as YamlError {
            switch error {
            case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
                .composer(_, let problem, let mark, _):
                throw InvalidInput(source: source, line: mark.line, "is not readable YAML: \(problem)")
            case .duplicatedKeysInMapping(let keys, _):
                throw InvalidInput(
                    source: source, field: keys.first, "is given twice")
            default:
                throw InvalidInput(source: source, "is not readable YAML")
            }
        } catch {
            throw InvalidInput(source: source, "is not readable YAML")
        }
        guard let node else { return .null }
        return try convert(node, source: source, depth: 0)
    }

    /// Reads a file of either format: JSON when its name ends in `.json`, YAML otherwise.
    /// - Throws: `InvalidInput` (`noSuchInput` when it can't be opened).
    public static func read(file path: String) throws -> ConfigValue {
        guard let data = try? Data(contentsOf: URL(filePath: path)) else {
            throw InvalidInput(.noSuchInput, source: path, "cannot be read")
        }
        // Configurations are a few kilobytes; something far larger is another kind of file.
        guard data.count <= 64 << 20 else {
            throw InvalidInput(source: path, "is too large for a configuration", accepted: "at most 64 MiB")
        }
        if path.lowercased().hasSuffix(".json") { return try parse(json: Array(data), source: path) }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw InvalidInput(source: path, "is not UTF-8 text")
        }
        return try parse(yaml: text, source: path)
    }

    private static func convert(_ node: Node, source: String, depth: Int) throws -> ConfigValue {
        guard depth < 128 else { throw InvalidInput(source: source, "is nested too deeply") }
        switch node {
        case .mapping(let mapping):
            var object: [String: ConfigValue] = [:]
            for (key, value) in mapping {
                guard let name = key.string else {
                    throw InvalidInput(source: source, line: key.mark?.line, "has a key that is not text")
                }
                object[name] = try convert(value, source: source, depth: depth + 1)
            }
            return .object(object)
        case .sequence(let sequence):
            return .array(try sequence.map { try convert($0, source: source, depth: depth + 1) })
        case .scalar(let scalar):
            guard scalar.style == .plain || scalar.style == .any else { return .string(scalar.string) }
            if node.null != nil { return .null }
            if let value = node.int { return .integer(value) }
            if let value = node.bool { return .bool(value) }
            if let value = node.float { return .number(value) }
            return .string(scalar.string)
        case .alias:
            throw InvalidInput(source: source, "has an alias that refers to nothing")
        }
    }

    /// The value as a message shows it, shortened.
    public var text: String {
        switch self {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .string(let value): value.count > 60 ? value.prefix(60) + "…" : value
        case .array(let values): values.isEmpty ? "[]" : "[\(values[0].text)\(values.count > 1 ? ", …" : "")]"
        case .object: "{…}"
        }
    }
}

extension ConfigValue {
    /// The value as JSON on one line, keys in alphabetical order. JSON is YAML, too.
    public var json: String {
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .integer(let value): return String(value)
        case .number(let value):
            // YAML's names for what JSON cannot say.
            return value.isNaN ? ".nan" : value.isInfinite ? (value < 0 ? "-.inf" : ".inf") : String(value)
        case .string(let value): return value.quotedForJSON
        case .array(let items): return "[" + items.map(\.json).joined(separator: ", ") + "]"
        case .object(let members):
            let pairs = members.sorted { $0.key < $1.key }.map { $0.key.quotedForJSON + ": " + $0.value.json }
            return "{" + pairs.joined(separator: ", ") + "}"
        }
    }
}
