import ServingCore

/// Turns the events of a run into metrics while it runs: nothing is stored per token and, beyond the first 65,536,
/// nothing per request. Memory stays below some 15 MB however long the run is.
///
/// Calls come in order of simulated time, give or take one step:
/// - `sent` once per request, when its client sends it;
/// - `step` once per engine step, or once for several in a row with the same waiting, running and KV counts;
/// - `delivered` when tokens reach clients, and `addInterTokenGaps` for those that follow an earlier token;
/// - `finished` once per request, with its record.
public struct MetricsCollector: Sendable {
    private let configuration: MetricsConfiguration
    private let hasObjectives: Bool
    private let warmUpRequests: Int
    private let warmUpTime: Ticks

    /// Time at which measuring starts: sending of the first request after warm-up; nothing is measured before it.
    private var measuredFrom: Ticks = .max
    private var firstSent: Ticks = -1
    private var lastEnd: Ticks = 0

    private var ttft = LatencySeries()
    private var tpot = LatencySeries(fractionBits: 12)
    // Of these there are many more than of the others: one an update, not one a request.
    private var itl = LatencySeries(exactLimit: 16_384)
    private var e2el = LatencySeries()
    private var peaks = PerSecondPeaks()
    private var timeline = StateTimeline()
    private var monitor = SaturationMonitor()

    private var warmUpSeen = 0
    private var counts: (completed: Int, rejected: Int, timedOut: Int, unfinished: Int) = (0, 0, 0, 0)
    private var good = 0
    private var tokens: (input: Int, output: Int, cached: Int) = (0, 0, 0)
    private var preemptions: (total: Int, requests: Int) = (0, 0)
    private var queueTime: Int128 = 0

    /// The engines' state summed up to the start of measuring.
    private var before = StateIntegrals()
    private var most: (waiting: Int, running: Int, kvBlocks: Int) = (0, 0, 0)
    private var kvBlocksTotal = 0

    /// A collector before the first event.
    public init(_ configuration: MetricsConfiguration = MetricsConfiguration()) {
        self.configuration = configuration
        hasObjectives = !configuration.objectives.isEmpty
        switch configuration.warmUp {
        case .none: (warmUpRequests, warmUpTime) = (0, 0)
        case .requests(let count): (warmUpRequests, warmUpTime) = (max(0, count), 0)
        case .time(let time): (warmUpRequests, warmUpTime) = (0, max(0, time))
        }
    }

    /// A client sent the next request.
    /// - Parameters:
    ///   - time: when; never earlier than that of the call before.
    ///   - due: when it would have without its own limit (`--max-concurrency`).
    @inline(__always)
    public mutating func sent(at time: Ticks, due: Ticks) {
        if measuredFrom == .max { decideStart(time) }
        if monitor.sent(at: time, due: due) { monitor.note(timeline.integrals) }
    }

    /// A client sent the next request, when it was due.
    @inline(__always)
    public mutating func sent(at time: Ticks) { sent(at: time, due: time) }

    private mutating func decideStart(_ time: Ticks) {
        if firstSent < 0 { firstSent = time }
        let end = firstSent.addingReportingOverflow(warmUpTime)
        guard monitor.totals.sent >= warmUpRequests, !end.overflow, time >= end.partialValue else { return }
        measuredFrom = time
        before = timeline.integrals
        peaks.origin = time
    }

    /// An engine was in `state` from `start` to `end`: one step, or several in a row whose waiting, running and KV
    /// counts are the same. Where nothing is reported an engine counts as idle and empty.
    @inline(__always)
    public mutating func step(start: Ticks, end: Ticks, state: borrowing StepState) {
        guard end > start else { return }
        timeline.add(from: start, to: end, state)
        if end > lastEnd { lastEnd = end }
        guard start >= measuredFrom else { return }
        most.waiting = max(most.waiting, state.waitingRequests)
        most.running = max(most.running, state.runningRequests)
        most.kvBlocks = max(most.kvBlocks, state.kvBlocksUsed)
        kvBlocksTotal = state.kvBlocksTotal
    }

    /// `count` output tokens, first tokens included, reached clients at `time`.
    @inline(__always)
    public mutating func delivered(_ count: Int, at time: Ticks) { peaks.delivered(count, at: time) }

    /// `count` tokens reached clients, each `gap` after the token before it of the same request, at `time`.
    ///
    /// One call is one entry for the sampling error, so both ways of running a simulation must make the same calls.
    @inline(__always)
    public mutating func addInterTokenGaps(_ gap: Ticks, count: Int, at time: Ticks) {
        guard time >= measuredFrom, count > 0 else { return }
        itl.add(gap, count: count)
    }

    /// A request ended, or the run ended before it.
    public mutating func finished(_ record: borrowing RequestRecord) {
        monitor.ended()
        if record.finished > lastEnd { lastEnd = record.finished }
        guard record.sent >= measuredFrom, record.index >= warmUpRequests else {
            warmUpSeen &+= 1
            return
        }
        switch record.status {
        case .rejected: counts.rejected &+= 1
        case .timedOut: counts.timedOut &+= 1
        case .unfinished: counts.unfinished &+= 1
        case .completed:
            counts.completed &+= 1
            tokens.input &+= record.promptTokens
            tokens.output &+= record.outputTokens
            tokens.cached &+= record.cachedTokens
            queueTime &+= Int128(max(0, record.scheduled - record.queued))
            if record.preemptions > 0 {
                preemptions.total &+= record.preemptions
                preemptions.requests &+= 1
            }
            ttft.add(record.timeToFirstToken)
            e2el.add(record.endToEnd)
            if let time = record.timePerOutputToken { tpot.add(fractionalTicks: time) }
            if hasObjectives, configuration.objectives.areMet(by: record) { good &+= 1 }
            peaks.alive(from: record.sent, to: record.finished)
        }
    }

    /// The metrics of everything so far.
    /// - Parameter end: end of the run when it was cut short by a horizon; otherwise its last event.
    public func metrics(until end: Ticks? = nil) -> SimulationMetrics {
        let percents = configuration.percentiles.sorted()
        var result = SimulationMetrics()
        result.warmUpRequests = warmUpSeen
        result.completed = counts.completed
        result.rejected = counts.rejected
        result.timedOut = counts.timedOut
        result.unfinished = counts.unfinished
        result.totalInputTokens = tokens.input
        result.totalOutputTokens = tokens.output
        result.cachedPromptTokens = tokens.cached
        result.preemptions = preemptions.total
        result.preemptedRequests = preemptions.requests
        result.ttft = ttft.summary(percentiles: percents)
        result.tpot = tpot.summary(percentiles: percents)
        result.itl = itl.summary(percentiles: percents)
        result.e2el = e2el.summary(percentiles: percents)
        if counts.completed > 0 { result.meanQueueTime = queueTime.rounded / Double(counts.completed) / 1e6 }
        result.maxOutputTokensPerSecond = peaks.maxTokensPerSecond
        result.maxConcurrentRequests = peaks.maxConcurrentRequests

        let runEnd = max(end ?? lastEnd, lastEnd)
        let from = measuredFrom == .max ? runEnd : measuredFrom
        let span = max(0, runEnd - from)
        result.start = from.seconds
        result.duration = span.seconds
        let integrals = timeline.integrals - before
        if span > 0 {
            let seconds = span.seconds
            result.requestThroughput = Double(counts.completed) / seconds
            result.outputThroughput = Double(tokens.output) / seconds
            result.totalTokenThroughput = Double(tokens.input + tokens.output) / seconds
            if hasObjectives { result.requestGoodput = Double(good) / seconds }
            let ticks = Double(span)
            result.meanWaitingRequests = integrals.waiting.rounded / ticks
            result.meanRunningRequests = integrals.running.rounded / ticks
            result.busyShare = min(1, Double(integrals.busy) / ticks / Double(configuration.engines))
            if kvBlocksTotal > 0 {
                let blocks = Double(kvBlocksTotal)
                result.meanKVUsage =
                    integrals.kvBlocks.rounded / ticks / blocks / Double(configuration.engines)
                result.peakKVUsage = Double(most.kvBlocks) / blocks
            }
        } else if hasObjectives {
            result.requestGoodput = 0
        }
        let measured = result.completed + result.failed
        if hasObjectives { result.goodShare = measured > 0 ? Double(good) / Double(measured) : 0 }
        result.peakWaitingRequests = most.waiting
        result.peakRunningRequests = most.running
        result.timeline = timeline.samples(
            until: runEnd, kvBlocks: kvBlocksTotal * configuration.engines)
        result.saturation = Saturation(
            monitor, engines: configuration.engines,
            timedOutShare: measured > 0 ? Double(counts.timedOut) / Double(measured) : 0,
            meanEndToEnd: result.e2el.mean.value / 1e3)
        return result
    }
}
