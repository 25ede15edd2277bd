import ByteStreams
import CZstd

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// One zstd frame.
func zstdFrame(_ bytes: [UInt8], checksum: Bool = true) -> [UInt8] {
    let context = ZSTD_createCCtx()
    defer { ZSTD_freeCCtx(context) }
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, checksum ? 1 : 0)
    var output = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
    let count = ZSTD_compress2(context, &output, output.count, bytes, bytes.count)
    return Array(output[..<count])
}

/// The collector's length-prefixed form of messages.
func framed(_ messages: [[UInt8]]) -> [UInt8] {
    messages.flatMap { message in
        withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
    }
}

func lines(_ bytes: [UInt8]) throws -> [String] {
    var reader = LineReader(stream: try ByteStream(bytes: bytes, name: "test"))
    var lines: [String] = []
    while try reader.next() {
        lines.append(reader.line.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
    }
    return lines
}

/// A new empty folder that is removed at the end.
func withTemporaryFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/stepcast-tests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
}
