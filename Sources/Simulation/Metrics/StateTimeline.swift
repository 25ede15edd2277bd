import ServingCore

/// Queue depth, running requests and KV use over time in at most 512 bins, whose width doubles as the run grows.
///
/// Integrals are whole numbers, so cutting a span in two changes nothing.
struct StateTimeline: Sendable {
    private static let capacity = 512

    private struct Bin {
        var waiting: Int128 = 0
        var running: Int128 = 0
        var kvBlocks: Int128 = 0
        var mostWaiting = 0

        mutating func merge(_ other: Bin) {
            waiting &+= other.waiting
            running &+= other.running
            kvBlocks &+= other.kvBlocks
            mostWaiting = max(mostWaiting, other.mostWaiting)
        }
    }

    private var bins: [Bin] = []
    /// Bins are 2^shift ticks wide; the first are a millisecond or so.
    private var shift: Ticks = 20
    private var origin: Ticks = -1

    /// Adds a state that lasted from `start` to `end`, which may overlap others (one engine each).
    @inline(__always)
    mutating func add(from start: Ticks, to end: Ticks, _ state: borrowing StepState) {
        if origin < 0 { origin = start }
        let start = max(start, origin) - origin
        let last = end - origin - 1
        guard last >= start else { return }
        if Int(last >> shift) >= bins.count { cover(last) }
        let first = Int(start >> shift)
        if first == Int(last >> shift) {
            add(state, to: first, lasting: last - start + 1)
        } else {
            spread(state, start, last)
        }
    }

    @inline(__always)
    private mutating func add(_ state: borrowing StepState, to place: Int, lasting span: Ticks) {
        let span = Int128(span)
        bins[place].waiting &+= Int128(state.waitingRequests) &* span
        bins[place].running &+= Int128(state.runningRequests) &* span
        bins[place].kvBlocks &+= Int128(state.kvBlocksUsed) &* span
        bins[place].mostWaiting = max(bins[place].mostWaiting, state.waitingRequests)
    }

    @inline(never)
    private mutating func spread(_ state: borrowing StepState, _ start: Ticks, _ last: Ticks) {
        var from = start
        while from <= last {
            let place = from >> shift
            let until = min(last, (place + 1) << shift - 1)
            add(state, to: Int(place), lasting: until - from + 1)
            from = until + 1
        }
    }

    @inline(never)
    private mutating func cover(_ last: Ticks) {
        while last >> shift >= Ticks(Self.capacity) {
            var merged: [Bin] = []
            merged.reserveCapacity(Self.capacity)
            for place in stride(from: 0, to: bins.count, by: 2) {
                var bin = bins[place]
                if place + 1 < bins.count { bin.merge(bins[place + 1]) }
                merged.append(bin)
            }
            bins = merged
            shift += 1
        }
        let missing = Int(last >> shift) + 1 - bins.count
        if missing > 0 { bins.append(contentsOf: repeatElement(Bin(), count: missing)) }
    }

    /// The bins as means over time.
    /// - Parameters:
    ///   - end: end of the run, where the last bin ends.
    ///   - kvBlocks: KV blocks of all engines; 0 when unknown.
    func samples(until end: Ticks, kvBlocks: Int) -> [StateSample] {
        bins.indices.map { place in
            let start = Ticks(place) << shift
            let width = max(1, min(Ticks(1) << shift, end - origin - start))
            let bin = bins[place]
            return StateSample(
                start: (origin + start).seconds, width: width.seconds,
                waitingRequests: Double(bin.waiting) / Double(width),
                runningRequests: Double(bin.running) / Double(width),
                kvUsage: kvBlocks > 0 ? Double(bin.kvBlocks) / Double(width) / Double(kvBlocks) : 0,
                mostWaitingRequests: bin.mostWaiting)
        }
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
