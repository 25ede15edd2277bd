import ServingCore

/// Queue depth, running requests and KV use over time in at most 512 bins, whose width doubles as the run grows.
///
/// Integrals are whole numbers, so cutting a span in two changes nothing.
struct StateTimeline: Sendable {
    private static let capacity = 512

    private struct Bin {
        var integrals = StateIntegrals()
        var mostWaiting = 0

        mutating func merge(_ other: Bin) {
            integrals.add(other.integrals)
            mostWaiting = max(mostWaiting, other.mostWaiting)
        }
    }

    private var bins: [Bin] = []
    /// Bins are 2^shift ticks wide; the first are 17 ms.
    private var shift: Ticks = 24
    private var origin: Ticks = -1
    /// The bin last added to, not yet in `bins`: a step that stays in it costs a few additions.
    private var open = Bin()
    private var openStart: Ticks = 0
    private var openEnd: Ticks = 0
    /// Sums over everything but the open bin.
    private var closed = StateIntegrals()

    /// Adds a state that lasted from `start` to a later `end`; it may overlap others (one engine each).
    @inline(__always)
    mutating func add(from start: Ticks, to end: Ticks, _ state: borrowing StepState) {
        if start >= openStart, end <= openEnd {
            open.integrals.add(state, lasting: end &- start)
            if state.waitingRequests > open.mostWaiting { open.mostWaiting = state.waitingRequests }
        } else {
            spread(from: start, to: end, state)
        }
    }

    /// Sums over everything added.
    var integrals: StateIntegrals {
        var all = closed
        all.add(open.integrals)
        return all
    }

    @inline(never)
    private mutating func spread(from start: Ticks, to end: Ticks, _ state: borrowing StepState) {
        close()
        if origin < 0 { origin = start }
        var from = max(start, origin)
        while from < end {
            let place = (from - origin) >> shift
            cover(place)
            // Covering may have widened the bins.
            let bin = (from - origin) >> shift
            openStart = origin + bin << shift
            openEnd = origin + (bin + 1) << shift
            let until = min(end, openEnd)
            open.integrals.add(state, lasting: until - from)
            open.mostWaiting = state.waitingRequests
            from = until
            if from < end { close() }
        }
    }

    private mutating func close() {
        guard openEnd > openStart else { return }
        bins[Int((openStart - origin) >> shift)].merge(open)
        closed.add(open.integrals)
        open = Bin()
        openStart = 0
        openEnd = 0
    }

    private mutating func cover(_ place: Ticks) {
        var last = place
        while last >= Ticks(Self.capacity) {
            var merged: [Bin] = []
            merged.reserveCapacity(Self.capacity)
            for place in stride(from: 0, to: bins.count, by: 2) {
                var bin = bins[place]
                if place + 1 < bins.count { bin.merge(bins[place + 1]) }
                merged.append(bin)
            }
            bins = merged
            shift += 1
            last >>= 1
        }
        let missing = Int(last) + 1 - bins.count
        if missing > 0 { bins.append(contentsOf: repeatElement(Bin(), count: missing)) }
    }

    /// The bins as means over time.
    /// - Parameters:
    ///   - end: end of the run, where the last bin ends.
    ///   - kvBlocks: KV blocks of all engines; 0 when unknown.
    func samples(until end: Ticks, kvBlocks: Int) -> [StateSample] {
        var bins = bins
        if openEnd > openStart { bins[Int((openStart - origin) >> shift)].merge(open) }
        return bins.indices.map { place in
            let start = Ticks(place) << shift
            let width = max(1, min(Ticks(1) << shift, end - origin - start))
            let bin = bins[place]
            return StateSample(
                start: (origin + start).seconds, width: width.seconds,
                waitingRequests: bin.integrals.waiting.rounded / Double(width),
                runningRequests: bin.integrals.running.rounded / Double(width),
                kvUsage: kvBlocks > 0 ? bin.integrals.kvBlocks.rounded / Double(width) / Double(kvBlocks) : 0,
                mostWaitingRequests: bin.mostWaiting)
        }
    }
}

/// Integrals of the engines' state over time, in ticks times requests or blocks.
struct StateIntegrals: Sendable {
    var waiting: Int128 = 0
    var running: Int128 = 0
    var kvBlocks: Int128 = 0
    /// Time in steps, and time in steps with a queue.
    var busy: Ticks = 0
    var queued: Ticks = 0

    @inline(__always)
    mutating func add(_ state: borrowing StepState, lasting span: Ticks) {
        let wide = Int128(span)
        if state.waitingRequests > 0 {
            waiting &+= Int128(state.waitingRequests) &* wide
            queued &+= span
        }
        running &+= Int128(state.runningRequests) &* wide
        kvBlocks &+= Int128(state.kvBlocksUsed) &* wide
        busy &+= span
    }

    mutating func add(_ other: StateIntegrals) {
        waiting &+= other.waiting
        running &+= other.running
        kvBlocks &+= other.kvBlocks
        busy &+= other.busy
        queued &+= other.queued
    }

    static func - (a: StateIntegrals, b: StateIntegrals) -> StateIntegrals {
        StateIntegrals(
            waiting: a.waiting &- b.waiting, running: a.running &- b.running,
            kvBlocks: a.kvBlocks &- b.kvBlocks, busy: a.busy &- b.busy, queued: a.queued &- b.queued)
    }
}

/// The state of the engines averaged over a short span of time.
public struct StateSample: Equatable, Sendable {
    /// Start of the span, seconds of simulated time.
    public var start: Double
    /// Its length, seconds.
    public var width: Double
    /// Mean number of requests waiting.
    public var waitingRequests: Double
    /// Mean number of requests running.
    public var runningRequests: Double
    /// Mean share of the KV blocks in use.
    public var kvUsage: Double
    /// Most requests waiting on one engine.
    public var mostWaitingRequests: Int
}
