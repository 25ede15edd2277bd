import ByteStreams
import ServingCore
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct FileTests {
    @Test func `a written file reads back the same, plain or compressed`() throws {
        try withTemporaryFolder { folder in
            for name in ["a.txt", "a.txt.zst"] {
                var file = try WholeFileWriter(path: "\(folder)/\(name)")
                var expected = ""
                for index in 0..<20_000 {
                    let value = Double(index) / 7
                    file.append(integer: Int64(index) * 1_234_567_890_123 * (index % 2 == 0 ? 1 : -1))
                    file.append(",")
                    file.append(number: value)
                    file.append(byte: 0x0A)
                    expected += "\(index * 1_234_567_890_123 * (index % 2 == 0 ? 1 : -1)),"
                    expected += value == value.rounded() ? "\(Int(value))\n" : "\(value)\n"
                }
                file.append(integer: Int64.min)
                file.append(integer: Int64.max)
                file.append(number: .nan)
                expected += "\(Int64.min)\(Int64.max)null"
                try file.finish()
                #expect(try readWholeFile("\(folder)/\(name)") == Array(expected.utf8))
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 2)
        }
    }

    @Test func `a writer dropped before it finished leaves nothing behind and the old file alone`() throws {
        try withTemporaryFolder { folder in
            func abandon() throws {
                var file = try WholeFileWriter(path: "\(folder)/old.txt")
                file.append("new")
                throw CancellationError()
            }
            try Data("old".utf8).write(to: URL(fileURLWithPath: "\(folder)/old.txt"))
            #expect(throws: CancellationError.self) { try abandon() }
            #expect(try readWholeFile("\(folder)/old.txt") == Array("old".utf8))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["old.txt"])
            #expect(throws: InvalidInput.self) { _ = try WholeFileWriter(path: "\(folder)/none/x") }
        }
    }

    @Test func `CSV fields are found by name and checked`() throws {
        let text = "\u{FEFF}a, b,\"c d\"\r\n1,2.5,\"x,\"\"y\"\"\"\r\n\r\n-3,nan,\n"
        var rows = try CSVReader(
            lines: LineReader(stream: try ByteStream(bytes: Array(text.utf8), name: "test.csv")))
        let header = rows.header
        #expect(header == ["a", "b", "c d"])
        let a = try rows.column("a")
        let b = try rows.column("b")
        let first = try rows.next()
        let values = (try rows.integer(a), try rows.double(b), rows.string(2))
        #expect(first && values == (1, 2.5, "x,\"\"y\"\""))
        let second = try rows.next()
        let (empty, line) = (rows.isEmpty(2), rows.lineNumber)
        #expect(second && empty && line == 4)
        var messages: [String] = []
        do { _ = try rows.double(b) } catch { messages.append("\(error)") }
        do { _ = try rows.integer(a) } catch { messages.append("\(error)") }
        do { _ = try rows.column("B") } catch { messages.append("\(error)") }
        #expect(
            messages == [
                "test.csv:4: b: \"nan\" is not a number (accepted: a finite number)",
                "test.csv:4: a: \"-3\" is not a whole number (accepted: a whole number of at least 0)",
                "test.csv: B: is not a column of this file; did you mean b?",
            ])
        let third = try rows.next()
        #expect(!third)
    }

    @Test func `a row with too many fields or an open quote is an error that names its line`() throws {
        for bad in ["a,b\n1,2,3\n", "a,b\n1,\"2\n", "a,b\n1,\"2\"x\n"] {
            var rows = try CSVReader(
                lines: LineReader(stream: try ByteStream(bytes: Array(bad.utf8), name: "test.csv")))
            var message = ""
            do { _ = try rows.next() } catch { message = "\(error)" }
            #expect(message.hasPrefix("test.csv:2: has "))
        }
    }
}
