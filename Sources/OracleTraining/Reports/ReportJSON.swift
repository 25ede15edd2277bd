#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension Encodable {
    /// Indented JSON with keys in alphabetical order and a final newline: same value, same bytes.
    package func reportJSON() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
    }
}

extension TrainingReport {
    /// The report as it is saved.
    /// - Throws: never in practice: every field is encodable.
    public func json() throws -> [UInt8] { try reportJSON() }
}
