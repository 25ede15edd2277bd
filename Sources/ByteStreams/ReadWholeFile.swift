import ServingCore

/// Reads all of a file, decompressed when it is zstd (or the collector's framed form, its messages one after the
/// other, each ended by a newline).
/// - Parameter limit: a larger file is an error; guards against decompression bombs.
/// - Throws: `InvalidInput` when it cannot be opened, is damaged, ends in the middle of a frame or is too large.
public func readWholeFile(_ path: String, limit: Int = 4 << 30) throws -> [UInt8] {
    var stream = try ByteStream(path: path)
    var bytes: [UInt8] = []
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
    defer { chunk.deallocate() }
    reading: while true {
        switch try stream.read(into: chunk) {
        case .bytes(let count):
            guard count <= limit - bytes.count else {
                throw InvalidInput(source: path, "is larger than \(limit) bytes")
            }
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: chunk[..<count]))
        case .frameEnd:
            if stream.container == .framed { bytes.append(0x0A) }
        case .frameDamaged:
            throw InvalidInput(
                source: path, "is damaged in message \(stream.completeFrames + stream.damagedFrames)")
        case .end: break reading
        }
    }
    if stream.isTruncated { throw InvalidInput(source: path, "is cut off in the middle of a frame") }
    return bytes
}
