import ByteStreams
import ServingCore

/// Reads Mooncake's and Qwen-Bailian's JSON lines: `timestamp` (milliseconds and seconds, respectively),
/// `input_length`, `output_length` and `hash_ids`, one per block of 512 and 16 tokens, the last block partial. Bailian
/// is told by its `chat_id`. Conversations need no more than the hashes, which repeat from turn to turn.
func readJSONLines(_ path: String, _ options: TraceOptions) throws -> RequestTrace {
    var lines = try LineReader(path: path)
    var builder: TraceBuilder?
    var row = TraceLine()
    var misfits = 0
    var blockTokens = 512
    while try lines.next() {
        guard try row.read(lines.line, source: path, line: lines.lineNumber) else { continue }
        if builder == nil {
            builder = TraceBuilder(format: row.hasChatID ? .bailian : .mooncake, source: path)
            blockTokens = options.blockTokens ?? (row.hasChatID ? 16 : 512)
        }
        let unit = builder!.trace.format == .bailian ? 1e9 : 1e6
        // Far beyond what `finish` accepts, but safe to convert and subtract.
        guard abs(row.timestamp) <= 4e18 / unit else {
            throw InvalidInput(
                source: path, line: lines.lineNumber, field: "timestamp", value: "\(row.timestamp)",
                "is out of range", accepted: "a time within 100 years")
        }
        builder!.startBlocks()
        for hash in row.hashes { builder!.addBlock(hash) }
        if !row.hashes.isEmpty, row.hashes.count != (row.input + blockTokens - 1) / blockTokens {
            misfits += 1
        }
        builder!.add(
            arrival: Ticks((row.timestamp * unit).rounded()), prompt: row.input, output: row.output)
    }
    try refuseTruncated(lines.isTruncated, path)
    guard var builder else {
        throw InvalidInput(source: path, "holds no requests", accepted: "at least one request")
    }
    if misfits > 0 {
        builder.warn(
            "\(misfits) requests have more or fewer hash_ids than their input_length needs at \(blockTokens) tokens a "
                + "block; blocks beyond the prompt are left out and tokens without a block are shared with nothing"
        )
    }
    return try builder.finish(options, blockTokens: blockTokens)
}

/// Refuses a compressed file that stops in the middle.
func refuseTruncated(_ isTruncated: Bool, _ path: String) throws(InvalidInput) {
    if isTruncated {
        throw InvalidInput(source: path, "is cut off in the middle of a zstd frame", accepted: "a whole file")
    }
}

/// One line of such a trace; its array is used again for the next.
private struct TraceLine {
    var timestamp = 0.0
    var input = 0
    var output = 0
    var hashes: [UInt64] = []
    var hasChatID = false

    /// Parses a line.
    /// - Returns: false for an empty one.
    mutating func read(_ line: borrowing RawSpan, source: String, line number: Int) throws -> Bool {
        var isBlank = true
        for position in 0..<line.byteCount where line.byte(position) != 0x20 && line.byte(position) != 0x09 {
            isBlank = false
            break
        }
        if isBlank { return false }
        var hasTimestamp = false
        var hasInput = false
        var hasOutput = false
        hashes.removeAll(keepingCapacity: true)
        let failure: InvalidInput? = line.withUnsafeBytes { buffer in
            var json = JSONScanner(RawSpan(_unsafeBytes: buffer))
            var field: String?
            do throws(JSONSyntaxError) {
                try json.beginObject()
                var first = true
                while try json.nextKey(&first) {
                    if json.key(is: "timestamp") {
                        field = "timestamp"
                        timestamp = try json.double()
                        hasTimestamp = true
                    } else if json.key(is: "input_length") {
                        field = "input_length"
                        let range = try json.number()
                        guard let value = tokens(json.bytes, range) else {
                            return Self.tokenFailure("input_length", buffer, range, source, number)
                        }
                        input = value
                        hasInput = true
                    } else if json.key(is: "output_length") {
                        field = "output_length"
                        let range = try json.number()
                        guard let value = tokens(json.bytes, range) else {
                            return Self.tokenFailure("output_length", buffer, range, source, number)
                        }
                        output = value
                        hasOutput = true
                    } else if json.key(is: "hash_ids") {
                        field = "hash_ids"
                        if try json.null() { continue }
                        hashes.removeAll(keepingCapacity: true)
                        try json.beginArray()
                        var firstHash = true
                        while try json.nextElement(&firstHash) {
                            let range = try json.number()
                            let digits = json.bytes.extracting(range)
                            if let value = parseInteger(digits) {
                                hashes.append(UInt64(bitPattern: value))
                            } else if let value = parseUnsigned(digits) {
                                hashes.append(value)
                            } else {
                                return InvalidInput(
                                    source: source, line: number, field: "hash_ids",
                                    value: Self.text(buffer, range), "is not a whole number",
                                    accepted: "whole numbers of 64 bits")
                            }
                        }
                    } else {
                        if json.key(is: "chat_id") { hasChatID = true }
                        field = nil
                        try json.skipValue()
                    }
                    field = nil
                }
                try json.end()
            } catch {
                return InvalidInput(
                    source: source, line: number, field: field,
                    "is not valid JSON at byte \(error.offset + 1): \(error.problem)")
            }
            return nil
        }
        if let failure { throw failure }
        for (name, isThere) in [
            ("timestamp", hasTimestamp), ("input_length", hasInput), ("output_length", hasOutput),
        ] where !isThere {
            throw InvalidInput(source: source, line: number, field: name, "is missing", accepted: "a number")
        }
        return true
    }

    private static func text(_ buffer: UnsafeRawBufferPointer, _ range: Range<Int>) -> String {
        String(decoding: buffer[range].prefix(60), as: UTF8.self)
    }

    private static func tokenFailure(
        _ field: String, _ buffer: UnsafeRawBufferPointer, _ range: Range<Int>, _ source: String, _ line: Int
    ) -> InvalidInput {
        let text = text(buffer, range)
        return InvalidInput(
            source: source, line: line, field: field, value: text, TokenCount.problem(text),
            accepted: TokenCount.accepted)
    }
}

/// A token count at a place of a text; nil when it is none.
private func tokens(_ bytes: RawSpan, _ range: Range<Int>) -> Int? {
    TokenCount.parse(bytes.extracting(range))
}

/// Numbers of tokens as traces write them.
enum TokenCount {
    static let accepted = "a whole number from 1 to 2147483647"

    /// A whole number of tokens, at least 1 and of 31 bits (`12.0` counts as one); nil for anything else.
    static func parse(_ bytes: borrowing RawSpan, from least: Int = 1) -> Int? {
        let value: Int?
        if let whole = parseInteger(bytes) {
            value = Int(whole)
        } else {
            value = parseDouble(bytes).flatMap { Int(exactly: $0) }
        }
        guard let value, value >= least, value <= Int(Int32.max) else { return nil }
        return value
    }

    /// What is wrong with a number that `parse` refused.
    static func problem(_ text: String) -> String {
        guard let value = Double(text), value.isFinite else { return "is not a number" }
        if value < 0 { return "is negative" }
        if value == 0 { return "is zero" }
        return value.rounded() == value ? "is out of range" : "is not a whole number"
    }
}
