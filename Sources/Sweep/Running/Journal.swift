import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Appends outcomes to a journal, a whole line each, so that whatever happens later loses none.
struct Journal: ~Copyable {
    private let path: String
    private let descriptor: Int32

    /// Opens the journal, cuts off what a crash left of a line, and keeps other processes out.
    /// - Throws: `InvalidInput` when it cannot be written, or another process writes to it.
    init(path: String) throws {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Self.cannotWrite(path) }
        // Where the file system knows no locks, nobody is kept out.
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
            throw InvalidInput(.cannotWrite, source: path, "is being written by another stepcast sweep")
        }
        try cutUnfinishedLine()
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private static func cannotWrite(_ path: String) -> InvalidInput {
        InvalidInput(.cannotWrite, source: path, "cannot be written: \(String(cString: strerror(errno)))")
    }

    private func cutUnfinishedLine() throws {
        var end = lseek(descriptor, 0, SEEK_END)
        var byte: UInt8 = 0
        while end > 0 {
            guard pread(descriptor, &byte, 1, end - 1) == 1 else { throw Self.cannotWrite(path) }
            if byte == UInt8(ascii: "\n") { break }
            end -= 1
        }
        guard ftruncate(descriptor, end) == 0 else { throw Self.cannotWrite(path) }
    }

    /// Appends a line and its end with one call.
    /// - Throws: `InvalidInput` of kind `cannotWrite`.
    func append(_ line: String) throws {
        var bytes = Array((line + "\n").utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                throw Self.cannotWrite(path)
            }
            bytes = bytes.dropFirst(count)
        }
    }
}
