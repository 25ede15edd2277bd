import ByteStreams
import Testing

@Suite struct JSONScannerTests {
    private func accepts(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        var json = JSONScanner(bytes.span.bytes)
        do {
            try json.skipValue()
            try json.end()
            return true
        } catch { return false }
    }

    @Test func `every text of the grammar is accepted and every other refused`() {
        for text in [
            "1", "-0.5e+3", "\"\"", "null", "true", "[]", "{}", " [1, [2, {\"a\": [] }], \"x\\u00e9\\n\"] ",
            "{\"a\":{\"b\":[1,2,{}]},\"c\":null}", "\"a string longer than eight bytes \\\" and on\"",
        ] { #expect(accepts(text), "\(text)") }
        for text in [
            "", "NaN", "nul", "[1,]", "[,1]", "{\"a\":1,}", "{\"a\"}", "{a:1}", "[1 2]", "01", "1.", "1e",
            "-", "\"",
            "\"\\x\"", "\"\\u12g4\"", "\"\u{01}\"", "[", "]", "{\"a\":1]", "[1}", "1 1", "Infinity", "'a'",
            "tru",
        ] { #expect(!accepts(text), "\(text)") }
        #expect(!accepts(String(repeating: "[", count: 100_000)))
        #expect(accepts(String(repeating: "[", count: 64) + String(repeating: "]", count: 64)))
    }

    @Test func `members are found by key and escapes are decoded`() throws {
        let bytes = Array(
            #"{"skip":[1,{"x":2}],"n":-12,"d":2.5e-1,"s":"\u00e9\uD83D\uDE00\t\"","b":true}"#.utf8)
        var json = JSONScanner(bytes.span.bytes)
        try json.beginObject()
        var first = true
        var seen = 0
        while try json.nextKey(&first) {
            if json.key(is: "n") {
                let value = try json.integer()
                #expect(value == -12)
            } else if json.key(is: "d") {
                let value = try json.double()
                #expect(value == 0.25)
            } else if json.key(is: "s") {
                try json.string()
                let value = json.stringText
                #expect(value == "é😀\t\"")
            } else if json.key(is: "b") {
                let value = try json.boolean()
                #expect(value)
            } else {
                try json.skipValue()
                continue
            }
            seen += 1
        }
        try json.end()
        #expect(seen == 4)
    }
}
