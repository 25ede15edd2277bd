import ByteStreams

/// A JSON document whose keys stay in the order in which they were given, so that the same values are the same
/// bytes.
public enum JSONValue: Equatable, Sendable {
    /// `null`
    case null
    /// `true` or `false`
    case boolean(Bool)
    /// A whole number.
    case integer(Int)
    /// A whole number that may exceed the signed range, such as a seed.
    case unsigned(UInt64)
    /// A number in its shortest form that reads back the same; `null` unless finite.
    case number(Double)
    /// Text.
    case string(String)
    /// A list; one whose elements are all numbers, text or null stands on one line.
    case array([JSONValue])
    /// Keys and values in order.
    case object([(key: String, value: JSONValue)])

    /// A number, or null when there is none.
    public init(_ value: Double?) { self = value.map { .number($0) } ?? .null }
    /// A whole number, or null when there is none.
    public init(_ value: Int?) { self = value.map { .integer($0) } ?? .null }
    /// Text, or null when there is none.
    public init(_ value: String?) { self = value.map { .string($0) } ?? .null }

    /// Whether two documents are the same bytes.
    public static func == (a: JSONValue, b: JSONValue) -> Bool { a.text == b.text }

    /// The document with two spaces of indentation and a newline at its end.
    public var text: String {
        var text = ""
        write(to: &text, indentation: 0)
        text += "\n"
        return text
    }

    /// The document on one line, without a newline.
    public var compactText: String {
        var text = ""
        writeCompact(to: &text)
        return text
    }

    /// Writes the document to a file that appears whole or not at all, compressed when named `.zst`.
    /// - Throws: `InvalidInput` of kind `cannotWrite`.
    public func write(to path: String) throws {
        var file = try WholeFileWriter(path: path)
        file.append(text: text)
        try file.finish()
    }

    private var isScalar: Bool {
        switch self {
        case .array, .object: false
        default: true
        }
    }

    private func write(to text: inout String, indentation: Int) {
        switch self {
        case .array(let elements) where !elements.allSatisfy(\.isScalar):
            Self.writeLines("[", "]", elements.count, to: &text, indentation) { place, text in
                elements[place].write(to: &text, indentation: indentation + 1)
            }
        case .object(let members) where !members.isEmpty:
            Self.writeLines("{", "}", members.count, to: &text, indentation) { place, text in
                text += members[place].key.quotedForJSON
                text += ": "
                members[place].value.write(to: &text, indentation: indentation + 1)
            }
        default: writeCompact(to: &text)
        }
    }

    private static func writeLines(
        _ opening: String, _ closing: String, _ count: Int, to text: inout String, _ indentation: Int,
        _ body: (Int, inout String) -> Void
    ) {
        text += opening
        for place in 0..<count {
            text += place == 0 ? "\n" : ",\n"
            text += String(repeating: "  ", count: indentation + 1)
            body(place, &text)
        }
        text += "\n" + String(repeating: "  ", count: indentation) + closing
    }

    private func writeCompact(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .boolean(let value): text += value ? "true" : "false"
        case .integer(let value): text += "\(value)"
        case .unsigned(let value): text += "\(value)"
        case .number(let value): text += value.isFinite ? "\(value)" : "null"
        case .string(let value): text += value.quotedForJSON
        case .array(let elements):
            text += "["
            for (place, element) in elements.enumerated() {
                if place > 0 { text += ", " }
                element.writeCompact(to: &text)
            }
            text += "]"
        case .object(let members):
            text += "{"
            for (place, member) in members.enumerated() {
                if place > 0 { text += ", " }
                text += member.key.quotedForJSON
                text += ": "
                member.value.writeCompact(to: &text)
            }
            text += "}"
        }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
    /// Text.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A whole number.
    public init(integerLiteral value: Int) { self = .integer(value) }
    /// `true` or `false`.
    public init(booleanLiteral value: Bool) { self = .boolean(value) }
}
