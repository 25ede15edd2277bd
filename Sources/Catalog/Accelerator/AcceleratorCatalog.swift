import ServingCore

/// The accelerators of the shipped table, and any of a person's own by path.
public struct AcceleratorCatalog: Sendable {
    /// All accelerators in the order of the table.
    public let accelerators: [Accelerator]

    /// Reads `models/accelerators` of a home folder.
    /// - Throws: `InvalidInput` when the table is missing or damaged.
    public init(_ shipped: ShippedFiles) throws {
        let folder = "models/accelerators"
        accelerators = try shipped.files(in: folder).flatMap {
            try Self.read(shipped.path(folder) + "/" + $0)
        }
    }

    /// The accelerator that a person means by a name in any spelling (`H100-SXM`, `NVIDIA GeForce RTX 4090`), or the only
    /// one of a file by path.
    /// - Throws: `InvalidInput(.noSuchInput)` for an unknown name, naming the nearest; `InvalidInput` for a damaged file.
    public func accelerator(_ name: String) throws -> Accelerator {
        if [".yaml", ".yml", ".json"].contains(where: { name.lowercased().hasSuffix($0) }) {
            let list = try Self.read(name)
            guard list.count == 1 else {
                throw InvalidInput(
                    source: name, "has \(list.count) accelerators", accepted: "a file with one")
            }
            return list[0]
        }
        let wanted = Self.normalised(name)
        for accelerator in accelerators
        where ([accelerator.name] + accelerator.aliases).contains(where: { Self.normalised($0) == wanted }) {
            return accelerator
        }
        let known = accelerators.flatMap { [$0.name] + $0.aliases }
        let nearest = nearestName(to: name, among: known)
        throw InvalidInput(
            .noSuchInput, field: "--gpu", value: name,
            "is not a known accelerator" + (nearest.map { "; did you mean \($0)?" } ?? ""),
            accepted: "a name that `stepcast gpus` lists, or a path")
    }

    private static func read(_ path: String) throws -> [Accelerator] {
        let value = try ConfigValue.read(file: path)
        let reader = try ConfigReader(value, source: path)
        guard let (_, list) = reader.value(["accelerators"]) else { return [try Accelerator(reader)] }
        guard case .array(let entries) = list else {
            throw reader.error("accelerators", list, "is not a list")
        }
        return try entries.enumerated().map { index, entry in
            try Accelerator(ConfigReader(entry, source: path, path: "accelerators.\(index)."))
        }
    }

    /// Letters and digits in lower case, without the maker's and series' names.
    static func normalised(_ name: String) -> String {
        var text = String(name.lowercased().filter { $0.isLetter || $0.isNumber })
        for noise in ["nvidia", "geforce", "tesla"] where text.hasPrefix(noise) {
            text.removeFirst(noise.count)
        }
        return text
    }
}
