import ServingCore

/// A reader of JSON configurations: small files, whole in memory, with the line of whatever is wrong.
///
/// Foundation's decoder doesn't say where a file is broken, and doesn't take the `Infinity` and `NaN` that Python's
/// `json` writes into config.json files.
struct JSONText {
    private let bytes: [UInt8]
    private let source: String
    private var position = 0

    init(_ bytes: [UInt8], source: String) {
        self.bytes = bytes
        self.source = source
    }

    /// The one value of the text.
    /// - Throws: `InvalidInput` with the line at fault.
    mutating func value() throws -> ConfigValue {
        // A byte order mark.
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
        let result = try value(depth: 0)
        skipSpace()
        if position < bytes.count { throw broken("has text after its end") }
        return result
    }

    private func broken(_ problem: String) -> InvalidInput {
        let line = 1 + bytes[..<min(position, bytes.count)].count { $0 == UInt8(ascii: "\n") }
        return InvalidInput(source: source, line: line, "is not readable JSON: \(problem)")
    }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[position]) { position += 1 }
    }

    private mutating func take(_ character: UInt8) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == character else { return false }
        position += 1
        return true
    }

    private mutating func value(depth: Int) throws -> ConfigValue {
        guard depth < 128 else { throw broken("is nested too deeply") }
        skipSpace()
        guard position < bytes.count else { throw broken("ends early") }
        switch bytes[position] {
        case UInt8(ascii: "{"):
            position += 1
            return .object(try members(depth: depth))
        case UInt8(ascii: "["):
            position += 1
            var elements: [ConfigValue] = []
            if take(UInt8(ascii: "]")) { return .array(elements) }
            while true {
                elements.append(try value(depth: depth + 1))
                if take(UInt8(ascii: "]")) { return .array(elements) }
                guard take(UInt8(ascii: ",")) else { throw broken("a comma or ] is missing in a list") }
            }
        case UInt8(ascii: "\""):
            position += 1
            return .string(try string())
        default:
            return try word()
        }
    }

    private mutating func members(depth: Int) throws -> [String: ConfigValue] {
        var fields: [String: ConfigValue] = [:]
        if take(UInt8(ascii: "}")) { return fields }
        while true {
            guard take(UInt8(ascii: "\"")) else { throw broken("a name in quotes is missing") }
            let name = try string()
            guard take(UInt8(ascii: ":")) else {
                throw broken("a colon is missing after \"\(name.prefix(40))\"")
            }
            fields[name] = try value(depth: depth + 1)
            if take(UInt8(ascii: "}")) { return fields }
            guard take(UInt8(ascii: ",")) else {
                throw broken("a comma or } is missing after \"\(name.prefix(40))\"")
            }
        }
    }

    /// A literal or a number.
    private mutating func word() throws -> ConfigValue {
        let start = position
        let ends: [UInt8] = Array(" \n\r\t,:]}[{\"".utf8)
        while position < bytes.count, !ends.contains(bytes[position]) { position += 1 }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        switch text {
        case "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        case "NaN": return .number(.nan)
        case "Infinity": return .number(.infinity)
        case "-Infinity": return .number(-.infinity)
        default: break
        }
        let isNumber = text.utf8.allSatisfy { (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }
        if isNumber {
            if let integer = Int(text) { return .integer(integer) }
            if let number = Double(text) { return .number(number) }
        }
        position = start
        throw broken(text.isEmpty ? "a value is missing" : "\(text.prefix(20)) is not a value")
    }

    /// The rest of a string whose opening quote has been read.
    private mutating func string() throws -> String {
        var content: [UInt8] = []
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: content, as: UTF8.self) else {
                    throw broken("text is not UTF-8")
                }
                return text
            case UInt8(ascii: "\\"):
                guard position < bytes.count else { throw broken("ends early") }
                let escape = bytes[position]
                position += 1
                switch escape {
                case UInt8(ascii: "n"): content.append(0x0a)
                case UInt8(ascii: "t"): content.append(0x09)
                case UInt8(ascii: "r"): content.append(0x0d)
                case UInt8(ascii: "b"): content.append(0x08)
                case UInt8(ascii: "f"): content.append(0x0c)
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(escape)
                case UInt8(ascii: "u"): content.append(contentsOf: Array(String(try escapedCharacter()).utf8))
                default: throw broken("an escape is unknown")
                }
            case 0x0a, 0x0d: throw broken("a text isn't closed before the end of its line")
            default: content.append(byte)
            }
        }
        throw broken("ends inside a text")
    }

    /// The character of `\uXXXX`, a surrogate pair included; the replacement character for half a pair.
    private mutating func escapedCharacter() throws -> Unicode.Scalar {
        let first = try fourDigits()
        if (0xd800..<0xdc00).contains(first), position + 1 < bytes.count,
            bytes[position] == UInt8(ascii: "\\"),
            bytes[position + 1] == UInt8(ascii: "u")
        {
            position += 2
            let second = try fourDigits()
            if (0xdc00..<0xe000).contains(second) {
                return Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00)) ?? "\u{fffd}"
            }
        }
        return Unicode.Scalar(first) ?? "\u{fffd}"
    }

    private mutating func fourDigits() throws -> UInt32 {
        guard position + 4 <= bytes.count,
            let code = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
        else { throw broken("an escape is not four hexadecimal digits") }
        position += 4
        return code
    }
}
