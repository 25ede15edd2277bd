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
        do {
            self = try decoder.decode(OracleArtifact.self, from: data)
        } catch let error as DecodingError {
            // Another format or a newer version says more than the first field that is missing.
            guard let header = try? decoder.decode(Header.self, from: data) else {
                throw InvalidInput(
                    source: source, "is not an oracle", accepted: "JSON with format and version")
            }
            try header.check(source)
            throw InvalidInput(error, source: source)
        }
        try Header(format: format, version: version).check(source)
        try validate(source: source)
    }

    private struct Header: Decodable {
        var format: String
        var version: Int

        func check(_ source: String) throws {
            guard format == OracleArtifact.formatName else {
                throw InvalidInput(
                    source: source, field: "format", value: format, "is not an oracle",
                    accepted: OracleArtifact.formatName)
            }
            guard version <= OracleArtifact.currentVersion else {
                throw InvalidInput(
                    source: source, field: "version", value: "\(version)",
                    "is newer than this program understands",
                    accepted: "up to \(OracleArtifact.currentVersion)")
            }
            guard version >= 1 else {
                throw InvalidInput(
                    source: source, field: "version", value: "\(version)", "is not a version",
                    accepted: "1")
            }
        }
    }

    /// The artifact as indented JSON with keys in alphabetical order: the same artifact, the same bytes.
    /// - Throws: `InvalidInput` when a number isn't finite.
    public func json() throws -> [UInt8] {
        try validate(source: name)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return Self.withListsOnLines(try encoder.encode(self)) + [UInt8(ascii: "\n")]
    }

    /// The same JSON with every array that holds no other array or object on one line.
    private static func withListsOnLines(_ json: Data) -> [UInt8] {
        let bytes = Array(json)
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var isString = false
        var index = 0
        /// End of the array that begins at `start` when it is flat, else nil.
        func endOfFlatArray(_ start: Int) -> Int? {
            var (place, inside) = (start + 1, false)
            while place < bytes.count {
                switch bytes[place] {
                case UInt8(ascii: "\\") where inside: place += 1
                case UInt8(ascii: "\""): inside.toggle()
                case UInt8(ascii: "]") where !inside: return place
                case UInt8(ascii: "["), UInt8(ascii: "{"):
                    if !inside { return nil }
                default: break
                }
                place += 1
            }
            return nil
        }
        while index < bytes.count {
            let byte = bytes[index]
            if isString {
                if byte == UInt8(ascii: "\\") {
                    result.append(byte)
                    index += 1
                } else if byte == UInt8(ascii: "\"") {
                    isString = false
                }
            } else if byte == UInt8(ascii: "\"") {
                isString = true
            } else if byte == UInt8(ascii: "["), let end = endOfFlatArray(index) {
                var (inside, place) = (false, index)
                while place <= end {
                    let byte = bytes[place]
                    if byte == UInt8(ascii: "\\"), inside {
                        result += [byte, bytes[place + 1]]
                        place += 2
                        continue
                    }
                    if byte == UInt8(ascii: "\"") { inside.toggle() }
                    if inside || (byte != UInt8(ascii: " ") && byte != UInt8(ascii: "\n")) {
                        result.append(byte)
                        if !inside, byte == UInt8(ascii: ",") { result.append(UInt8(ascii: " ")) }
                    }
                    place += 1
                }
                index = end + 1
                continue
            }
            result.append(bytes[index])
            index += 1
        }
        return result
    }
}
