import ServingCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension OracleArtifact {
    /// Reads an artifact.
    /// - Throws: `InvalidInput` that says what is wrong: not an artifact, a newer version, damaged, or invalid.
    public init(json bytes: [UInt8], source: String) throws {
        let data = Data(bytes)
        let decoder = JSONDecoder()
        guard let header = try? decoder.decode(Header.self, from: data) else {
            throw InvalidInput(source: source, "is not an oracle", accepted: "JSON with format and version")
        }
        guard header.format == Self.formatName else {
            throw InvalidInput(
                source: source, field: "format", value: header.format, "is not an oracle",
                accepted: Self.formatName)
        }
        guard header.version <= Self.currentVersion else {
            throw InvalidInput(
                source: source, field: "version", value: "\(header.version)",
                "is newer than this program understands", accepted: "up to \(Self.currentVersion)")
        }
        guard header.version >= 1 else {
            throw InvalidInput(
                source: source, field: "version", value: "\(header.version)", "is not a version",
                accepted: "1")
        }
        do {
            self = try decoder.decode(OracleArtifact.self, from: data)
        } catch let error as DecodingError {
            throw InvalidInput(error, source: source)
        }
        try validate(source: source)
    }

    /// The artifact as indented JSON with keys in alphabetical order: the same artifact, the same bytes.
    /// - Throws: `InvalidInput` when a number isn't finite.
    public func json() throws -> [UInt8] {
        try validate(source: name)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
    }

    private struct Header: Decodable {
        var format: String
        var version: Int
    }
}
