import ServingCore

/// Whether a deployment kept up with what was offered.
public struct Saturation: Equatable, Sendable {
    /// The three answers.
    public enum Verdict: String, Sendable, CaseIterable {
        /// The queue grew as long as requests came: latencies depend on how long the run was.
        case saturated
        /// The queue did not grow: a longer run would show the same latencies.
        case stable
        /// The run was too short, or too close to the limit, to say.
        case cannotTell = "cannot tell"
    }

    /// The answer.
    public var verdict = Verdict.cannotTell
    /// Why, as a clause with its figures.
    public var reason = ""
    /// Requests sent per second over the second half of the arrivals.
    public var offeredRate = 0.0
    /// Requests ended per second over the same time.
    public var completedRate = 0.0
    /// Growth of the waiting queue (requests held back by the client's own limit included) in requests per
    /// second over the same time; interval at 99 %.
    public var queueGrowth = Estimate(0)
    /// Share of that time in which nothing waited.
    public var emptyQueueShare = 0.0
    /// Mean number of requests waiting or running while requests came.
    public var meanInSystem = 0.0
    /// What Little's law makes of the rate of arrivals and the mean end-to-end latency; equal to `meanInSystem`
    /// in a long steady run, larger when much of the work was left at the last arrival.
    public var littlesLaw = 0.0

    /// A verdict about nothing.
    public init() {}
}

/// Watches arrivals and queues, in constant memory, for the verdict.
///
/// Cumulative totals are noted at every k-th arrival; k doubles when the notes fill up. Counting by arrivals keeps
/// the drain after the last one out of the picture.
struct SaturationMonitor: Sendable {
    private static let capacity = 512

    struct Note: Sendable {
        var time: Ticks = 0
        var sent = 0
        var ended = 0
        /// Sums of the engines' state up to then.
        var state = StateIntegrals()
        /// Sum over requests of how late the client's limit made them.
        var lateness: Int128 = 0
        /// Requests that it made late at all.
        var late = 0
    }

    private(set) var totals = Note()
    private(set) var notes: [Note] = []
    private var every = 1
    private var untilNote = 1
    private(set) var firstDue: Ticks = 0
    private(set) var lastDue: Ticks = 0

    /// Whether a request has been sent.
    var hasStarted: Bool { totals.sent > 0 }

    /// Counts a request sent; true when a note is due.
    @inline(__always)
    mutating func sent(at time: Ticks, due: Ticks) -> Bool {
        if totals.sent == 0 { firstDue = due }
        lastDue = due
        totals.time = time
        totals.sent &+= 1
        if time > due {
            totals.lateness &+= Int128(time) - Int128(due)
            totals.late &+= 1
        }
        untilNote &-= 1
        return untilNote == 0
    }

    /// Takes a note, with the sums of the engines' state so far.
    @inline(never)
    mutating func note(_ state: StateIntegrals) {
        totals.state = state
        notes.append(totals)
        if notes.count == Self.capacity {
            notes = stride(from: 0, to: notes.count, by: 2).map { notes[$0] }
            every *= 2
        }
        untilNote = every
    }

    @inline(__always)
    mutating func ended() { totals.ended &+= 1 }
}

/// What one stretch of the arrivals shows.
struct GrowthOfQueue {
    var offeredRate = 0.0
    var endedRate = 0.0
    /// Of the waiting queue and of requests in the system; requests per second, interval at 99 %.
    var queue = Estimate(0)
    var inSystem = Estimate(0)
    /// Share of time without a queue, at the client or the engine, in each quarter of the stretch.
    var emptyShares: [Double] = []

    /// - Returns: nil when the notes hold fewer than 16 spans of time.
    init?(_ notes: ArraySlice<SaturationMonitor.Note>, engines: Int) {
        guard let first = notes.first, let last = notes.last, last.time > first.time else { return nil }
        let seconds = (last.time - first.time).seconds
        offeredRate = Double(last.sent - first.sent) / seconds
        endedRate = Double(last.ended - first.ended) / seconds
        let spans = Self.spans(notes, 16)
        guard spans.count >= 12 else { return nil }
        queue = Self.growth(spans.map { ($0.middle, $0.waiting + $0.heldBack) })
        inSystem = Self.growth(spans.map { ($0.middle, $0.inSystem + $0.heldBack) })
        emptyShares = Self.spans(notes, 4).map {
            max(0, 1 - $0.queued / Double(engines)) * (1 - $0.late)
        }
    }

    struct Span {
        var middle: Double
        var waiting: Double
        var inSystem: Double
        /// Requests held back at the client, by Little's law from their lateness.
        var heldBack: Double
        /// Share of time with a queue, summed over engines.
        var queued: Double
        /// Share of requests that the client's limit made late.
        var late: Double
    }

    /// Cuts a stretch into about `parts` spans with equally many arrivals, empty ones left out.
    static func spans(_ notes: ArraySlice<SaturationMonitor.Note>, _ parts: Int) -> [Span] {
        var spans: [Span] = []
        guard var from = notes.first else { return [] }
        let steps = notes.count - 1
        for part in 1...parts {
            let to = notes[notes.startIndex + steps * part / parts]
            guard to.time > from.time else { continue }
            let ticks = Double(to.time - from.time)
            let state = to.state - from.state
            spans.append(
                Span(
                    middle: (from.time.seconds + to.time.seconds) / 2,
                    waiting: state.waiting.rounded / ticks,
                    inSystem: (state.waiting + state.running).rounded / ticks,
                    heldBack: (to.lateness - from.lateness).rounded / ticks,
                    queued: Double(state.queued) / ticks,
                    late: Double(to.late - from.late) / Double(max(1, to.sent - from.sent))))
            from = to
        }
        return spans
    }

    /// Drift of a level from its changes between neighbouring spans.
    ///
    /// Near saturation a queue wanders like a random walk; a regression line through a walk looks significant when
    /// it is not. The changes are independent there, so their mean and spread give an honest interval, and a
    /// too wide one where the queue reverts.
    static func growth(_ levels: [(time: Double, value: Double)]) -> Estimate {
        let m = levels.count - 1
        let time = levels[m].time - levels[0].time
        let slope = (levels[m].value - levels[0].value) / time
        var squares = 0.0
        for place in 1...m {
            let change = levels[place].value - levels[place - 1].value
            let residual = change - slope * (levels[place].time - levels[place - 1].time)
            squares += residual * residual
        }
        let error = (squares * Double(m) / Double(m - 1)).squareRoot() / time
        let half = error * studentTCritical(probability: 0.01, degreesOfFreedom: Double(m - 1))
        return Estimate(slope, standardError: error, lower: slope - half, upper: slope + half)
    }

    /// The queue grew for certain and was hardly ever empty in the end.
    var isSaturated: Bool {
        (queue.lower ?? 0) > 0 && queue.value > 0.005 * offeredRate && (emptyShares.last ?? 1) < 0.05
    }

    /// The queue kept emptying, or certainly grew by less than a hundredth of what came.
    var isBounded: Bool {
        emptyShares.allSatisfy { $0 >= 0.1 } || (queue.upper ?? .infinity) <= 0.01 * offeredRate
    }

    /// More than a fiftieth of what came certainly stayed.
    var isFilling: Bool { (inSystem.lower ?? 0) > 0.02 * offeredRate }
}

extension Saturation {
    /// Judges a run.
    /// - Parameters:
    ///   - timedOutShare: share of the requests that clients gave up on.
    ///   - meanEndToEnd: mean end-to-end latency of completed requests, seconds.
    init(
        _ monitor: borrowing SaturationMonitor, engines: Int, timedOutShare: Double, meanEndToEnd: Double
    ) {
        let notes = monitor.notes
        guard let first = notes.first, let last = notes.last, last.time > first.time else {
            reason = "every request was sent at the same moment, so there is no rate to keep up with"
            return
        }
        let seconds = (last.time - first.time).seconds
        let state = last.state - first.state
        meanInSystem = (state.waiting + state.running).rounded / Double(last.time - first.time)
        littlesLaw = Double(last.sent - first.sent) / seconds * meanEndToEnd
        let half = GrowthOfQueue(notes[(notes.count / 2)...], engines: engines)
        let end = GrowthOfQueue(notes[(notes.count - notes.count / 4)...], engines: engines)
        if let half {
            offeredRate = half.offeredRate
            completedRate = half.endedRate
            queueGrowth = half.queue
            let shares = half.emptyShares
            emptyQueueShare = shares.reduce(0, +) / Double(max(1, shares.count))
        }
        guard monitor.totals.sent >= 100 else {
            reason = "\(monitor.totals.sent) requests are too few; send at least 100"
            return
        }
        if timedOutShare > 0.01 {
            verdict = .saturated
            reason = "clients gave up on \(percent(timedOutShare)) of the requests"
            return
        }
        if monitor.lastDue == monitor.firstDue {
            reason = "every request was due at the same moment, so there is no rate to keep up with"
            return
        }
        guard let half else {
            reason = "requests came at too few different moments"
            return
        }
        if let grown = [half, end].compactMap({ $0 }).first(where: \.isSaturated) {
            verdict = .saturated
            let part = grown.offeredRate > 0 ? grown.queue.value / grown.offeredRate : 0
            reason =
                "the queue grew by \(short(grown.queue.value)) ± \(short(halfWidth(grown.queue))) requests/s, "
                + "\(percent(part)) of the \(short(grown.offeredRate)) requests/s that came"
            return
        }
        let lengths = meanEndToEnd > 0 ? seconds / meanEndToEnd : .infinity
        if lengths < 5 {
            reason =
                "requests came for only \(short(lengths)) times the mean end-to-end latency; "
                + "run at least 5 times that long"
            return
        }
        if half.isFilling {
            verdict = .saturated
            reason =
                "requests in the system grew by \(short(half.inSystem.value)) ± "
                + "\(short(halfWidth(half.inSystem))) requests/s"
            if half.isBounded {
                verdict = .cannotTell
                reason += " while none had to queue yet; run longer"
            }
            return
        }
        if half.isBounded {
            verdict = .stable
            reason =
                "nothing waited \(percent(emptyQueueShare)) of the time, and the queue grew by "
                + "\(short(half.queue.value)) ± \(short(halfWidth(half.queue))) requests/s"
            return
        }
        reason =
            "the queue neither keeps emptying nor surely grows "
            + "(\(short(half.queue.value)) ± \(short(halfWidth(half.queue))) requests/s); run longer"
    }

    private func halfWidth(_ estimate: Estimate) -> Double {
        (estimate.upper ?? estimate.value) - estimate.value
    }

    private func percent(_ share: Double) -> String { short(100 * share) + " %" }

    /// Three significant digits.
    private func short(_ value: Double) -> String {
        guard value.isFinite else { return "\(value)" }
        guard value != 0 else { return "0" }
        var unit = 1.0
        while abs(value) / unit >= 1000 { unit *= 10 }
        while abs(value) / unit < 100, unit > 1e-6 { unit /= 10 }
        let rounded = (value / unit).rounded() * unit
        if unit >= 1 { return "\(Int(rounded))" }
        var digits = 0
        while unit < 1 {
            unit *= 10
            digits += 1
        }
        return decimal(rounded, digits)
    }

    private func decimal(_ value: Double, _ digits: Int) -> String {
        var scale = 1
        for _ in 0..<min(digits, 6) { scale *= 10 }
        let whole = Int((abs(value) * Double(scale)).rounded())
        var fraction = String(whole % scale)
        while fraction.count < min(digits, 6) { fraction = "0" + fraction }
        while fraction.hasSuffix("0") { fraction.removeLast() }
        return (value < 0 && whole > 0 ? "-" : "") + "\(whole / scale)"
            + (fraction.isEmpty ? "" : "." + fraction)
    }
}
