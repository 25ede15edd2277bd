import ByteStreams
import ServingCore

/// Clients of a ServeGen folder: `chunk-N-trace.csv` (no header: start of a 600 s window in seconds, requests/s,
/// coefficient of variation of gaps, name of their distribution, its shape and scale) and `chunk-N-dataset.json`
/// (for each window the lengths of prompts and outputs and the probability of each).
///
/// A generator, not requests: Xiang et al., "ServeGen", NSDI 2026.
struct ServeGenFolder {
    /// A stretch of time in which a client keeps its habits.
    struct Window: Sendable {
        /// Seconds from the start of the folder's data.
        var start = 0.0
        /// Requests per second.
        var rate = 0.0
        /// Spread of gaps.
        var gaps = ArrivalProcess.Gaps.poisson
        /// Prompt lengths.
        var input = WeightedLengths()
        /// Output lengths.
        var output = WeightedLengths()
    }

    /// Lengths and their weights, in a `SamplingTables`.
    struct WeightedLengths: Sendable {
        var weights = SamplingTables.Range()
        var lengths = SamplingTables.Range()
    }

    /// Length of a window, seconds.
    static let windowLength = 600.0

    /// Windows of each client in order of time.
    private(set) var clients: [[Window]] = []
    /// Tables of all lengths.
    private(set) var tables = SamplingTables()
    /// Remarks for the person.
    private(set) var warnings: [String] = []

    /// Reads the folder.
    /// - Throws: `InvalidInput` that names file, line or window, and value.
    init(path: String) throws {
        let names = try entries(of: path)
        let numbers = names.compactMap { Self.number(of: $0, suffix: "-trace.csv") }.sorted()
        guard !numbers.isEmpty else {
            throw InvalidInput(
                source: path, "is a folder without chunk-N-trace.csv",
                accepted: "a file, or a ServeGen folder")
        }
        var missing = 0
        for number in numbers {
            let dataset = try Self.dataset("\(path)/chunk-\(number)-dataset.json", &tables)
            var windows = try Self.windows("\(path)/chunk-\(number)-trace.csv")
            for index in windows.indices where windows[index].rate > 0 {
                if let lengths = dataset[Int64(windows[index].start)] {
                    (windows[index].input, windows[index].output) = lengths
                } else {
                    windows[index].rate = 0
                    missing += 1
                }
            }
            clients.append(windows.filter { $0.rate > 0 })
        }
        guard clients.contains(where: { !$0.isEmpty }) else {
            throw InvalidInput(
                source: path, "holds no window with requests and lengths", accepted: "at least one")
        }
        if missing > 0 { warnings.append("\(path): \(missing) windows without lengths were left out") }
    }

    private static func number(of name: String, suffix: String) -> Int? {
        guard name.hasPrefix("chunk-"), name.hasSuffix(suffix) else { return nil }
        return Int(name.dropFirst(6).dropLast(suffix.count)).flatMap { $0 >= 0 ? $0 : nil }
    }

    // MARK: chunk-N-trace.csv

    private static func windows(_ path: String) throws -> [Window] {
        var lines = try LineReader(path: path)
        var windows: [Window] = []
        while try lines.next() {
            let text = lines.line.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            let fields = text.split(separator: ",", omittingEmptySubsequences: false).map {
                String($0.drop { $0 == " " }.reversed().drop { $0 == " " || $0 == "\r" }.reversed())
            }
            if fields == [""] { continue }
            guard fields.count >= 2 else {
                throw InvalidInput(
                    source: path, line: lines.lineNumber, "has \(fields.count) fields",
                    accepted: "window start, rate, CV, distribution, shape, scale")
            }
            var window = Window()
            window.start = try number(fields[0], "window start", 0...1e9, path, lines.lineNumber)
            if let last = windows.last, window.start < last.start + windowLength {
                throw InvalidInput(
                    source: path, line: lines.lineNumber, field: "window start", value: fields[0],
                    "is less than 600 s after the window before it", accepted: "windows of 600 s in order")
            }
            // Clients that were silent have no rate, or no gaps to describe.
            if !fields[1].isEmpty, fields[1].lowercased() != "nan" {
                window.rate = try number(fields[1], "rate", 0...1e9, path, lines.lineNumber)
            }
            if window.rate > 0 { window.gaps = try gaps(fields, path, lines.lineNumber) }
            windows.append(window)
        }
        try refuseTruncated(lines.isTruncated, path)
        return windows
    }

    private static func gaps(_ fields: [String], _ path: String, _ line: Int) throws -> ArrivalProcess.Gaps {
        let name = fields.count > 3 ? fields[3].lowercased() : ""
        func value(_ index: Int) -> Double? {
            fields.count > index ? Double(fields[index]).flatMap { $0.isFinite && $0 > 0 ? $0 : nil } : nil
        }
        switch name {
        case "gamma", "weibull":
            guard let shape = value(4) else { break }
            return name == "gamma"
                ? .gamma(shape: min(max(shape, ValueRange.smallestShape), 1e6))
                : .weibull(shape: min(max(shape, 0.05), 1e6))
        case "expon", "exponential", "poisson", "": break
        default:
            throw InvalidInput(
                source: path, line: line, field: "distribution", value: fields[3], "is not known",
                accepted: "Gamma, Weibull, Exponential")
        }
        // Without a shape the coefficient of variation says the same about a gamma distribution.
        if name != "expon", name != "exponential", name != "poisson", let variation = value(2) {
            return .gamma(shape: min(max(1 / (variation * variation), ValueRange.smallestShape), 1e6))
        }
        return .poisson
    }

    private static func number(
        _ text: String, _ field: String, _ range: ClosedRange<Double>, _ path: String, _ line: Int
    ) throws(InvalidInput) -> Double {
        guard let value = Double(text), range.contains(value) else {
            throw InvalidInput(
                source: path, line: line, field: field, value: String(text.prefix(60)),
                "is not a number in range",
                accepted: "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    // MARK: chunk-N-dataset.json

    private static func dataset(
        _ path: String, _ tables: inout SamplingTables
    ) throws -> [Int64: (WeightedLengths, WeightedLengths)] {
        let bytes = try readWholeFile(path, limit: 1 << 30)
        var windows: [Int64: (WeightedLengths, WeightedLengths)] = [:]
        var added = tables
        let failure: (any Error)? = bytes.withUnsafeBytes { buffer in
            var json = JSONScanner(RawSpan(_unsafeBytes: buffer))
            do {
                try json.beginObject()
                var first = true
                while try json.nextKey(&first) {
                    let window = json.stringText
                    guard let start = Double(window), abs(start) <= 1e9 else {
                        return InvalidInput(
                            source: path, field: window, "is not the start of a window", accepted: "seconds")
                    }
                    var lengths: [WeightedLengths?] = [nil, nil]
                    try json.beginObject()
                    var firstField = true
                    while try json.nextKey(&firstField) {
                        let field = json.key(is: "input_tokens") ? 0 : json.key(is: "output_tokens") ? 1 : -1
                        guard field >= 0 else {
                            try json.skipValue()
                            continue
                        }
                        let name = json.stringText
                        if json.peek() == UInt8(ascii: "\"") {
                            try json.string()
                            lengths[field] = try weighted(
                                json.stringText, "\(window).\(name)", path, &added)
                        } else {
                            let start = json.position
                            try json.skipValue()
                            lengths[field] = try weighted(
                                String(decoding: buffer[start..<json.position], as: UTF8.self),
                                "\(window).\(name)", path, &added)
                        }
                    }
                    if let input = lengths[0], let output = lengths[1] {
                        windows[Int64(start)] = (input, output)
                    }
                }
                try json.end()
            } catch let error as JSONSyntaxError {
                return InvalidInput(
                    source: path, "is not valid JSON at byte \(error.offset + 1): \(error.problem)")
            } catch {
                return error
            }
            return nil
        }
        if let failure { throw failure }
        tables = added
        return windows
    }

    /// `{12: 0.25, 15: 0.75}`, keys with or without quotes. Nil when it is empty.
    private static func weighted(
        _ text: String, _ field: String, _ path: String, _ tables: inout SamplingTables
    ) throws -> WeightedLengths? {
        var lengths: [Double] = []
        var weights: [Double] = []
        for pair in text.split(whereSeparator: { ",{}".contains($0) }) {
            let sides = pair.split(separator: ":").map { $0.filter { !" \"'\n\t\r".contains($0) } }
            if sides.isEmpty || sides == [""] { continue }
            guard sides.count == 2, let length = Double(sides[0]), let weight = Double(sides[1]), weight >= 0,
                weight.isFinite, length >= 0, length <= Double(Int32.max)
            else {
                throw InvalidInput(
                    source: path, field: field, value: String(pair.prefix(60)),
                    "is not a length and its probability",
                    accepted: "tokens: probability")
            }
            // A length of 0 stands for an empty text; the shortest request has one token.
            lengths.append(max(1, length.rounded()))
            weights.append(weight)
        }
        guard weights.contains(where: { $0 > 0 }) else { return nil }
        return WeightedLengths(weights: tables.addWeights(weights), lengths: tables.addNumbers(lengths))
    }
}
