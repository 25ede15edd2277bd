import ServingCore

/// The two peaks of `vllm bench serve`, counted over whole seconds since the first measured request was sent:
/// output tokens delivered in one second, and successful requests alive in any part of one second.
struct PerSecondPeaks: Sendable {
    /// Seconds for which concurrency is counted (48 days); later ones count to the last.
    private static let limit = 1 << 22

    /// Time 0 of the seconds; -1 until it is known.
    var origin: Ticks = -1 {
        didSet { secondEnd = origin.addingReportingOverflow(Ticks.perSecond).partialValue }
    }
    /// End of the second that `tokens` counts.
    private var secondEnd = Ticks.max
    private var tokens = 0
    private var peak = 0
    /// Change of the number of requests alive from one second to the next.
    private var changes: [Int32] = []

    /// Counts tokens that reached clients; moments before the origin are left out.
    @inline(__always)
    mutating func delivered(_ count: Int, at time: Ticks) {
        guard origin >= 0, time >= origin else { return }
        if time >= secondEnd { turn(time) }
        tokens &+= count
    }

    @inline(never)
    private mutating func turn(_ time: Ticks) {
        peak = max(peak, tokens)
        tokens = 0
        let start = time - (time - origin) % Ticks.perSecond
        secondEnd = start > Ticks.max - Ticks.perSecond ? .max : start + Ticks.perSecond
    }

    /// Counts a successful request.
    mutating func alive(from start: Ticks, to end: Ticks) {
        guard origin >= 0, start >= origin, end >= start else { return }
        let first = place(start)
        let last = place(end) + 1
        if last >= changes.count {
            changes.append(contentsOf: repeatElement(0, count: max(last + 1 - changes.count, changes.count)))
        }
        changes[first] &+= 1
        changes[last] &-= 1
    }

    private func place(_ time: Ticks) -> Int {
        Int(min((time - origin) / Ticks.perSecond, Ticks(Self.limit)))
    }

    /// Most output tokens in one second.
    var maxTokensPerSecond: Int { max(peak, tokens) }

    /// Most requests alive in one second.
    var maxConcurrentRequests: Int {
        var alive = 0
        var most = 0
        for change in changes {
            alive += Int(change)
            most = max(most, alive)
        }
        return most
    }
}
