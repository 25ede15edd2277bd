/// Where a text stops being JSON, and why.
public struct JSONSyntaxError: Error, Equatable, Sendable {
    /// Byte offset from the start of the scanned text.
    public var offset: Int
    /// What was expected or wrong.
    public var problem: String { String(describing: reason) }
    let reason: StaticString

    /// A complaint about the byte at `offset`.
    public init(_ reason: StaticString, at offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    /// Same place and reason.
    public static func == (a: JSONSyntaxError, b: JSONSyntaxError) -> Bool {
        a.offset == b.offset && a.problem == b.problem
    }
}

/// A pull scanner over one JSON text (RFC 8259), for lines too many or too long for `JSONDecoder`.
///
/// Strict (`NaN`, comments, trailing commas and control characters in strings are errors), bounds-checked, without
/// recursion or allocation.
/// ```swift
/// var json = JSONScanner(line)
/// try json.beginObject()
/// var first = true
/// while try json.nextKey(&first) {
///     if json.key(is: "step_id") { id = try json.integer() } else { try json.skipValue() }
/// }
/// try json.end()
/// ```
public struct JSONScanner: ~Escapable {
    /// The text.
    public let bytes: RawSpan
    /// Offset of the next byte to look at.
    public var position = 0
    /// The last key or string: its bytes between the quotes, escapes not decoded.
    public private(set) var stringStart = 0
    /// End of the last key or string.
    public private(set) var stringEnd = 0
    /// Whether the last key or string has a backslash in it.
    public private(set) var stringHasEscapes = false

    /// Starts at the beginning of a text.
    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan) { self.bytes = bytes }

    @inline(__always)
    func byte(_ offset: Int) -> UInt8 { bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self) }

    /// The next byte that isn't white space, 0 at the end.
    @inline(__always) @_lifetime(self: copy self)
    public mutating func peek() -> UInt8 {
        while position < bytes.byteCount {
            let next = byte(position)
            if next > 0x20 { return next }
            guard next == 0x20 || next == 0x0A || next == 0x0D || next == 0x09 else { return 1 }
            position += 1
        }
        return 0
    }

    /// Steps over `wanted` if it comes next.
    @inline(__always) @_lifetime(self: copy self)
    public mutating func consume(_ wanted: UInt8) -> Bool {
        guard peek() == wanted else { return false }
        position += 1
        return true
    }

    /// Steps over `{`.
    @_lifetime(self: copy self)
    public mutating func beginObject() throws(JSONSyntaxError) {
        guard consume(UInt8(ascii: "{")) else { throw JSONSyntaxError("expected an object", at: position) }
    }

    /// Steps over `[`.
    @_lifetime(self: copy self)
    public mutating func beginArray() throws(JSONSyntaxError) {
        guard consume(UInt8(ascii: "[")) else { throw JSONSyntaxError("expected an array", at: position) }
    }

    /// Moves to the next member's value and keeps its key, or steps over the closing brace.
    /// - Parameter first: true before the first member; set to false.
    /// - Returns: false after the last member.
    @_lifetime(self: copy self)
    public mutating func nextKey(_ first: inout Bool) throws(JSONSyntaxError) -> Bool {
        var next = peek()
        if next == UInt8(ascii: "}") {
            position += 1
            return false
        }
        if first {
            first = false
        } else {
            guard next == UInt8(ascii: ",") else { throw JSONSyntaxError("expected , or }", at: position) }
            position += 1
            next = peek()
        }
        guard next == UInt8(ascii: "\"") else { throw JSONSyntaxError("expected a key", at: position) }
        try string()
        guard consume(UInt8(ascii: ":")) else { throw JSONSyntaxError("expected :", at: position) }
        return true
    }

    /// Moves to the next element, or steps over the closing bracket.
    /// - Parameter first: true before the first element; set to false.
    /// - Returns: false after the last element.
    @_lifetime(self: copy self)
    public mutating func nextElement(_ first: inout Bool) throws(JSONSyntaxError) -> Bool {
        let next = peek()
        if next == UInt8(ascii: "]") {
            position += 1
            return false
        }
        if first {
            first = false
            return true
        }
        guard next == UInt8(ascii: ",") else { throw JSONSyntaxError("expected , or ]", at: position) }
        position += 1
        guard peek() != UInt8(ascii: "]") else {
            throw JSONSyntaxError("expected a value after ,", at: position)
        }
        return true
    }

    /// Whether the last key or string is exactly `text` (text without escapes).
    @inline(__always)
    public func key(is text: StaticString) -> Bool {
        guard stringEnd - stringStart == text.utf8CodeUnitCount, !stringHasEscapes else { return false }
        let wanted = text.utf8Start
        var index = 0
        while index < text.utf8CodeUnitCount {
            if byte(stringStart + index) != wanted[index] { return false }
            index += 1
        }
        return true
    }

    /// The bytes of the last key or string, escapes not decoded.
    public var stringBytes: RawSpan {
        @_lifetime(copy self)
        get { bytes.extracting(stringStart..<stringEnd) }
    }

    /// The last key or string, escapes decoded; invalid UTF-8 and unpaired surrogates become U+FFFD.
    public var stringText: String { decodedText() }

    /// Steps over a string and remembers where it is.
    @_lifetime(self: copy self)
    public mutating func string() throws(JSONSyntaxError) {
        guard consume(UInt8(ascii: "\"")) else { throw JSONSyntaxError("expected a string", at: position) }
        let count = bytes.byteCount
        stringStart = position
        stringHasEscapes = false
        while true {
            // Eight bytes at a time while none is a quote, a backslash or a control character.
            while position &+ 8 <= count {
                let word = bytes.unsafeLoadUnaligned(fromByteOffset: position, as: UInt64.self)
                let ones: UInt64 = 0x0101_0101_0101_0101
                let quote = word ^ (ones &* 0x22)
                let slash = word ^ (ones &* 0x5C)
                let found =
                    ((quote &- ones) & ~quote | (slash &- ones) & ~slash | (word &- ones &* 0x20) & ~word)
                    & (ones &* 0x80)
                if found != 0 {
                    position &+= found.trailingZeroBitCount >> 3
                    break
                }
                position &+= 8
            }
            guard position < count else { throw JSONSyntaxError("a string is never closed", at: stringStart) }
            let next = byte(position)
            if next == UInt8(ascii: "\"") {
                stringEnd = position
                position += 1
                return
            }
            if next == UInt8(ascii: "\\") {
                stringHasEscapes = true
                try stepOverEscape()
            } else if next < 0x20 {
                throw JSONSyntaxError("a control character in a string", at: position)
            } else {
                position += 1
            }
        }
    }

    @_lifetime(self: copy self)
    private mutating func stepOverEscape() throws(JSONSyntaxError) {
        guard position + 1 < bytes.byteCount else {
            throw JSONSyntaxError("a string is never closed", at: stringStart)
        }
        switch byte(position + 1) {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 2
        case UInt8(ascii: "u"):
            guard position + 6 <= bytes.byteCount else {
                throw JSONSyntaxError("an unfinished \\u escape", at: position)
            }
            for offset in position + 2..<position + 6 where hexDigit(byte(offset)) == nil {
                throw JSONSyntaxError("a malformed \\u escape", at: offset)
            }
            position += 6
        default: throw JSONSyntaxError("an unknown escape", at: position)
        }
    }

    /// Steps over a number.
    /// - Returns: where it stands.
    @inline(__always) @_lifetime(self: copy self)
    public mutating func number() throws(JSONSyntaxError) -> Range<Int> {
        _ = peek()
        let start = position
        let count = bytes.byteCount
        var offset = start
        if offset < count, byte(offset) == UInt8(ascii: "-") { offset += 1 }
        let whole = offset
        while offset < count, byte(offset) &- 0x30 <= 9 { offset += 1 }
        guard offset > whole else { throw JSONSyntaxError("expected a number", at: start) }
        if byte(whole) == 0x30, offset > whole + 1 {
            throw JSONSyntaxError("a number with a leading 0", at: start)
        }
        if offset < count, byte(offset) == UInt8(ascii: ".") {
            offset += 1
            let fraction = offset
            while offset < count, byte(offset) &- 0x30 <= 9 { offset += 1 }
            guard offset > fraction else {
                throw JSONSyntaxError("a number that ends with a point", at: start)
            }
        }
        if offset < count, byte(offset) | 0x20 == UInt8(ascii: "e") {
            offset += 1
            if offset < count, byte(offset) == UInt8(ascii: "+") || byte(offset) == UInt8(ascii: "-") {
                offset += 1
            }
            let power = offset
            while offset < count, byte(offset) &- 0x30 <= 9 { offset += 1 }
            guard offset > power else { throw JSONSyntaxError("a number without its exponent", at: start) }
        }
        position = offset
        return start..<offset
    }

    /// Steps over a number that must be whole and fit 64 bits.
    @_lifetime(self: copy self)
    public mutating func integer() throws(JSONSyntaxError) -> Int64 {
        let range = try number()
        guard let value = parseInteger(bytes.extracting(range)) else {
            throw JSONSyntaxError("a number that is not a whole number of 64 bits", at: range.lowerBound)
        }
        return value
    }

    /// Steps over a number that must be finite.
    @_lifetime(self: copy self)
    public mutating func double() throws(JSONSyntaxError) -> Double {
        let range = try number()
        guard let value = parseDouble(bytes.extracting(range)) else {
            throw JSONSyntaxError("a number too large", at: range.lowerBound)
        }
        return value
    }

    /// Steps over `true` or `false`.
    @_lifetime(self: copy self)
    public mutating func boolean() throws(JSONSyntaxError) -> Bool {
        if peek() == UInt8(ascii: "t") {
            try literal("true")
            return true
        }
        try literal("false")
        return false
    }

    /// Steps over `null` if it comes next.
    @_lifetime(self: copy self)
    public mutating func null() throws(JSONSyntaxError) -> Bool {
        guard peek() == UInt8(ascii: "n") else { return false }
        try literal("null")
        return true
    }

    @_lifetime(self: copy self)
    private mutating func literal(_ text: StaticString) throws(JSONSyntaxError) {
        _ = peek()
        let count = text.utf8CodeUnitCount
        guard position + count <= bytes.byteCount else {
            throw JSONSyntaxError("expected a value", at: position)
        }
        for index in 0..<count where byte(position + index) != text.utf8Start[index] {
            throw JSONSyntaxError("expected a value", at: position)
        }
        position += count
    }

    /// Steps over any value, checking it. Nested at most 64 deep.
    @_lifetime(self: copy self)
    public mutating func skipValue() throws(JSONSyntaxError) {
        var depth = 0
        var objects: UInt64 = 0  // Bit 0: whether the innermost open value is an object.
        var first = true
        while true {
            var opened = false
            switch peek() {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                guard depth < 64 else { throw JSONSyntaxError("nested more than 64 deep", at: position) }
                objects = objects << 1 | (byte(position) == UInt8(ascii: "{") ? 1 : 0)
                depth += 1
                position += 1
                opened = true
            case UInt8(ascii: "\""): try string()
            case UInt8(ascii: "t"): try literal("true")
            case UInt8(ascii: "f"): try literal("false")
            case UInt8(ascii: "n"): try literal("null")
            default: _ = try number()
            }
            first = opened
            while depth > 0 {
                let more = objects & 1 == 1 ? try nextKey(&first) : try nextElement(&first)
                if more { break }
                objects >>= 1
                depth -= 1
                first = false
            }
            if depth == 0 { return }
        }
    }

    /// Checks that only white space is left.
    @_lifetime(self: copy self)
    public mutating func end() throws(JSONSyntaxError) {
        guard peek() == 0 else { throw JSONSyntaxError("more text after the value", at: position) }
    }

    private func hexDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case 0x30...0x39: UInt32(byte - 0x30)
        case 0x41...0x46: UInt32(byte - 0x41 + 10)
        case 0x61...0x66: UInt32(byte - 0x61 + 10)
        default: nil
        }
    }

    private func decodedText() -> String {
        var text: [UInt8] = []
        text.reserveCapacity(stringEnd - stringStart)
        var offset = stringStart
        while offset < stringEnd {
            let next = byte(offset)
            guard next == UInt8(ascii: "\\"), offset + 1 < stringEnd else {
                text.append(next)
                offset += 1
                continue
            }
            switch byte(offset + 1) {
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "u"):
                var unit = codeUnit(at: offset)
                if unit & 0xFC00 == 0xD800, offset + 12 <= stringEnd, byte(offset + 6) == UInt8(ascii: "\\"),
                    byte(offset + 7) == UInt8(ascii: "u")
                {
                    let low = codeUnit(at: offset + 6)
                    if low & 0xFC00 == 0xDC00 {
                        unit = 0x10000 + (unit & 0x3FF) << 10 + low & 0x3FF
                        offset += 6
                    }
                }
                let scalar = Unicode.Scalar(unit) ?? "\u{FFFD}"
                text.append(contentsOf: Array(String(Character(scalar)).utf8))
                offset += 4
            default: text.append(byte(offset + 1))
            }
            offset += 2
        }
        return String(decoding: text, as: UTF8.self)
    }

    private func codeUnit(at offset: Int) -> UInt32 {
        var unit: UInt32 = 0
        for index in offset + 2..<offset + 6 { unit = unit << 4 | (hexDigit(byte(index)) ?? 0) }
        return unit
    }
}
