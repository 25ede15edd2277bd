import ByteStreams
import ServingCore

/// The request rows of any number of files of load generators: `vllm bench serve --save-result --save-detailed` and
/// inference-perf's per-request metrics.
public struct RequestTraceReader: ~Copyable {
    /// Deployments met so far.
    public private(set) var groups: [TraceGroup] = []
    /// What reading came upon so far.
    public private(set) var report = TraceReport()

    private let options: TraceOptions
    private let experiments: [TraceExperiment]
    private var nextExperiment = 0
    private var nextFile = 0
    private var rows: [RequestRow] = []
    private var index = 0

    /// Looks at what is there; nothing is read yet.
    /// - Throws: `InvalidInput` when a path does not exist or holds no trace.
    public init(paths: [String], options: TraceOptions = .init()) throws {
        self.options = options
        experiments = try TraceExperiment.find(paths: paths, options: options)
    }

    /// Reads the next row.
    /// - Returns: false at the end.
    /// - Throws: `InvalidInput`.
    public mutating func next(_ row: inout RequestRow) throws -> Bool {
        while index >= rows.count {
            guard nextExperiment < experiments.count else { return false }
            let experiment = experiments[nextExperiment]
            guard nextFile < experiment.requestFiles.count else {
                nextExperiment += 1
                nextFile = 0
                continue
            }
            try open(experiment.requestFiles[nextFile], experiment)
            nextFile += 1
        }
        row = rows[index]
        index += 1
        return true
    }

    private mutating func open(_ file: TraceFile, _ experiment: TraceExperiment) throws {
        report.files.append(file.path)
        let bytes = try readWholeFile(file.path, limit: 2 << 30)
        let measured = try RequestMeasurements(bytes, kind: file.kind, name: file.path)
        rows = measured.rows
        index = 0
        report.malformedEvents += measured.malformed
        if measured.malformed > 0 {
            report.warn("\(file.path): \(measured.malformed) requests with malformed values were dropped")
        }
        var configuration = experiment.configuration
        if configuration.model == nil { configuration.model = measured.model }
        try configuration.merge(options.flags, from: "the flags", existing: file.path)
        let group = TraceGroup(name: configuration.summary, configuration: configuration)
        let place = groups.firstIndex { $0.configuration == group.configuration } ?? groups.count
        if place == groups.count { groups.append(group) }
        for row in rows.indices { rows[row].group = place }
        report.steps += rows.count
    }
}

/// The requests of one file.
public struct RequestMeasurements: Equatable, Sendable {
    /// In the file's order.
    public private(set) var rows: [RequestRow] = []
    /// Model that the file names.
    public private(set) var model: String?
    /// Requests whose values cannot be used.
    public private(set) var malformed = 0

    /// Reads a file of either kind.
    /// - Throws: `InvalidInput` when it is not valid JSON or its arrays differ in length.
    public init(_ bytes: [UInt8], kind: TraceKind, name: String) throws {
        do {
            if kind == .benchResult {
                try readBench(bytes.span.bytes, name)
            } else {
                try readLifecycles(bytes.span.bytes)
            }
        } catch let error as JSONSyntaxError {
            let line = bytes.prefix(error.offset).reduce(1) { $0 + ($1 == 0x0A ? 1 : 0) }
            throw InvalidInput(source: name, line: line, "is not valid: \(error.problem)")
        }
        let start = rows.lazy.map(\.sent).filter(\.isFinite).min() ?? 0
        for row in rows.indices { rows[row].sent -= start }
    }

    /// `vllm bench serve`: arrays with one element a request.
    private mutating func readBench(_ bytes: RawSpan, _ name: String) throws {
        var json = JSONScanner(bytes)
        var columns = BenchColumns()
        try json.beginObject()
        var first = true
        while try json.nextKey(&first) {
            if json.key(is: "model_id") {
                if try json.null() { continue }
                try json.string()
                model = json.stringText
            } else if json.key(is: "input_lens") {
                columns.inputs = try json.numbers()
            } else if json.key(is: "output_lens") {
                columns.outputs = try json.numbers()
            } else if json.key(is: "ttfts") {
                columns.firsts = try json.numbers()
            } else if json.key(is: "start_times") {
                columns.starts = try json.numbers()
            } else if json.key(is: "itls") {
                try json.beginArray()
                var firstList = true
                while try json.nextElement(&firstList) {
                    if json.peek() == UInt8(ascii: "[") {
                        columns.gapSums.append(try json.numbers().reduce(0, +))
                    } else {
                        columns.gapSums.append(.nan)
                        try json.skipValue()
                    }
                }
            } else if json.key(is: "errors") {
                if try json.null() { continue }
                try json.beginArray()
                var firstError = true
                while try json.nextElement(&firstError) {
                    if json.peek() == UInt8(ascii: "\"") {
                        try json.string()
                        columns.failed.append(json.stringStart < json.stringEnd)
                    } else {
                        columns.failed.append(try !json.null())
                    }
                }
            } else {
                try json.skipValue()
            }
        }
        try json.end()
        let count = columns.inputs.count
        guard count > 0, columns.firsts.count == count else {
            throw InvalidInput(
                source: name, field: "ttfts", "has \(columns.firsts.count) elements for \(count) requests",
                accepted: "the result of vllm bench serve --save-result --save-detailed")
        }
        for (field, length) in [
            ("output_lens", columns.outputs.count), ("itls", columns.gapSums.count),
            ("errors", columns.failed.count),
            ("start_times", columns.starts.count),
        ] where length != 0 && length != count {
            throw InvalidInput(source: name, field: field, "has \(length) elements for \(count) requests")
        }
        for index in 0..<count { add(columns, index) }
    }

    private struct BenchColumns {
        var inputs: [Double] = []
        var outputs: [Double] = []
        var firsts: [Double] = []
        var starts: [Double] = []
        var gapSums: [Double] = []
        var failed: [Bool] = []
    }

    private mutating func add(_ columns: BenchColumns, _ index: Int) {
        var row = RequestRow()
        guard let prompt = Int(exactly: columns.inputs[index]), prompt >= 0,
            let output = columns.outputs.isEmpty ? 0 : Int(exactly: columns.outputs[index]), output >= 0,
            columns.firsts[index] >= 0
        else {
            malformed += 1
            return
        }
        row.promptTokens = prompt
        row.outputTokens = output
        row.timeToFirstToken = columns.firsts[index]
        row.sent = columns.starts.isEmpty ? .nan : columns.starts[index]
        row.succeeded = columns.failed.isEmpty ? row.timeToFirstToken > 0 : !columns.failed[index]
        if !columns.gapSums.isEmpty, columns.gapSums[index].isFinite {
            row.endToEnd = row.timeToFirstToken + columns.gapSums[index]
            if output > 1 { row.timePerOutputToken = columns.gapSums[index] / Double(output - 1) }
        }
        rows.append(row)
    }

    /// inference-perf: a list of request objects.
    private mutating func readLifecycles(_ bytes: RawSpan) throws(JSONSyntaxError) {
        var json = JSONScanner(bytes)
        try json.beginArray()
        var firstElement = true
        while try json.nextElement(&firstElement) {
            var request = Lifecycle()
            try readLifecycle(&json, &request, depth: 0)
            if let row = request.row { rows.append(row) } else { malformed += 1 }
        }
        try json.end()
    }

    private struct Lifecycle {
        var start = Double.nan
        var end = Double.nan
        var firstToken = Double.nan
        var lastToken = Double.nan
        var inputs = -1.0
        var outputs = -1.0
        var tokenTimes = 0
        var failed = false

        /// - Returns: nil when the times or lengths cannot be.
        var row: RequestRow? {
            guard start.isFinite, end >= start, let prompt = Int(exactly: inputs), prompt >= 0 else {
                return nil
            }
            var row = RequestRow()
            row.sent = start
            row.promptTokens = prompt
            row.outputTokens = Int(exactly: outputs).map { max(0, $0) } ?? tokenTimes
            row.succeeded = !failed
            row.endToEnd = end - start
            if firstToken >= start {
                row.timeToFirstToken = firstToken - start
                if row.outputTokens > 1, lastToken >= firstToken {
                    row.timePerOutputToken = (lastToken - firstToken) / Double(row.outputTokens - 1)
                }
            }
            return row
        }
    }

    private func readLifecycle(
        _ json: inout JSONScanner, _ request: inout Lifecycle, depth: Int
    ) throws(JSONSyntaxError) {
        try json.beginObject()
        var first = true
        while try json.nextKey(&first) {
            let next = json.peek()
            let isNumber = next == UInt8(ascii: "-") || next &- 0x30 <= 9
            if json.key(is: "start_time"), isNumber {
                request.start = try json.double()
            } else if json.key(is: "end_time"), isNumber {
                request.end = try json.double()
            } else if json.key(is: "input_tokens") || json.key(is: "prompt_tokens"), isNumber {
                request.inputs = try json.double()
            } else if json.key(is: "output_tokens") || json.key(is: "completion_tokens"), isNumber {
                request.outputs = try json.double()
            } else if json.key(is: "output_token_times"), next == UInt8(ascii: "[") {
                let times = try json.numbers()
                request.tokenTimes = times.count
                request.firstToken = times.first ?? .nan
                request.lastToken = times.last ?? .nan
            } else if json.key(is: "error") {
                if try !json.null() {
                    request.failed = true
                    try json.skipValue()
                }
            } else if json.key(is: "info") || json.key(is: "request") || json.key(is: "response"),
                next == UInt8(ascii: "{"), depth < 4
            {
                try readLifecycle(&json, &request, depth: depth + 1)
            } else {
                try json.skipValue()
            }
        }
    }
}

extension JSONScanner {
    /// Steps over an array of numbers; null becomes not a number.
    @_lifetime(self: copy self)
    mutating func numbers() throws(JSONSyntaxError) -> [Double] {
        var values: [Double] = []
        if try null() { return values }
        try beginArray()
        var first = true
        while try nextElement(&first) { values.append(try null() ? .nan : double()) }
        return values
    }
}
