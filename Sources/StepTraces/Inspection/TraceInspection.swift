import ServingCore

/// What is in a trace and what is wrong with it.
public struct TraceInspection: Sendable {
    /// A file and what it holds.
    public struct File: Equatable, Sendable, Encodable {
        /// Where.
        public var path: String
        /// What, in words.
        public var kind: String
    }

    /// Files read, in order.
    public private(set) var files: [File] = []
    /// Files in the folders that were not recognised.
    public private(set) var ignored: [String] = []
    /// Deployments found.
    public private(set) var groups: [TraceGroup] = []
    /// Usable and all rows of each deployment.
    public private(set) var groupRows: [(usable: Int, all: Int)] = []
    /// Counts and warnings.
    public private(set) var report = TraceReport()
    /// Steps recorded divided by the range of step numbers; nil when rows are not numbered by a scheduler.
    public private(set) var samplingRate: Double?
    /// Tokens a step, of steps with tokens.
    public private(set) var batchTokens = Distribution()
    /// Requests a step, of steps with tokens.
    public private(set) var batchRequests = Distribution()
    /// Mean context of decode requests, of steps with any whose context is known.
    public private(set) var decodeContext = Distribution()
    /// Step time in seconds, of usable rows.
    public private(set) var stepSeconds = Distribution()
    /// ARRIVED -> QUEUED, seconds.
    public private(set) var arrivedToQueued = Distribution()
    /// QUEUED -> SCHEDULED, seconds.
    public private(set) var queuedToScheduled = Distribution()
    /// FINISHED -> DEPARTED, seconds.
    public private(set) var finishedToDeparted = Distribution()
    /// Requests with journeys.
    public private(set) var journeys = 0
    /// Requests measured by a load generator.
    public private(set) var requests = 0
    /// Their time to first token, seconds.
    public private(set) var timeToFirstToken = Distribution()
    /// Their end-to-end latency, seconds.
    public private(set) var endToEnd = Distribution()
    /// KV-cache events, and transfers seen from beginning to end.
    public private(set) var kvEvents = 0
    /// Time of a KV transfer, seconds.
    public private(set) var transferSeconds = Distribution()

    /// Reads all of it.
    /// - Throws: `InvalidInput` when nothing of a file can be read.
    public init(paths: [String], options: TraceOptions = .init()) throws {
        let experiments = try TraceExperiment.find(paths: paths, options: options)
        for experiment in experiments {
            for file in experiment.streamed + experiment.assembledFiles + experiment.requestFiles {
                files.append(File(path: file.path, kind: file.kind.rawValue))
                if file.kind == .kvEvents { try addKVEvents(file.path) }
            }
            ignored += experiment.ignored
        }
        try readSteps(paths, options)
        try readJourneys(paths, options)
        try readRequests(paths, options)
        if report.steps == 0, journeys == 0, requests == 0, kvEvents == 0 {
            report.warn("there is no step, journey, request or KV event in it")
        }
    }

    private mutating func readSteps(_ paths: [String], _ options: TraceOptions) throws {
        var options = options
        options.includeExcluded = true
        var reader = try StepTraceReader(paths: paths, options: options)
        var row = StepRow()
        var ranges = StepRanges()
        while try reader.next(&row) {
            while groupRows.count <= row.group { groupRows.append((0, 0)) }
            groupRows[row.group].all += 1
            if row.start >= 0 { ranges.add(row) }
            if row.isUsable {
                groupRows[row.group].usable += 1
                stepSeconds.add(row.seconds)
            }
            guard row.state.batchTokens > 0 else { continue }
            batchTokens.add(Double(row.state.batchTokens))
            batchRequests.add(Double(row.state.prefillRequests + row.state.decodeRequests))
            if row.state.decodeRequests > 0, row.contextSource != .unknown {
                decodeContext.add(Double(row.state.decodeContextTokens) / Double(row.state.decodeRequests))
            }
        }
        samplingRate = ranges.rate
        groups = reader.groups
        report = reader.report
        while groupRows.count < groups.count { groupRows.append((0, 0)) }
    }

    private mutating func readJourneys(_ paths: [String], _ options: TraceOptions) throws {
        var reader = try AlphaTraceReader(paths: paths, options: options)
        var row = AlphaRow()
        while try reader.next(&row) {
            journeys += 1
            arrivedToQueued.add(row.arrivedToQueued)
            queuedToScheduled.add(row.queuedToScheduled)
            finishedToDeparted.add(row.finishedToDeparted)
        }
        if groups.isEmpty { groups = reader.groups }
    }

    private mutating func readRequests(_ paths: [String], _ options: TraceOptions) throws {
        var reader = try RequestTraceReader(paths: paths, options: options)
        var row = RequestRow()
        while try reader.next(&row) {
            requests += 1
            timeToFirstToken.add(row.timeToFirstToken)
            endToEnd.add(row.endToEnd)
        }
        report.malformedEvents += reader.report.malformedEvents
        for warning in reader.report.warnings { report.warn(warning) }
        if groups.isEmpty { groups = reader.groups }
    }

    private mutating func addKVEvents(_ path: String) throws {
        let events = try KVEvents(path: path)
        kvEvents += events.events
        for transfer in events.transfers { transferSeconds.add(transfer.seconds) }
    }

    /// Why rows were left out and how many, most first.
    public var exclusions: [(reason: StepExclusion, rows: Int)] {
        StepExclusion.allCases.map { ($0, report.excluded[Int($0.rawValue)]) }.filter { $0.1 > 0 }
            .sorted { $0.1 != $1.1 ? $0.1 > $1.1 : $0.0.rawValue < $1.0.rawValue }
    }
}

/// Ranges of step numbers, run by run.
private struct StepRanges {
    private var run = -1
    private var first: Int64 = 0
    private var last: Int64 = 0
    private var recorded = 0
    private var spanned = 0

    mutating func add(_ row: StepRow) {
        if row.run != run {
            close()
            run = row.run
            first = row.stepID
        }
        last = row.stepID
        recorded += 1
    }

    private mutating func close() {
        // Step numbers may be anything; what no run can span is cut off.
        if run >= 0, last >= first { spanned &+= Int(min(UInt64(bitPattern: last &- first), 1 << 40)) + 1 }
    }

    var rate: Double? {
        var copy = self
        copy.close()
        guard recorded > 0, copy.spanned > 0 else { return nil }
        return min(1, Double(recorded) / Double(copy.spanned))
    }
}
