import Catalog
import ServingCore

extension ScenarioFile {
    /// Sets the value of a field by its dotted path, as `--set path=value` does.
    /// - Throws: `InvalidInput` when the path leads through a plain value.
    public mutating func set(_ path: String, to value: ConfigValue) throws {
        let keys = path.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        try set(path: keys.isEmpty ? [path] : keys, to: value, "\(path)=\(value.text)")
    }

    /// The value of a field by its dotted path; nil when it isn't set.
    public func value(at path: String) -> ConfigValue? {
        let keys = path.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard let first = keys.first, var value = root[Self.normalized(first)] else { return nil }
        for key in keys.dropFirst() {
            switch value {
            case .object(let members):
                let name = members.keys.sorted().first { Self.normalized($0) == Self.normalized(key) }
                guard let name, let member = members[name] else { return nil }
                value = member
            case .array(let items):
                guard let index = Int(key), items.indices.contains(index) else { return nil }
                value = items[index]
            default: return nil
            }
        }
        return value
    }

    /// Whether a dotted path begins with a name that a scenario may have.
    public static func isField(_ path: String) -> Bool {
        let key = normalized(String(path.prefix { $0 != "." }))
        return ownKeys.contains(key) || EngineConfiguration.isArgument(key)
    }

    /// A path under the name that a scenario gives it: dashes, no abbreviations, nothing in front.
    public static func canonicalField(_ path: String) -> String {
        let key = String(path.prefix { $0 != "." })
        let name = normalized(key)
        let canonical = ownKeys.contains(name) ? name : EngineConfiguration.argumentName(name) ?? name
        return canonical + path.dropFirst(key.count)
    }

    /// What to say of a name that no scenario has.
    /// - Parameters:
    ///   - key: the name in question.
    ///   - field: what the message calls its place.
    public static func unknown(_ key: String, _ field: String, source: String) -> InvalidInput {
        let known = ownKeys + EngineConfiguration.argumentNames.map { String($0.dropFirst(2)) }
        let near = nearestName(to: normalized(key), among: known).map { "; did you mean \($0)?" } ?? ""
        return InvalidInput(
            source: source, field: field, "is not a known name" + near,
            accepted: "vLLM's flags and stepcast's")
    }

    /// The names set, in order.
    public var fieldNames: [String] { root.keys.sorted() }

    /// The whole tree.
    public var tree: ConfigValue { .object(root) }

    /// The scenario in YAML: a name a line, in order, values as JSON, which is YAML, too.
    public var yaml: String {
        root.keys.sorted().map { "\($0): \(root[$0]!.json)\n" }.joined()
    }

    /// A path in this file, taken from the folder that the file lies in.
    public func path(relative path: String) -> String { relative(path) }
}
