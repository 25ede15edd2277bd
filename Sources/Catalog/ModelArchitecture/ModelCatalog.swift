import ServingCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The models that ship under `models/architectures`, and any config.json by path.
public struct ModelCatalog: Sendable {
    private let shipped: ShippedFiles
    private static let folder = "models/architectures"

    /// The catalog of a home folder.
    public init(_ shipped: ShippedFiles) { self.shipped = shipped }

    /// One shipped model, without its dimensions.
    public struct Entry: Sendable, Equatable {
        /// Friendly name.
        public var name: String
        /// Other friendly names.
        public var aliases: [String]
        /// Names on Hugging Face of checkpoints with these dimensions.
        public var repositories: [String]
        let file: String
    }

    /// All shipped models by name, in order.
    /// - Throws: `InvalidInput` when a shipped file is damaged.
    public func entries() throws -> [Entry] {
        try shipped.files(in: Self.folder).map { try entry(file: $0).entry }.sorted { $0.name < $1.name }
    }

    /// The architecture that a person means by a friendly name, a Hugging Face id in any case, a path to a config.json
    /// (or a facts file), or a folder that holds one. `overrides` are vLLM's `--hf-overrides`.
    /// - Throws: `InvalidInput(.noSuchInput)` for an unknown name, naming the nearest; `InvalidInput` for a
    ///   config that is damaged or not supported, naming the field.
    public func architecture(_ name: String, overrides: ConfigValue? = nil) throws -> ModelArchitecture {
        if let path = Self.configPath(name) {
            var value = try ConfigValue.read(file: path)
            let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
            let quantization = folder + "hf_quant_config.json"
            if path.hasSuffix("config.json"), ShippedFiles.isFile(quantization),
                case .object(var fields) = value,
                fields["quantization_config"] == nil,
                case .object(let extra) = try ConfigValue.read(file: quantization)
            {
                fields["quantization_config"] = extra["quantization"]
                value = .object(fields)
            }
            return try ModelArchitecture(config: value, source: path, name: name, overrides: overrides)
        }
        let wanted = Self.normalised(name)
        let direct = wanted + ".yaml"
        if !wanted.contains("/"), ShippedFiles.isFile(shipped.path(Self.folder) + "/" + direct) {
            return try load(direct, name: name, overrides: overrides)
        }
        if let entry = try entry(named: name) {
            return try load(entry.file, name: name, overrides: overrides)
        }
        let all = try entries()
        let known = all.flatMap { [$0.name] + $0.aliases + $0.repositories }
        let nearest = nearestName(to: name, among: known) ?? nearestName(to: wanted, among: known)
        throw InvalidInput(
            .noSuchInput, field: "--model", value: name,
            "is neither a known model nor a path to a config.json"
                + (nearest.map { "; did you mean \($0)?" } ?? ""),
            accepted: "a name that `stepcast models` lists, or a path")
    }

    /// The entry that answers to a name, if one does.
    public func entry(named name: String) throws -> Entry? {
        let wanted = Self.normalised(name)
        guard !wanted.isEmpty else { return nil }
        for file in shipped.files(in: Self.folder) where mentions(file, wanted) {
            let entry = try entry(file: file).entry
            if entry.answers(to: wanted) { return entry }
        }
        return nil
    }

    /// Whether a file's text, or its name, has a normalised name in it: a cheap test before YAML is read.
    private func mentions(_ file: String, _ wanted: String) -> Bool {
        if file.hasPrefix(wanted) { return true }
        guard let data = try? Data(contentsOf: URL(filePath: shipped.path(Self.folder) + "/" + file)) else {
            return false
        }
        let text = data.map { byte -> UInt8 in
            switch byte {
            case 0x41...0x5a: byte + 0x20
            case UInt8(ascii: "_"), UInt8(ascii: " "): UInt8(ascii: "-")
            default: byte
            }
        }
        let pattern = Array(wanted.utf8)
        guard text.count >= pattern.count else { return false }
        return (0...(text.count - pattern.count)).contains { start in
            text[start] == pattern[0] && text[start..<(start + pattern.count)].elementsEqual(pattern)
        }
    }

    private func load(_ file: String, name: String, overrides: ConfigValue?) throws -> ModelArchitecture {
        let (entry, value) = try entry(file: file)
        var architecture = try ModelArchitecture(
            config: value, source: "\(Self.folder)/\(file)", name: entry.name, overrides: overrides)
        architecture.repository =
            entry.repositories.first { $0.lowercased() == name.lowercased() } ?? entry.repositories.first
        return architecture
    }

    private func entry(file: String) throws -> (entry: Entry, value: ConfigValue) {
        let value = try ConfigValue.read(file: shipped.path(Self.folder) + "/" + file)
        let reader = try ConfigReader(value, source: "\(Self.folder)/\(file)")
        let stem = file.lastIndex(of: ".").map { String(file[..<$0]) } ?? file
        let entry = Entry(
            name: try reader.string("name") ?? stem, aliases: try reader.strings("aliases") ?? [],
            repositories: try reader.strings("repositories") ?? [], file: file)
        return (entry, value)
    }

    /// The config file that a path means, or nil when `name` isn't one.
    private static func configPath(_ name: String) -> String? {
        if ShippedFiles.isFolder(name) {
            let path = name + (name.hasSuffix("/") ? "" : "/") + "config.json"
            return ShippedFiles.isFile(path) ? path : nil
        }
        let looksLikeFile = [".json", ".yaml", ".yml"].contains { name.lowercased().hasSuffix($0) }
        return looksLikeFile && ShippedFiles.isFile(name) ? name : nil
    }

    /// Lower case, with `-` for spaces and underscores.
    static func normalised(_ name: String) -> String {
        String(name.lowercased().map { $0 == "_" || $0 == " " ? "-" : $0 })
    }
}

extension ModelCatalog.Entry {
    /// Whether a normalised name means this model: its name, an alias, a repository or a repository's last part.
    func answers(to wanted: String) -> Bool {
        ([name] + aliases).contains { ModelCatalog.normalised($0) == wanted }
            || repositories.contains { repository in
                let full = ModelCatalog.normalised(repository)
                return full == wanted || full.split(separator: "/").last.map(String.init) == wanted
            }
    }
}

extension ModelArchitecture {
    /// Reads a parsed config.json, or a facts file whose `config` holds the same fields.
    /// - Parameter overrides: replaces fields, at top level and in the nested text config, as `--hf-overrides` does.
    /// - Throws: `InvalidInput` naming the field that is damaged or not supported.
    public init(config: ConfigValue, source: String, name: String, overrides: ConfigValue? = nil) throws {
        var value = config
        if case .object(let fields) = config, let inner = fields["config"], case .object = inner {
            value = inner
        }
        if let overrides {
            guard case .object(let changes) = overrides else {
                throw InvalidInput(
                    .usage, field: "--hf-overrides", value: overrides.text, "is not a JSON object")
            }
            value = Self.merge(changes, into: value)
        }
        self = try ModelConfigReader(value, source: source).architecture(name: name)
    }

    private static func merge(_ changes: [String: ConfigValue], into value: ConfigValue) -> ConfigValue {
        guard case .object(var fields) = value else { return value }
        for (name, change) in changes {
            if case .object(let inner) = change, let old = fields[name], case .object = old {
                fields[name] = merge(inner, into: old)
            } else {
                fields[name] = change
            }
        }
        return .object(fields)
    }
}
