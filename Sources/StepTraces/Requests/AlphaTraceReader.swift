import ServingCore

/// The alpha rows of any number of traces: times of requests outside engine steps, one row a request, in order of
/// queueing.
public struct AlphaTraceReader: ~Copyable {
    /// Deployments met so far.
    public private(set) var groups: [TraceGroup] = []
    /// What reading came upon so far.
    public private(set) var report = TraceReport()

    private let options: TraceOptions
    private let experiments: [TraceExperiment]
    private var nextExperiment = 0
    private var rows: [AlphaRow] = []
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
    public mutating func next(_ row: inout AlphaRow) throws -> Bool {
        while index >= rows.count {
            guard nextExperiment < experiments.count else { return false }
            try open(experiments[nextExperiment])
            nextExperiment += 1
        }
        row = rows[index]
        index += 1
        return true
    }

    private mutating func open(_ experiment: TraceExperiment) throws {
        rows = []
        index = 0
        let files = experiment.assembledFiles.filter { $0.kind == .otlpJSON || $0.kind == .otlpProtobuf }
        guard !files.isEmpty else { return }
        var events = OTLPEvents()
        for (number, file) in files.enumerated() {
            report.files.append(file.path)
            try events.read(file, number: Int16(clamping: number), report: &report)
        }
        events.joinOrphans()
        report.malformedEvents += events.malformed
        report.malformedLines += events.malformedLines
        var configuration = experiment.configuration
        try configuration.merge(options.flags, from: "the flags", existing: experiment.name)
        rows = alphaRows(events)
        guard !rows.isEmpty else { return }
        let name = configuration.model == nil ? lastComponent(experiment.name) : configuration.summary
        let group = TraceGroup(name: name, configuration: configuration)
        let place = groups.firstIndex { $0.configuration == group.configuration } ?? groups.count
        if place == groups.count { groups.append(group) }
        for row in rows.indices { rows[row].group = place }
        report.steps += rows.count
    }
}

/// Follows every request through its spans.
func alphaRows(_ events: OTLPEvents) -> [AlphaRow] {
    let order = StepOrder(events.steps)
    let steps = order.events.sorted { $0.start < $1.start }
    let journeys = events.journeys.indices.filter { events.journeys[$0].time >= 0 }.sorted { a, b in
        let (x, y) = (events.journeys[a], events.journeys[b])
        if x.request != y.request { return x.request < y.request }
        if x.time != y.time { return x.time < y.time }
        return a < b
    }
    var rows: [AlphaRow] = []
    var begin = 0
    while begin < journeys.count {
        let request = events.journeys[journeys[begin]].request
        var end = begin
        var moments = RequestMoments()
        while end < journeys.count, events.journeys[journeys[end]].request == request {
            moments.add(events.journeys[journeys[end]])
            end += 1
        }
        begin = end
        if let row = moments.row(steps: steps) { rows.append(row) }
    }
    for span in events.requests where span.timeInQueue.isFinite && span.timeInQueue >= 0 {
        // Upstream vLLM has the time in the queue as an attribute and no events.
        var row = AlphaRow()
        row.queuedToScheduled = span.timeInQueue
        row.promptTokens = Int(clamping: max(0, span.promptTokens))
        row.outputTokens = Int(clamping: max(0, span.completionTokens))
        row.queue.promptTokens = row.promptTokens
        row.queuedAt = span.startUnixNanoseconds > 0 ? span.startUnixNanoseconds : -1
        rows.append(row)
    }
    rows.sort { $0.queuedAt < $1.queuedAt }
    return rows
}

/// When what happened to a request, ns of the monotonic clock; -1 for what did not.
private struct RequestMoments {
    private var arrived: Int64 = -1
    private var queued: Int64 = -1
    private var scheduled: Int64 = -1
    private var finished: Int64 = -1
    private var departed: Int64 = -1
    private var running: Int32 = -1
    private var waiting: Int32 = -1
    private var promptTokens: Int32 = 0
    private var outputTokens: Int32 = 0

    mutating func add(_ event: JourneyEvent) {
        if event.prefillTotal > 0 { promptTokens = event.prefillTotal }
        if event.decodeDone > outputTokens { outputTokens = event.decodeDone }
        switch event.kind {
        case .arrived: arrived = event.time
        case .queued where queued < 0:
            queued = event.time
            running = event.queueRunning
            waiting = event.queueWaiting
        case .scheduled where scheduled < 0: scheduled = event.time
        case .finished: finished = event.time
        case .departed: departed = event.time
        default: break
        }
    }

    /// - Returns: nil when no two moments give a time.
    func row(steps: [StepEvent]) -> AlphaRow? {
        var row = AlphaRow()
        row.arrivedToQueued = seconds(arrived, queued)
        row.queuedToScheduled = seconds(queued, scheduled)
        row.finishedToDeparted = seconds(finished, departed)
        guard
            row.arrivedToQueued.isFinite || row.queuedToScheduled.isFinite || row.finishedToDeparted.isFinite
        else { return nil }
        row.promptTokens = Int(promptTokens)
        row.outputTokens = Int(outputTokens)
        row.queuedAt = queued >= 0 ? queued : arrived
        row.queue.promptTokens = Int(promptTokens)
        if queued >= 0, let step = lastStep(before: queued, steps) {
            row.queue.runningRequests = Int(step.running)
            row.queue.waitingRequests = Int(step.waiting)
            if step.hasKV {
                row.queue.kvBlocksTotal = Int(step.kvBlocksTotal)
                row.queue.kvBlocksUsed = Int(step.kvBlocksTotal - step.kvBlocksFree)
            }
            row.queueSource = .steps
        }
        if running >= 0, waiting >= 0 {
            row.queue.runningRequests = Int(running)
            row.queue.waitingRequests = Int(waiting)
            row.queueSource = .recorded
        }
        return row
    }

    private func seconds(_ from: Int64, _ to: Int64) -> Double {
        from >= 0 && to >= from ? (to - from).seconds : .nan
    }

    private func lastStep(before time: Int64, _ steps: [StepEvent]) -> StepEvent? {
        var low = 0
        var high = steps.count
        while low < high {
            let middle = (low + high) / 2
            if steps[middle].start <= time { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? steps[low - 1] : nil
    }
}
