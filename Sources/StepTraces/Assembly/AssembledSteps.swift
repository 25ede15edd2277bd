import ByteStreams
import ServingCore

/// The rows of one experiment whose files have to be read together: step events, journeys, KV events and logs.
struct AssembledSteps {
    /// The deployment.
    let group: TraceGroup

    private var order: StepOrder
    private let asynchronous: Bool
    private let snapshots: SnapshotContexts
    /// Per run, contexts rebuilt from journeys; empty without journeys.
    private var journeys: [JourneyContexts] = []
    private let transfers: [KVEvents.StepTransfers]
    private let blockSize: Int
    private let useRecordedContext: Bool
    private var run = 0
    private var index = 0
    private var transferIndex = 0
    private var log: LogRows?

    /// What the files of an experiment brought.
    struct Material {
        var events = OTLPEvents()
        var kv = KVEvents()
        var logs: [IterationLog] = []
        var configuration = TraceConfiguration()
    }

    /// Reads the files of an experiment.
    /// - Returns: nil when they hold no steps.
    /// - Throws: `InvalidInput`.
    init?(_ experiment: TraceExperiment, options: TraceOptions, report: inout TraceReport) throws {
        guard !experiment.assembledFiles.isEmpty else { return nil }
        var material = Material()
        material.configuration = experiment.configuration
        for (number, file) in experiment.assembledFiles.enumerated() {
            switch file.kind {
            case .otlpJSON, .otlpProtobuf:
                try material.events.read(file, number: Int16(clamping: number), report: &report)
            case .kvEvents:
                material.kv = try KVEvents(path: file.path)
                report.malformedEvents += material.kv.malformedEvents
                report.malformedLines += material.kv.malformedLines
                if material.kv.isTruncated { report.noteTruncation(file.path) }
            case .log:
                let log = try IterationLog(path: file.path)
                report.malformedEvents += log.malformed
                if log.isTruncated { report.noteTruncation(file.path) }
                try material.configuration.merge(
                    log.deployment(blockSize: material.configuration.blockSize), from: file.path,
                    existing: experiment.name)
                material.logs.append(log)
            default: break
            }
        }
        try self.init(material, name: experiment.name, options: options, report: &report)
    }

    /// Puts in order what was read.
    /// - Returns: nil when there are no steps.
    /// - Throws: `InvalidInput` when flags contradict the files.
    init?(_ material: Material, name: String, options: TraceOptions, report: inout TraceReport) throws {
        var events = material.events
        var configuration = material.configuration
        events.joinOrphans()
        Self.note(events, name, &report)
        let order = StepOrder(events.steps)
        report.duplicateEvents += order.duplicates
        report.conflictingEvents += order.conflicts
        if order.conflicts > 0 {
            report.warn(
                "\(name): \(order.conflicts) steps were recorded more than once with different values")
        }
        let reference = StepReference(order)
        for log in material.logs where !log.iterations.isEmpty {
            log.explain(name, reference: reference, report: &report)
        }
        try configuration.merge(options.flags, from: "the flags", existing: name)
        if order.events.isEmpty {
            if !events.journeys.isEmpty {
                report.warn("\(name): journeys without step events give no step rows")
            }
            guard let log = material.logs.first(where: { !$0.iterations.isEmpty }) else { return nil }
            self.log = LogRows(log, blockSize: configuration.blockSize ?? 16)
        }
        asynchronous = Self.scheduling(order, configuration, name, &report)
        Self.noteDurations(order, asynchronous: asynchronous, name, &report)
        snapshots = SnapshotContexts(events.snapshots)
        transfers = material.kv.stepTransfers
        blockSize = configuration.blockSize ?? (material.kv.blockSize > 0 ? material.kv.blockSize : 16)
        if configuration.kvBlocks == nil, let event = order.events.first(where: { $0.hasKV }) {
            configuration.kvBlocks = Int(event.kvBlocksTotal)
        }
        useRecordedContext = options.useRecordedContext
        group = TraceGroup(
            name: configuration.model == nil ? lastComponent(name) : configuration.summary,
            configuration: configuration)
        for event in order.events where !event.hasKV { report.stepsWithoutKV += event.isIncomplete ? 0 : 1 }
        self.order = order
        if !events.journeys.isEmpty, !order.events.isEmpty { buildJourneys(events.journeys) }
    }

    private static func note(_ events: OTLPEvents, _ name: String, _ report: inout TraceReport) {
        report.malformedEvents += events.malformed
        report.incompleteEvents += events.incomplete
        report.malformedLines += events.malformedLines
        report.droppedByExporter += events.droppedByExporter
        if events.droppedByExporter > 0 {
            report.warn(
                "\(name): the exporter dropped \(events.droppedByExporter) events (more than 128 in a span; raise OTEL_SPAN_EVENT_COUNT_LIMIT)"
            )
        }
        if events.malformed > 0 {
            report.warn(
                "\(name): \(events.malformed) events with a malformed or impossible value were dropped")
        }
        if events.incomplete > 0 {
            report.warn("\(name): \(events.incomplete) events lack an attribute that is needed")
        }
    }

    /// Rebuilds contexts run by run, with the step counter of the journeys read as the engine's way of scheduling
    /// says, or the other way when that fits better.
    private mutating func buildJourneys(_ all: [JourneyEvent]) {
        for run in 0..<order.runStarts.count - 1 {
            let slice = order.events[order.runStarts[run]..<order.runStarts[run + 1]]
            guard let first = slice.first, let last = slice.last else { continue }
            let single = order.runStarts.count == 2
            // A journey belongs to the run in whose time it was scheduled.
            let margin: Int64 = 60_000_000_000
            var members: Set<UInt64> = []
            if !single {
                for event in all
                where event.kind == .scheduled && event.time >= first.start - margin / 1000
                    && event.time <= last.end + margin / 1000
                {
                    members.insert(event.request)
                }
            }
            let mine = single ? all : all.filter { members.contains($0.request) }
            let lag: Int64 = asynchronous ? 1 : 0
            let expected = JourneyContexts(events: slice, journeys: mine, lag: lag)
            if expected.validSteps * 2 < slice.count {
                let other = JourneyContexts(events: slice, journeys: mine, lag: 1 - lag)
                journeys.append(other.validSteps > expected.validSteps ? other : expected)
            } else {
                journeys.append(expected)
            }
        }
    }

    /// Whether steps were scheduled asynchronously: as the configuration says, else as the times show.
    private static func scheduling(
        _ order: StepOrder, _ configuration: TraceConfiguration, _ name: String, _ report: inout TraceReport
    ) -> Bool {
        let agreement = StepCycle.agreement(order)
        let shown = agreement.asynchronous > agreement.synchronous
        let figures =
            "step time and tokens correlate \(twoDecimals(agreement.synchronous)) by the synchronous rule, \(twoDecimals(agreement.asynchronous)) by the asynchronous"
        if let stated = configuration.asyncScheduling {
            if agreement.isTelling, shown != stated {
                report.warn(
                    "\(name): the configuration says \(stated ? "asynchronous" : "synchronous") scheduling, the times say otherwise: \(figures)"
                )
            }
            return stated
        }
        guard !order.events.isEmpty else { return false }
        if agreement.isTelling {
            report.warn(
                "\(name): nothing says how steps were scheduled; taken for \(shown ? "asynchronous" : "synchronous"): \(figures)"
            )
            return shown
        }
        report.warn(
            "\(name): nothing says how steps were scheduled and the times do not show it; taken for synchronous (say --async-scheduling or --no-async-scheduling)"
        )
        return false
    }

    /// Says so when `step.duration_us` is not the time of a step.
    private static func noteDurations(
        _ order: StepOrder, asynchronous: Bool, _ name: String, _ report: inout TraceReport
    ) {
        var ratios: [Double] = []
        for run in 0..<order.runStarts.count - 1 {
            let end = order.runStarts[run + 1]
            for index in order.runStarts[run]..<end {
                let event = order.events[index]
                let cycle = StepCycle(order.events, index, end: end, asynchronous: asynchronous)
                guard cycle.exclusion == nil, event.durationMicroseconds > 0 else { continue }
                ratios.append(Double(event.durationMicroseconds) * 1000 / Double(cycle.length))
            }
        }
        guard !ratios.isEmpty else { return }
        ratios.sort()
        let median = ratios[ratios.count / 2]
        if median < 0.5 {
            report.warn(
                "\(name): step.duration_us is \(twoDecimals(median * 100)) % of the cycle (median): it is the time of schedule() alone; the cycle from schedule() to schedule() is used"
            )
        }
    }

    /// Reads the next row, usable or not.
    /// - Returns: false at the end.
    mutating func next(_ row: inout StepRow) -> Bool {
        if log != nil { return log!.next(&row) }
        while index >= order.runStarts[run + 1] {
            run += 1
            if run >= order.runStarts.count - 1 { return false }
        }
        let event = order.events[index]
        let cycle = StepCycle(
            order.events, index, end: order.runStarts[run + 1], asynchronous: asynchronous)
        row.stepID = event.id
        row.start = cycle.start
        row.run = run
        row.group = 0
        row.exclusion = cycle.exclusion
        row.seconds = cycle.exclusion == nil ? cycle.length.seconds : .nan
        row.targetSource =
            cycle.exclusion != nil ? .none : asynchronous ? .asynchronousCycle : .synchronousCycle
        fillState(event, &row)
        index += 1
        return true
    }

    private mutating func fillState(_ event: StepEvent, _ row: inout StepRow) {
        let rebuilt = journeyState()
        if event.hasContext, useRecordedContext {
            row.contextSource = .recorded
            row.state = event.recordedState(journey: rebuilt)
        } else if !snapshots.isEmpty, let state = snapshots.state(of: event) {
            row.contextSource = .snapshots
            row.state = state
        } else if let rebuilt {
            row.contextSource = .journeys
            row.state = rebuilt
        } else {
            row.state = event.stateWithoutContext
            row.contextSource = event.hasKV ? .kvUsage : .unknown
            if event.hasKV { row.state.estimateContext(event, blockSize: blockSize) }
        }
        row.state.runningRequests = Int(event.running)
        row.state.waitingRequests = Int(event.waiting)
        row.state.kvBlocksTotal = event.hasKV ? Int(event.kvBlocksTotal) : 0
        row.state.kvBlocksUsed = event.hasKV ? Int(event.kvBlocksTotal - event.kvBlocksFree) : 0
        while transferIndex < transfers.count, transfers[transferIndex].step < event.id { transferIndex += 1 }
        if transferIndex < transfers.count, transfers[transferIndex].step == event.id {
            row.state.blocksToOffload = transfers[transferIndex].blocksToOffload
            row.state.blocksToRestore = transfers[transferIndex].blocksToRestore
        }
    }

    private func journeyState() -> StepState? {
        guard run < journeys.count else { return nil }
        let place = index - order.runStarts[run]
        return journeys[run].isValid.indices.contains(place) && journeys[run].isValid[place]
            ? journeys[run].states[place] : nil
    }
}

extension StepEvent {
    /// Requests and tokens by the work they do, contexts left at 0.
    ///
    /// vLLM counts a resumed request that recomputes its tokens as decode: more decode tokens than decode requests
    /// give it away.
    var stateWithoutContext: StepState {
        var state = StepState()
        let extra = decodeTokens - decodeRequests
        let recomputes: Int32 = extra > 0 && decodeRequests > 0 ? 1 : 0
        state.decodeRequests = Int(decodeRequests - recomputes)
        state.prefillRequests = Int(prefillRequests) + Int(recomputes)
        state.prefillTokens = max(0, Int(scheduledTokens) - state.decodeRequests)
        if state.prefillRequests == 0, state.prefillTokens > 0 { state.prefillRequests = 1 }
        state.prefillAttentionPairs = evenAttentionPairs(
            requests: state.prefillRequests, tokens: state.prefillTokens, contextTokens: 0)
        return state
    }

    /// The state that the event's own context sums give.
    /// - Parameter journey: the same step rebuilt from journeys, for the one sum that the event does not state.
    func recordedState(journey: StepState?) -> StepState {
        var state = StepState()
        state.prefillRequests = Int(chunkRequests)
        state.decodeRequests = Int(singleDecodeRequests)
        state.prefillTokens = max(0, Int(scheduledTokens) - Int(singleDecodeRequests))
        state.decodeContextTokens = Int(decodeContextSum)
        state.prefillAttentionPairs =
            Double(prefillNewTimesContext) + (Double(prefillNewSquared) + Double(state.prefillTokens)) / 2
        if prefillNewTimesContext > 0, state.prefillTokens > 0 {
            if let journey, journey.prefillRequests == state.prefillRequests,
                journey.prefillTokens == state.prefillTokens
            {
                state.prefillContextTokens = journey.prefillContextTokens
            } else {
                // Exact for one request; else as if all had the context that their tokens have on average.
                let mean = Double(prefillNewTimesContext) / Double(state.prefillTokens)
                state.prefillContextTokens = wholeTokens((mean * Double(state.prefillRequests)).rounded())
            }
        }
        return state
    }
}

extension StepState {
    /// Estimates the contexts of decode requests from the KV blocks in use: on average half a block per request is
    /// empty, and what prefills hold is taken to be the tokens of this step.
    mutating func estimateContext(_ event: StepEvent, blockSize: Int) {
        let used = Double(event.kvBlocksTotal - event.kvBlocksFree) * Double(blockSize)
        let held = max(0, used - Double(event.running) * Double(blockSize - 1) / 2)
        guard decodeRequests > 0 else {
            prefillContextTokens = wholeTokens(held - Double(prefillTokens))
            prefillAttentionPairs = evenAttentionPairs(
                requests: prefillRequests, tokens: prefillTokens, contextTokens: Double(prefillContextTokens))
            return
        }
        decodeContextTokens = max(decodeRequests, wholeTokens(held - Double(prefillTokens)))
    }
}

extension TraceReport {
    mutating func noteTruncation(_ name: String) {
        truncatedFiles += 1
        warn("\(name) ends in the middle of a frame or line: what follows is lost")
    }
}

/// A count of tokens from an estimate: at least 0, at most 10^15, so that neither conversion nor sums overflow.
func wholeTokens(_ estimate: Double) -> Int { Int(min(max(0, estimate), 1e15)) }

/// A number with two decimals.
func twoDecimals(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    let hundredths = Int((abs(value) * 100).rounded())
    let fraction = hundredths % 100
    return (value < 0 && hundredths > 0 ? "-" : "") + "\(hundredths / 100)." + (fraction < 10 ? "0" : "")
        + "\(fraction)"
}
