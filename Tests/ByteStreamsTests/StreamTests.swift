import ByteStreams
import CZstd
import ServingCore
import Testing

@Suite struct StreamTests {
    let text = (1...2000).map { "line \($0) of a text that repeats itself" }
    var bytes: [UInt8] { Array(text.joined(separator: "\n").utf8) + [0x0A] }

    @Test func `plain, compressed, concatenated, skippable and framed forms give the same lines`() throws {
        let bytes = bytes
        let middle = bytes.count / 2
        let skippable: [UInt8] = [0x53, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]
        let (a, b) = (Array(bytes[..<middle]), Array(bytes[middle...]))
        #expect(try lines(bytes) == text)
        #expect(try lines(zstdFrame(bytes)) == text)
        #expect(try lines(zstdFrame(a) + skippable + zstdFrame([]) + zstdFrame(b)) == text)
        #expect(try lines(skippable + zstdFrame(bytes, checksum: false)) == text)
        #expect(try lines(framed(text.map { zstdFrame(Array($0.utf8)) })) == text)
        #expect(try lines(framed([zstdFrame(bytes)])) == text)
        #expect(try lines(framed([zstdFrame(bytes.dropLast())])) == text)
    }

    @Test func `a stream cut anywhere gives whole lines from its start and says that it was cut`() throws {
        let whole = zstdFrame(Array(bytes[..<40000])) + zstdFrame(Array(bytes[40000...]))
        for cut in stride(from: 8, to: whole.count, by: 37) {
            var reader = LineReader(stream: try ByteStream(bytes: Array(whole[..<cut]), name: "test"))
            var count = 0
            while try reader.next() {
                let line = reader.line.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
                if line != text[count] { Issue.record("line \(count + 1) is \(line)") }
                count += 1
            }
            let atFrameEnd = cut == zstdFrame(Array(bytes[..<40000])).count
            let isTruncated = reader.isTruncated
            #expect(isTruncated == !atFrameEnd)
        }
    }

    @Test func `a framed file keeps every message but the damaged and the cut one`() throws {
        var messages = (0..<5).map { zstdFrame(Array("message \($0)".utf8)) }
        messages[2][messages[2].count - 1] ^= 1
        var reader = LineReader(
            stream: try ByteStream(bytes: framed(messages).dropLast(2), name: "test"))
        var kept: [String] = []
        while try reader.next() {
            kept.append(reader.line.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
        }
        #expect(kept == ["message 0", "message 1", "message 3"])
        let (damaged, truncated) = (reader.damagedFrames, reader.isTruncated)
        #expect(damaged == 1 && truncated)
    }

    @Test func `damage, foreign binary formats and impossible lengths are refused`() throws {
        var damaged = zstdFrame(bytes)
        damaged[damaged.count / 2] ^= 4
        #expect(throws: InvalidInput.self) { try lines(damaged) }
        #expect(throws: InvalidInput.self) { try lines([0x28, 0xB5, 0x2F, 0xFE, 1, 2, 3, 4, 5]) }
        #expect(throws: InvalidInput.self) { try lines([0x1F, 0x8B, 8, 0, 0, 0, 0, 0]) }
        let huge: [UInt8] = [0x80, 0, 0, 0] + zstdFrame(bytes)
        #expect(throws: InvalidInput.self) { try lines(huge) }
        #expect(try lines([]) == [])
        #expect(throws: InvalidInput.self) { _ = try ByteStream(path: "/nonexistent/file") }
    }

    @Test func `lines longer than the buffer, without an end, and with carriage returns are read`() throws {
        let long = String(repeating: "x", count: 700_000)
        #expect(try lines(Array("\(long)\r\n\n\(long)y".utf8)) == [long, "", long + "y"])
        func readLimited() throws {
            var reader = LineReader(
                stream: try ByteStream(bytes: Array(long.utf8), name: "test"), maximumLineBytes: 300_000)
            while try reader.next() {}
        }
        #expect(throws: InvalidInput.self) { try readLimited() }
    }
}
