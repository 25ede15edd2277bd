#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Something measured in CPU seconds, which other work on the machine does not change.
struct Benchmark: Sendable {
    /// What to type to run it alone.
    var name: String
    /// What is measured, with its size.
    var subject: String
    /// Runs it and says what came out: a figure per row.
    var run: @Sendable () throws -> [Measurement]
}

/// One figure of a benchmark.
struct Measurement {
    /// What was measured.
    var subject: String
    /// The figure.
    var value: Double
    /// Its unit.
    var unit: String
    /// The figure it must not exceed (or must reach, when `higherIsBetter`), if there is one.
    var target: Double?
    /// Whether a larger figure is the better one.
    var higherIsBetter = false

    /// Whether the target, if any, is met.
    var meetsTarget: Bool {
        guard let target else { return true }
        return higherIsBetter ? value >= target : value <= target
    }
}

/// CPU time of this process so far, seconds.
func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Most memory this process has had resident, bytes.
func peakMemoryBytes() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
}

/// CPU seconds that `body` takes: the least of `repeats` runs.
func leastProcessorSeconds(repeats: Int = 3, _ body: () throws -> Void) rethrows -> Double {
    var least = Double.infinity
    for _ in 0..<repeats {
        let start = processorSeconds()
        try body()
        least = min(least, processorSeconds() - start)
    }
    return least
}
