import ServingCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// When a step executed, from the starts of `schedule()` calls.
///
/// Synchronous scheduling: step k ran from ts(k) to ts(k+1). Asynchronous scheduling with a queue of two:
/// schedule(k) runs when k-1 is launched, so step k ran from ts(k+1) to ts(k+2).
struct StepCycle {
    /// Start of the execution.
    var start: Ticks
    /// Its length in ns; 0 when the row is excluded.
    var length: Ticks
    var exclusion: StepExclusion?

    /// Clocks that move apart by more than this between two steps: one of them was set.
    static let clockTolerance: Ticks = 200_000_000

    /// The execution of `events[index]`.
    /// - Parameter end: where the run's events end.
    init(_ events: [StepEvent], _ index: Int, end: Int, asynchronous: Bool) {
        let event = events[index]
        start = event.start
        length = 0
        if event.isIncomplete {
            exclusion = .incomplete
            return
        }
        if event.scheduledTokens == 0 {
            exclusion = .emptyStep
            return
        }
        if event.inConflict {
            exclusion = .conflictingDuplicate
            return
        }
        let first = asynchronous ? index + 1 : index
        guard first + 1 < end, events[first].id == event.id + (asynchronous ? 1 : 0),
            events[first + 1].id == events[first].id + 1
        else {
            exclusion = .neighbourMissing
            return
        }
        let (from, to) = (events[first], events[first + 1])
        start = from.start
        if to.start <= from.start || Self.clocksMoved(from, to) {
            exclusion = .clockChange
            return
        }
        // The engine schedules again at once while requests are left, or finished ones have to be flushed by a
        // step without tokens; else it waits for an arrival. A missing count of finished requests reads as 0.
        let left = Int64(from.running) + Int64(from.waiting) - Int64(to.finished)
        if left <= 0, to.scheduledTokens > 0 {
            exclusion = .idle
            return
        }
        length = to.start - from.start
    }

    private static func clocksMoved(_ from: StepEvent, _ to: StepEvent) -> Bool {
        guard from.unixNanoseconds > 0, to.unixNanoseconds > 0 else { return false }
        let moved = (to.unixNanoseconds - to.end) - (from.unixNanoseconds - from.end)
        return abs(moved) > clockTolerance
    }

    /// How well the tokens of a step explain its time by either rule: correlation of their logarithms.
    struct Agreement: Equatable {
        var synchronous = 0.0
        var asynchronous = 0.0
        var steps = 0

        /// Whether the times show how the engine scheduled.
        var isTelling: Bool { steps >= 50 && abs(synchronous - asynchronous) > 0.15 }
    }

    /// Compares the two rules on all steps that both give a time for.
    static func agreement(_ order: StepOrder) -> Agreement {
        var a = Correlation()
        var b = Correlation()
        for run in 0..<order.runStarts.count - 1 {
            let end = order.runStarts[run + 1]
            for index in order.runStarts[run]..<end {
                let synchronous = StepCycle(order.events, index, end: end, asynchronous: false)
                guard synchronous.exclusion == nil else { continue }
                let asynchronous = StepCycle(order.events, index, end: end, asynchronous: true)
                guard asynchronous.exclusion == nil else { continue }
                let tokens = log(Double(order.events[index].scheduledTokens))
                a.add(tokens, log(Double(synchronous.length)))
                b.add(tokens, log(Double(asynchronous.length)))
            }
        }
        return Agreement(synchronous: a.value, asynchronous: b.value, steps: a.count)
    }
}

/// Pearson's correlation, updated value by value (Welford).
struct Correlation {
    private(set) var count = 0
    private var meanX = 0.0
    private var meanY = 0.0
    private var sumXX = 0.0
    private var sumYY = 0.0
    private var sumXY = 0.0

    mutating func add(_ x: Double, _ y: Double) {
        count += 1
        let dx = x - meanX
        meanX += dx / Double(count)
        let dy = y - meanY
        meanY += dy / Double(count)
        sumXX += dx * (x - meanX)
        sumYY += dy * (y - meanY)
        sumXY += dx * (y - meanY)
    }

    /// From -1 to 1; 0 when either does not vary.
    var value: Double { sumXX > 0 && sumYY > 0 ? sumXY / (sumXX * sumYY).squareRoot() : 0 }
}
