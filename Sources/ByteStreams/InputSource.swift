import ServingCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Raw bytes as stored: an open file or bytes in memory.
struct InputSource: ~Copyable {
    /// What messages call it.
    let name: String
    private let descriptor: Int32
    private let memory: [UInt8]
    private var memoryPosition = 0
    /// Bytes not yet read; nil when the source is a pipe or a device.
    private(set) var remaining: Int?

    /// Opens a file for reading.
    /// - Throws: `InvalidInput` of kind `noSuchInput` when it cannot be opened or is a folder.
    init(path: String) throws {
        name = path
        memory = []
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        remaining = nil
        guard descriptor >= 0 else {
            let problem =
                errno == ENOENT
                ? "does not exist" : "cannot be opened: \(String(cString: strerror(errno)))"
            throw InvalidInput(.noSuchInput, source: path, problem)
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return }
        let type = status.st_mode & S_IFMT
        if type == S_IFDIR {
            throw InvalidInput(.noSuchInput, source: path, "is a folder", accepted: "a file")
        }
        if type == S_IFREG { remaining = Int(status.st_size) }
    }

    /// Reads from memory.
    init(bytes: [UInt8], name: String) {
        self.name = name
        memory = bytes
        descriptor = -1
        remaining = bytes.count
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Reads up to `destination.count` bytes.
    /// - Returns: the number read; 0 at the end.
    mutating func read(into destination: UnsafeMutableRawBufferPointer) throws -> Int {
        guard !destination.isEmpty else { return 0 }
        var count = 0
        if descriptor < 0 {
            count = min(destination.count, memory.count - memoryPosition)
            if count > 0 {
                let start = memoryPosition
                memory.withUnsafeBytes { source in
                    destination.copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: source[start..<start + count]))
                }
            }
            memoryPosition += count
        } else {
            while true {
                #if canImport(Glibc)
                    count = Glibc.read(descriptor, destination.baseAddress, destination.count)
                #elseif canImport(Musl)
                    count = Musl.read(descriptor, destination.baseAddress, destination.count)
                #else
                    count = Darwin.read(descriptor, destination.baseAddress, destination.count)
                #endif
                if count >= 0 { break }
                if errno == EINTR { continue }
                throw InvalidInput(source: name, "cannot be read: \(String(cString: strerror(errno)))")
            }
        }
        // A file that is still being written may hold more than its size said.
        if let left = remaining { remaining = max(0, left - count) }
        return count
    }
}
