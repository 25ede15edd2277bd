import ByteStreams

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Walks over a line of known shape; every step checks that it stays inside.
struct LineCursor {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Whether nothing but the closing brace is left.
    @inline(__always)
    var isAtEnd: Bool { position == bytes.count - 1 && bytes[position] == UInt8(ascii: "}") }

    @inline(__always)
    private mutating func step(over text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard bytes.count - position >= count,
            memcmp(bytes.baseAddress! + position, text.utf8Start, count) == 0
        else { return false }
        position &+= count
        return true
    }

    /// Digits of a whole number of at most 18 digits.
    @inline(__always)
    private mutating func digits() -> Int? {
        let start = position
        var value = 0
        let limit = min(bytes.count, start &+ 18)
        while position < limit {
            let digit = bytes[position] &- 0x30
            if digit > 9 { break }
            value = value &* 10 &+ Int(digit)
            position &+= 1
        }
        return position > start ? value : nil
    }

    /// A number that cannot be negative.
    @inline(__always)
    mutating func count(after key: StaticString) -> Int? {
        guard step(over: key), let value = digits() else { return nil }
        return isAtDelimiter ? value : nil
    }

    /// A whole number.
    @inline(__always)
    mutating func integer(after key: StaticString) -> Int64? {
        guard step(over: key), position < bytes.count else { return nil }
        let negative = bytes[position] == UInt8(ascii: "-")
        if negative { position &+= 1 }
        guard let value = digits(), isAtDelimiter else { return nil }
        return Int64(negative ? -value : value)
    }

    /// A number of any kind.
    @inline(__always)
    mutating func number(after key: StaticString) -> Double? {
        guard step(over: key) else { return nil }
        let start = position
        if let whole = digits() {
            if isAtDelimiter, whole < 1 << 53 { return Double(whole) }
        }
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") { break }
            position &+= 1
        }
        return parseDouble(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[start..<position])))
    }

    @inline(__always)
    private var isAtDelimiter: Bool {
        position < bytes.count
            && (bytes[position] == UInt8(ascii: ",") || bytes[position] == UInt8(ascii: "}"))
    }

    /// The member that says where context lengths come from.
    @inline(__always)
    mutating func contextSource() -> ContextSource? {
        if step(over: ",\"context\":\"recorded\"") { return .recorded }
        if step(over: ",\"context\":\"snapshots\"") { return .snapshots }
        if step(over: ",\"context\":\"journeys\"") { return .journeys }
        if step(over: ",\"context\":\"kv-usage\"") { return .kvUsage }
        return nil
    }

    /// The member that says where the target comes from.
    @inline(__always)
    mutating func targetSource() -> TargetSource? {
        if step(over: ",\"target\":\"recorded\"") { return .recorded }
        if step(over: ",\"target\":\"synchronous-cycle\"") { return .synchronousCycle }
        if step(over: ",\"target\":\"asynchronous-cycle\"") { return .asynchronousCycle }
        if step(over: ",\"target\":\"iteration-log\"") { return .iterationLog }
        return nil
    }
}
