import CZstd
import ServingCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Writes a file that appears whole or not at all, compressed with zstd when its name ends in `.zst`.
///
/// Bytes go to a temporary file in the same folder; `finish()` renames it. A writer that is dropped before removes
/// it. A path that is a device or a pipe (`/dev/stdout`) is written directly.
/// ```swift
/// var file = try WholeFileWriter(path: "result.csv.zst")
/// file.append("id,seconds\n")
/// file.append(integer: 7); file.append(byte: UInt8(ascii: ",")); file.append(number: 0.25)
/// try file.finish()
/// ```
/// Appending never throws, so it can stand in the innermost loop; a failure to write is thrown by `finish()` (and
/// `checkForFailure()`).
public struct WholeFileWriter: ~Copyable {
    /// Where the file will be.
    public let path: String
    private let target: String
    private let temporaryPath: String?
    private var descriptor: Int32
    private let encoder: OpaquePointer?
    private let buffer: UnsafeMutableRawBufferPointer
    private var used = 0
    private let compressed: UnsafeMutableRawBufferPointer
    private var failure: String?

    private static let capacity = 128 << 10

    /// Creates the temporary file.
    /// - Parameter compressionLevel: of zstd, 1 (fast) to 19.
    /// - Throws: `InvalidInput` of kind `cannotWrite`.
    public init(path: String, compressionLevel: Int = 3) throws {
        let opened = try Self.open(path)
        self.path = path
        descriptor = opened.descriptor
        target = opened.target
        temporaryPath = opened.temporaryPath
        buffer = .allocate(byteCount: Self.capacity, alignment: 16)
        if path.hasSuffix(".zst") {
            let context = ZSTD_createCCtx()
            ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(clamping: compressionLevel))
            ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
            encoder = context
            compressed = .allocate(byteCount: ZSTD_CStreamOutSize(), alignment: 16)
        } else {
            encoder = nil
            compressed = .init(start: nil, count: 0)
        }
    }

    private struct Opened {
        var descriptor: Int32 = -1
        var target: String
        var temporaryPath: String?
    }

    private static func open(_ path: String) throws -> Opened {
        var opened = Opened(target: path)
        var status = stat()
        let exists = stat(path, &status) == 0
        if exists, status.st_mode & S_IFMT == S_IFDIR {
            throw InvalidInput(.cannotWrite, source: path, "is a folder", accepted: "a file name")
        }
        if exists, status.st_mode & S_IFMT != S_IFREG {
            opened.descriptor = systemOpen(path, O_WRONLY | O_CLOEXEC, 0)
        } else {
            // A link stays a link: what it points to is replaced.
            if exists, let resolved = realpath(path, nil) {
                opened.target = String(cString: resolved)
                free(resolved)
            }
            var attempt = 0
            repeat {
                let name = temporaryName(for: opened.target, attempt: attempt)
                opened.descriptor = systemOpen(
                    name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? status.st_mode & 0o777 : 0o666)
                opened.temporaryPath = name
                attempt += 1
            } while opened.descriptor < 0 && errno == EEXIST && attempt < 1000
        }
        guard opened.descriptor >= 0 else {
            throw InvalidInput(
                .cannotWrite, source: path, "cannot be written: \(String(cString: strerror(errno)))")
        }
        return opened
    }

    deinit {
        if descriptor >= 0 {
            close(descriptor)
            if let temporaryPath { unlink(temporaryPath) }
        }
        buffer.deallocate()
        compressed.deallocate()
        if let encoder { ZSTD_freeCCtx(encoder) }
    }

    private static func temporaryName(for path: String, attempt: Int) -> String {
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let folder = slash.map { String(path[...$0]) } ?? ""
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        // Names of files are limited to 255 bytes.
        return
            "\(folder).\(String(decoding: name.utf8.prefix(200), as: UTF8.self)).\(getpid()).\(attempt).tmp"
    }

    /// Appends one byte.
    @inline(__always)
    public mutating func append(byte: UInt8) {
        if used == buffer.count { flush() }
        buffer[used] = byte
        used &+= 1
    }

    /// Appends constant text.
    @inline(__always)
    public mutating func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Appends text.
    public mutating func append(text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// Appends bytes.
    public mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { append($0) }
    }

    /// Appends bytes.
    public mutating func append(_ bytes: borrowing RawSpan) {
        bytes.withUnsafeBytes { append($0) }
    }

    /// Appends bytes.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {
            if used == buffer.count { flush() }
            let count = min(rest.count, buffer.count - used)
            UnsafeMutableRawBufferPointer(rebasing: buffer[used..<used + count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
            used += count
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Appends a whole number in decimal.
    public mutating func append(integer: Int64) {
        if buffer.count - used < 20 { flush() }
        used += writeDecimal(integer, to: buffer.baseAddress! + used)
    }

    /// Appends a whole number in decimal.
    @inline(__always)
    public mutating func append(integer: Int) { append(integer: Int64(integer)) }

    /// Appends the shortest decimal that reads back as the same Double; whole numbers below 2^53 without point.
    ///
    /// Not a number and infinity, which JSON and CSV cannot carry, become `null`.
    public mutating func append(number: Double) {
        if let whole = Int64(exactly: number), abs(whole) < 1 << 53, !(whole == 0 && number.sign == .minus) {
            append(integer: whole)
        } else if number.isFinite {
            append(text: number.description)
        } else {
            append("null")
        }
    }

    /// Writes out what has been appended and gives the file its name. Nothing may be appended afterwards.
    /// - Throws: `InvalidInput` of kind `cannotWrite`; the temporary file is removed then.
    public mutating func finish() throws {
        guard descriptor >= 0 else { return }
        flush()
        if encoder != nil { compress(UnsafeRawBufferPointer(start: nil, count: 0), ending: true) }
        do {
            try checkForFailure()
            if close(descriptor) != 0 { throw cannotWrite(String(cString: strerror(errno))) }
            if let temporaryPath, rename(temporaryPath, target) != 0 {
                throw cannotWrite(String(cString: strerror(errno)))
            }
        } catch {
            if let temporaryPath { unlink(temporaryPath) }
            descriptor = -1
            throw error
        }
        descriptor = -1
    }

    /// Throws if something could not be written so far.
    public func checkForFailure() throws {
        if let failure { throw cannotWrite(failure) }
    }

    private func cannotWrite(_ reason: String) -> InvalidInput {
        InvalidInput(.cannotWrite, source: path, "cannot be written: \(reason)")
    }

    private mutating func flush() {
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<used])
        used = 0
        guard !bytes.isEmpty else { return }
        if encoder == nil { writeOut(bytes) } else { compress(bytes, ending: false) }
    }

    private mutating func compress(_ bytes: UnsafeRawBufferPointer, ending: Bool) {
        guard failure == nil else { return }
        var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        var done = false
        while !done {
            var output = ZSTD_outBuffer(dst: compressed.baseAddress, size: compressed.count, pos: 0)
            let left = ZSTD_compressStream2(encoder, &output, &input, ending ? ZSTD_e_end : ZSTD_e_continue)
            if ZSTD_isError(left) != 0 {
                failure = String(cString: ZSTD_getErrorName(left))
                return
            }
            writeOut(UnsafeRawBufferPointer(rebasing: compressed[..<output.pos]))
            done = ending ? left == 0 : input.pos == input.size
        }
    }

    private mutating func writeOut(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while failure == nil, !rest.isEmpty {
            let count = write(descriptor, rest.baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                failure = String(cString: strerror(errno))
            } else {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }
}

/// Writes a number in decimal where at least 20 bytes are free.
/// - Returns: the bytes written.
func writeDecimal(_ value: Int64, to destination: UnsafeMutableRawPointer) -> Int {
    var magnitude = value.magnitude
    var digits = 1
    var limit: UInt64 = 10
    while digits < 19, magnitude >= limit {
        digits += 1
        limit &*= 10
    }
    if digits == 19, magnitude >= 10_000_000_000_000_000_000 { digits = 20 }
    let sign = value < 0 ? 1 : 0
    if sign == 1 { destination.storeBytes(of: UInt8(ascii: "-"), as: UInt8.self) }
    var position = sign + digits - 1
    while position >= sign {
        let (quotient, digit) = magnitude.quotientAndRemainder(dividingBy: 10)
        destination.storeBytes(
            of: UInt8(truncatingIfNeeded: digit) &+ 0x30, toByteOffset: position, as: UInt8.self)
        magnitude = quotient
        position -= 1
    }
    return sign + digits
}

private func systemOpen(_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 { open(path, flags, mode) }
