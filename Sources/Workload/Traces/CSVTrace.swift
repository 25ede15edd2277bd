import ByteStreams
import ServingCore

/// Columns of a request trace in CSV, found by their names without regard to case, spaces and underscores.
private struct TraceColumns {
    let format: RequestTrace.Format
    let arrival: Int
    /// Ticks in one unit of a numeric arrival.
    let arrivalUnit: Double
    let prompt: Int
    let output: Int
    /// Whether a request succeeded, in measured runs.
    let succeeded: Int?

    private static let arrivalNames: [(names: [String], unit: Double)] = [
        (
            [
                "arrivals", "arrival", "arrivaltime", "arrivaltimes", "arrivedat", "timestamp", "timestamps",
                "time",
                "starttime", "requesttime", "sendtime", "sents", "ts",
            ], 1e9
        ),
        (["arrivalms", "arrivaltimems", "timestampms", "timems", "starttimems", "sendtimems"], 1e6),
        (["arrivalus", "arrivaltimeus", "timestampus", "timeus"], 1e3),
        (["arrivalns", "arrivaltimens", "timestampns", "timens"], 1),
    ]
    private static let promptNames = [
        "prompttokens", "inputtokens", "contexttokens", "numprefilltokens", "requesttokens", "inputlength",
        "inputlen", "promptlen", "promptlength", "numprompttokens", "numinputtokens", "isl", "prefilltokens",
    ]
    private static let outputNames = [
        "outputtokens", "outputtokensrecorded", "generatedtokens", "numdecodetokens", "responsetokens",
        "outputlength", "outputlen", "completiontokens", "numoutputtokens", "decodetokens", "osl",
        "generationtokens", "responselength",
    ]

    init(_ header: [String], source: String, line: Int) throws(InvalidInput) {
        let names = header.map { $0.lowercased().filter { $0 != " " && $0 != "_" && $0 != "-" } }
        func first(_ wanted: [String]) -> Int? {
            for name in wanted {
                if let index = names.firstIndex(of: name) { return index }
            }
            return nil
        }
        var found: (index: Int, unit: Double)?
        for (wanted, unit) in Self.arrivalNames where found == nil {
            found = first(wanted).map { ($0, unit) }
        }
        let shown = header.prefix(12).joined(separator: ",")
        guard let found else {
            throw InvalidInput(
                source: source, line: line, value: shown, "has no column for the time of arrival",
                accepted: "arrival_s, timestamp, arrived_at, …")
        }
        guard let prompt = first(Self.promptNames) else {
            throw InvalidInput(
                source: source, line: line, value: shown, "has no column for the prompt's length",
                accepted: "prompt_tokens, ContextTokens, input_length, num_prefill_tokens, …")
        }
        guard let output = first(Self.outputNames) else {
            throw InvalidInput(
                source: source, line: line, value: shown, "has no column for the output's length",
                accepted: "output_tokens, GeneratedTokens, output_length, num_decode_tokens, …")
        }
        arrival = found.index
        arrivalUnit = found.unit
        self.prompt = prompt
        self.output = output
        succeeded = first(["succeeded", "success"])
        if names[output] == "outputtokensrecorded" {
            format = .measuredRun
        } else if names.contains("contexttokens"), names.contains("generatedtokens") {
            format = .azure
        } else if names.contains("numprefilltokens"), names.contains("numdecodetokens") {
            format = .vidur
        } else if names.contains("requesttokens"), names.contains("responsetokens") {
            format = .burstGPT
        } else {
            format = .csv
        }
    }
}

/// Reads a request trace in CSV.
func readCSV(_ path: String, _ options: TraceOptions) throws -> RequestTrace {
    var rows = try CSVReader(path: path)
    let columns = try TraceColumns(rows.header, source: path, line: rows.lineNumber)
    var builder = TraceBuilder(format: columns.format, source: path)
    // Clients of measured runs record 0 tokens where they failed or lost count; BurstGPT answers of 0 tokens are
    // requests that failed.
    let mayBeZero = columns.format == .measuredRun
    var failures: [Int] = []
    var skipped = 0
    while try rows.next() {
        let arrival = try arrival(rows, columns)
        let output: Int
        if columns.format == .burstGPT, TokenCount.parse(rows.field(columns.output), from: 0) == 0 {
            skipped += 1
            continue
        } else {
            output = try tokens(rows, columns.output, from: mayBeZero ? 0 : 1)
        }
        let failed = try columns.succeeded.map { try !flag(rows, $0) } ?? false
        let prompt = try tokens(rows, columns.prompt, from: mayBeZero && failed ? 0 : 1)
        if mayBeZero, failed { failures.append(builder.count) }
        builder.add(arrival: arrival, prompt: prompt, output: output)
    }
    try refuseTruncated(rows.isTruncated, path)
    if skipped > 0 { builder.warn("\(skipped) requests that got no answer were left out") }
    if mayBeZero { try completeLengths(&builder, failures, options) }
    return try builder.finish(options, blockTokens: 0)
}

/// Seconds (or the column's unit) as a number, or a date and time.
private func arrival(_ rows: borrowing CSVReader, _ columns: TraceColumns) throws -> Ticks {
    let field = rows.field(columns.arrival)
    if let value = parseDouble(field) {
        guard abs(value) <= 4e18 / columns.arrivalUnit else {
            throw rows.failure(columns.arrival, "is out of range", accepted: "a time within 100 years")
        }
        return Ticks((value * columns.arrivalUnit).rounded())
    }
    if let moment = parseDateAndTime(field) { return moment }
    throw rows.failure(
        columns.arrival, "is not a time",
        accepted: "a finite number, or a date and time as 2023-11-16 18:15:46.68")
}

private func tokens(_ rows: borrowing CSVReader, _ column: Int, from least: Int) throws -> Int {
    guard let value = TokenCount.parse(rows.field(column), from: least) else {
        throw rows.failure(column, TokenCount.problem(rows.string(column)), accepted: TokenCount.accepted)
    }
    return value
}

private func flag(_ rows: borrowing CSVReader, _ column: Int) throws -> Bool {
    switch rows.string(column).lowercased() {
    case "1", "true", "1.0": return true
    case "0", "false", "0.0": return false
    default: throw rows.failure(column, "is neither 1 nor 0", accepted: "1, 0, true, false")
    }
}

/// Fills in what the client of a measured run could not record. Requests that failed take the lengths of the
/// successful ones in turn; outputs below 0.9 times the median are what the server was told to generate, if that is
/// known; outputs of 0 tokens are the median otherwise.
private func completeLengths(
    _ builder: inout TraceBuilder, _ failures: [Int], _ options: TraceOptions
) throws {
    let prompts = builder.promptLengths
    let outputs = builder.outputLengths
    var hasFailed = [Bool](repeating: false, count: builder.count)
    for index in failures { hasFailed[index] = true }
    let good = outputs.indices.filter { !hasFailed[$0] && outputs[$0] > 0 }
    let known = outputs.indices.filter { prompts[$0] > 0 && !hasFailed[$0] }
    guard !good.isEmpty, !known.isEmpty else {
        guard builder.count > 0 else { return }
        throw InvalidInput(
            source: builder.trace.source, field: "succeeded",
            "is 0 for every request, so that no lengths are known", accepted: "at least one that succeeded")
    }
    let sorted = good.map { outputs[$0] }.sorted()
    let median = (Double(sorted[(sorted.count - 1) / 2]) + Double(sorted[sorted.count / 2])) / 2
    let typical = Int32(clamping: max(1, Int(median.rounded())))
    var nextPrompt = 0
    var nextOutput = 0
    var unknown = 0
    builder.replaceLengths { index, prompt, output in
        if prompt == 0 {
            prompt = prompts[known[nextPrompt % known.count]]
            nextPrompt += 1
        }
        if hasFailed[index], output == 0 {
            output = outputs[good[nextOutput % good.count]]
            nextOutput += 1
        }
        if let told = options.outputLength {
            if Double(output) < 0.9 * median { output = Int32(clamping: told) }
        } else if output == 0 {
            output = typical
            unknown += 1
        }
    }
    if nextPrompt > 0 {
        builder.warn(
            "\(nextPrompt) requests failed with unknown lengths; they take those of successful ones in turn")
    }
    if unknown > 0 {
        builder.warn("\(unknown) requests are recorded with no output; they take the median, \(typical)")
    }
}
