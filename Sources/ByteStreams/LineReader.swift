import ServingCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The lines of a file, plain or compressed, one at a time in a buffer that is used again.
///
/// ```swift
/// var lines = try LineReader(path: "trace.jsonl.zst")
/// while try lines.next() {
///     use(lines.line, lines.lineNumber)
/// }
/// ```
/// Of framed files each message ends a line, and a message that cannot be decoded gives none.
public struct LineReader: ~Copyable {
    /// Number of the current line, from 1. Lines of messages that were skipped are not counted.
    public private(set) var lineNumber = 0
    /// Whether the current line ended with a newline (or a message); false only for an unfinished last line.
    public private(set) var lineIsTerminated = true
    /// Whether the file ended in the middle of a frame; what stood after its last whole line was left out.
    public var isTruncated: Bool { stream.isTruncated }
    /// Messages that could not be decoded and were skipped.
    public var damagedFrames: Int { stream.damagedFrames }
    /// Frame that was being read when the current line was handed out; lines of frame numbers below are final.
    public private(set) var frame = 0
    /// How the file is wrapped.
    public var container: ByteStream.Container { stream.container }
    /// What messages call the file.
    public var name: String { stream.name }

    private var stream: ByteStream
    private var buffer: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    private var searched = 0
    private var lineStart = 0
    private var lineEnd = 0
    private var ended = false
    private let wholeMessages: Bool
    private let maximumLineBytes: Int

    /// Reads a file's lines.
    /// - Parameter wholeMessages: hand out each message of a framed file as one line, newlines and all (protobuf).
    /// - Throws: `InvalidInput`.
    public init(path: String, wholeMessages: Bool = false, maximumLineBytes: Int = 256 << 20) throws {
        self.init(
            stream: try ByteStream(path: path), wholeMessages: wholeMessages,
            maximumLineBytes: maximumLineBytes)
    }

    /// Reads a stream's lines.
    /// - Parameters:
    ///   - wholeMessages: hand out each message of a framed file as one line, newlines and all (protobuf).
    ///   - maximumLineBytes: a longer line is an error.
    public init(
        stream: consuming ByteStream, wholeMessages: Bool = false, maximumLineBytes: Int = 256 << 20
    ) {
        self.stream = stream
        self.wholeMessages = wholeMessages
        self.maximumLineBytes = maximumLineBytes
        buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// The current line, without its newline and the carriage return before it.
    public var line: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = RawSpan(
                _unsafeStart: UnsafeRawPointer(buffer.baseAddress!) + lineStart,
                byteCount: lineEnd - lineStart)
            return _overrideLifetime(span, borrowing: self)
        }
    }

    /// Moves to the next line, empty ones included.
    /// - Returns: false at the end.
    /// - Throws: `InvalidInput` when the file is damaged or a line is too long.
    public mutating func next() throws -> Bool {
        while true {
            if searched < end, !(wholeMessages && container == .framed),
                let newline = memchr(buffer.baseAddress! + searched, 0x0A, end - searched)
            {
                let position = UnsafeRawPointer(newline) - UnsafeRawPointer(buffer.baseAddress!)
                return handOut(upTo: position, next: position + 1, terminated: true)
            }
            searched = end
            if ended {
                guard start < end else { return false }
                if container != .plain, isTruncated {
                    // Cut inside a frame: what is left of the line is not all of it.
                    start = end
                    return false
                }
                return handOut(upTo: end, next: end, terminated: false)
            }
            if try fill() { return handOut(upTo: end, next: end, terminated: true) }
        }
    }

    private mutating func handOut(upTo limit: Int, next: Int, terminated: Bool) -> Bool {
        lineStart = start
        lineEnd = limit
        if lineEnd > lineStart, buffer[lineEnd - 1] == 0x0D, !wholeMessages { lineEnd -= 1 }
        start = next
        searched = next
        lineNumber += 1
        lineIsTerminated = terminated
        return true
    }

    /// Reads more bytes behind `end`.
    /// - Returns: true when a message ended and its last (or only) line is in the buffer without a newline.
    private mutating func fill() throws -> Bool {
        makeRoom: do {
            if start == end {
                start = 0
                end = 0
                searched = 0
            }
            if end < buffer.count { break makeRoom }
            if start > 0 {
                buffer.baseAddress!.copyMemory(from: buffer.baseAddress! + start, byteCount: end - start)
                end -= start
                searched -= start
                start = 0
                if end < buffer.count { break makeRoom }
            }
            guard buffer.count < maximumLineBytes else {
                throw InvalidInput(
                    source: name, line: lineNumber + 1, "is longer than \(maximumLineBytes) bytes")
            }
            let larger = UnsafeMutableRawBufferPointer.allocate(
                byteCount: min(buffer.count * 2, maximumLineBytes), alignment: 16)
            larger.copyMemory(from: UnsafeRawBufferPointer(buffer))
            buffer.deallocate()
            buffer = larger
        }
        switch container {
        case .plain, .zstd:
            switch try stream.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[end...])) {
            case .bytes(let count):
                frame = stream.completeFrames
                end += count
            case .frameEnd: break
            case .frameDamaged, .end: ended = true
            }
            return false
        case .framed:
            return try fillMessage()
        }
    }

    /// Reads a whole message, so that nothing of a damaged one is handed out.
    private mutating func fillMessage() throws -> Bool {
        let messageStart = end
        while true {
            if end == buffer.count {
                guard buffer.count < maximumLineBytes else {
                    throw InvalidInput(
                        source: name, "has a message longer than \(maximumLineBytes) bytes")
                }
                let larger = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: min(buffer.count * 2, maximumLineBytes), alignment: 16)
                larger.copyMemory(from: UnsafeRawBufferPointer(buffer))
                buffer.deallocate()
                buffer = larger
            }
            switch try stream.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[end...])) {
            case .bytes(let count): end += count
            case .frameDamaged:
                end = messageStart
                return false
            case .end:
                ended = true
                return false
            case .frameEnd:
                frame = stream.completeFrames
                if end == messageStart { continue }
                if wholeMessages { return true }
                // Lines inside the message are found by the caller; its last one may lack a newline.
                if buffer[end - 1] == 0x0A { return false }
                if memchr(buffer.baseAddress! + start, 0x0A, end - start) == nil { return true }
                try appendNewline()
                return false
            }
        }
    }

    private mutating func appendNewline() throws {
        if end == buffer.count {
            let larger = UnsafeMutableRawBufferPointer.allocate(
                byteCount: buffer.count + 4096, alignment: 16)
            larger.copyMemory(from: UnsafeRawBufferPointer(buffer))
            buffer.deallocate()
            buffer = larger
        }
        buffer[end] = 0x0A
        end += 1
    }
}
