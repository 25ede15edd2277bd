import ByteStreams
import ServingCore

extension RequestTrace {
    /// Reads a request trace, plain or zstd, its format recognised by content.
    ///
    /// Azure, BurstGPT, Vidur, measured runs and any CSV with an arrival, a prompt-length and an output-length column
    /// under a common name; Mooncake and Qwen-Bailian JSON lines. The first request arrives at time 0; requests that
    /// are out of order are sorted, with a warning.
    /// - Throws: `InvalidInput` that names file, line, field and value.
    public init(contentsOf path: String, options: TraceOptions = TraceOptions()) throws {
        switch try InputKind(of: path) {
        case .jsonLines: self = try readJSONLines(path, options)
        case .csv: self = try readCSV(path, options)
        case .yaml, .folder:
            throw InvalidInput(
                source: path, "is not a request trace", accepted: "CSV with a header line, or JSON lines")
        }
    }
}

/// What kind of text a workload or trace file holds.
enum InputKind {
    case csv, jsonLines, yaml, folder

    /// Looks at the first line that says something.
    init(of path: String) throws {
        if isFolder(path) {
            self = .folder
            return
        }
        var lines = try LineReader(path: path)
        while try lines.next() {
            let line = lines.line
            var position = 0
            while position < line.byteCount, isSpace(line.byte(position)) { position += 1 }
            guard position < line.byteCount, line.byte(position) != UInt8(ascii: "#") else { continue }
            self = Self.kind(of: line, from: position)
            return
        }
        throw InvalidInput(source: path, "is empty", accepted: "requests, or a workload in YAML")
    }

    private static func kind(of line: borrowing RawSpan, from start: Int) -> InputKind {
        if line.byte(start) == UInt8(ascii: "{") { return isTraceLine(line) ? .jsonLines : .yaml }
        for position in start..<line.byteCount {
            if line.byte(position) == UInt8(ascii: ":") { return .yaml }
            if line.byte(position) == UInt8(ascii: ",") { return .csv }
        }
        // One word without punctuation: a CSV with one column, whose missing columns are then named.
        return line.byteCount >= 3 && line.byte(start) == UInt8(ascii: "-") ? .yaml : .csv
    }

    /// JSON lines are taken for a trace unless the line is an object that has none of a trace's keys.
    private static func isTraceLine(_ line: borrowing RawSpan) -> Bool {
        line.withUnsafeBytes { buffer in
            var json = JSONScanner(RawSpan(_unsafeBytes: buffer))
            var sawKey = false
            do {
                try json.beginObject()
                var first = true
                while try json.nextKey(&first) {
                    sawKey = true
                    if json.key(is: "input_length") || json.key(is: "output_length")
                        || json.key(is: "hash_ids")
                        || json.key(is: "timestamp")
                    {
                        return true
                    }
                    try json.skipValue()
                }
                return !sawKey
            } catch {
                // A broken first line of a trace, or JSON that goes on over several lines.
                return sawKey
            }
        }
    }
}

@inline(__always)
private func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0xEF || byte == 0xBB || byte == 0xBF
}

extension RawSpan {
    /// The byte at a checked offset.
    @inline(__always)
    func byte(_ offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < byteCount)
        return unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }
}
