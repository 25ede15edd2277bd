import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Latencies in the order in which they came, kept so that the error of a percentile can be told although
/// neighbouring requests meet the same queue and resemble each other.
///
/// The order is cut into batches of equal length (non-overlapping batch means: Schmeiser, Operations Research 30,
/// 1982). Batches long enough to be nearly independent show the real variance of a mean, and, by the share of each
/// batch that lies at or below a percentile, of the percentile. Memory is bounded: 12 to 23 closed batches,
/// merged in pairs as the run grows.
struct LatencySeries: Sendable {
    private static let mergedBatches = 12
    private static let batchesOfExact = 16

    /// Every value, while there are few.
    private var exact: LatencyHistogram
    private var closed: [LatencyHistogram] = []
    private var current: LatencyHistogram
    private var entriesPerBatch = 0
    private var entries = 0
    private let fractionBits: Int
    private let exactLimit: Int

    /// No latencies yet; `fractionBits` as in `LatencyHistogram`, `exactLimit` the entries up to which every value is
    /// kept.
    init(fractionBits: Int = 0, exactLimit: Int = LatencyHistogram.exactLimit) {
        self.fractionBits = fractionBits
        self.exactLimit = min(exactLimit, LatencyHistogram.exactLimit)
        exact = LatencyHistogram(fractionBits: fractionBits)
        current = LatencyHistogram(fractionBits: fractionBits, exact: false)
    }

    /// Adds `count` equal latencies as one entry.
    @inline(__always)
    mutating func add(_ ticks: Ticks, count: Int = 1) {
        if entriesPerBatch == 0 {
            if exact.entries.count < exactLimit {
                exact.add(ticks, count: count)
                return
            }
            startBatches()
        }
        current.add(ticks, count: count)
        entries &+= 1
        if entries == entriesPerBatch { closeBatch() }
    }

    /// Adds one latency that is not a whole number of ticks.
    @inline(__always)
    mutating func add(fractionalTicks: Double) {
        if entriesPerBatch == 0 {
            if exact.entries.count < exactLimit {
                exact.add(fractionalTicks: fractionalTicks)
                return
            }
            startBatches()
        }
        current.add(fractionalTicks: fractionalTicks)
        entries &+= 1
        if entries == entriesPerBatch { closeBatch() }
    }

    @inline(never)
    private mutating func startBatches() {
        closed = exact.slices(Self.batchesOfExact)
        entriesPerBatch = exact.entries.count / Self.batchesOfExact
        exact = LatencyHistogram(fractionBits: fractionBits)
    }

    @inline(never)
    private mutating func closeBatch() {
        closed.append(current)
        current = LatencyHistogram(fractionBits: fractionBits, exact: false)
        entries = 0
        guard closed.count == 2 * Self.mergedBatches else { return }
        var merged: [LatencyHistogram] = []
        for pair in 0..<Self.mergedBatches {
            var batch = closed[2 * pair]
            batch.merge(closed[2 * pair + 1])
            merged.append(batch)
        }
        closed = merged
        entriesPerBatch *= 2
    }

    /// Everything added, as one distribution.
    var distribution: LatencyHistogram {
        if entriesPerBatch == 0 { return exact }
        var all = current
        for batch in closed { all.merge(batch) }
        return all
    }

    /// Statistics in milliseconds, with the sampling errors of the mean and of each percentile.
    func summary(percentiles percents: [Double]) -> LatencySummary {
        let all = distribution
        var summary = LatencySummary()
        guard all.count > 0 else {
            summary.percentiles = percents.map { LatencySummary.Percentile($0, Estimate(0)) }
            return summary
        }
        let kept = all.isExact ? all.keptBuckets() : nil
        let values = all.percentiles(percents + [50], kept: kept)
        // Few enough requests to fill no batch well still tell something: five to a batch at least.
        let batches =
            entriesPerBatch == 0
            ? exact.batches(min(20, exact.entries.count / 5), atOrBelow: values.dropLast())
            : closed.map { batch in
                LatencyBatch(
                    count: Double(batch.count), total: batch.total,
                    atOrBelow: values.dropLast().map { batch.count(atOrBelow: $0) })
            }
        summary.count = all.count
        summary.isExact = all.isExact
        summary.standardDeviation = all.standardDeviation / 1e6
        summary.median = values[percents.count] / 1e6
        summary.minimum = all.minimum / 1e6
        summary.maximum = all.maximum / 1e6
        summary.mean = meanEstimate(all, batches).scaled(by: 1e-6)
        let bounds = percents.indices.map { place in
            shareEstimate(of: percents[place] / 100, at: place, values[place], all, batches)
        }
        let ends = all.percentiles(
            bounds.flatMap { [$0.lower ?? 0, $0.upper ?? 1, $0.below, $0.above].map { $0 * 100 } }, kept: kept
        )
        for place in percents.indices {
            let bound = bounds[place]
            let estimate = Estimate(
                values[place],
                standardError: bound.samples.map { _ in (ends[4 * place + 3] - ends[4 * place + 2]) / 2 },
                lower: bound.lower.map { _ in ends[4 * place] },
                upper: bound.upper.map { _ in ends[4 * place + 1] },
                effectiveSamples: bound.samples)
            summary.percentiles.append(.init(percents[place], estimate.scaled(by: 1e-6)))
        }
        return summary
    }

    private func meanEstimate(_ all: LatencyHistogram, _ batches: [LatencyBatch]) -> Estimate {
        let independent = all.standardDeviation / Double(all.count).squareRoot()
        guard
            let batch = ratioError(
                batches.map { ($0.total, $0.count) }, ratio: all.mean, total: Double(all.count))
        else { return Estimate(all.mean) }
        let error = max(batch, independent)
        let half = error * studentTCritical(probability: 0.05, degreesOfFreedom: Double(batches.count - 1))
        let ratio = error > 0 ? all.standardDeviation / error : Double(all.count).squareRoot()
        return Estimate(
            all.mean, standardError: error, lower: all.mean - half, upper: all.mean + half,
            effectiveSamples: ratio * ratio)
    }

    private struct ShareEstimate {
        var samples: Double?
        var lower: Double?
        var upper: Double?
        /// The share less and plus one standard error.
        var below = 0.0
        var above = 0.0
    }

    /// Interval of a cumulative share, whose ends are turned into values by the distribution itself: an
    /// order-statistic interval with an effective sample size.
    private func shareEstimate(
        of share: Double, at place: Int, _ value: Double, _ all: LatencyHistogram, _ batches: [LatencyBatch]
    ) -> ShareEstimate {
        var result = ShareEstimate()
        let binomial = (share * (1 - share) / Double(all.count)).squareRoot()
        guard binomial > 0,
            let batch = ratioError(
                batches.map { ($0.atOrBelow[place], $0.count) },
                ratio: all.count(atOrBelow: value) / Double(all.count), total: Double(all.count))
        else { return result }
        let error = max(batch, binomial)
        let samples = share * (1 - share) / (error * error)
        // Wilson's interval, with t in the normal's place because the error itself is estimated.
        let t = studentTCritical(probability: 0.05, degreesOfFreedom: Double(batches.count - 1))
        let square = t * t / samples
        let centre = (share + square / 2) / (1 + square)
        let half = (t / (1 + square)) * (error * error + square / (4 * samples)).squareRoot()
        result.samples = samples
        // All observations may lie on one side of the true percentile: then no end is known there.
        if pow(share, samples) < 0.025 { result.upper = min(1, centre + half) }
        if pow(1 - share, samples) < 0.025 { result.lower = max(0, centre - half) }
        result.below = max(0, share - error)
        result.above = min(1, share + error)
        return result
    }

    /// Standard error of a ratio of sums over batches of unequal weight (linearised); nil for fewer than four.
    private func ratioError(_ batches: [(top: Double, bottom: Double)], ratio: Double, total: Double)
        -> Double?
    {
        guard batches.count >= 4 else { return nil }
        var squares = 0.0
        var covered = 0.0
        for batch in batches {
            let residual = batch.top - ratio * batch.bottom
            squares += residual * residual
            covered += batch.bottom
        }
        guard covered > 0 else { return nil }
        let m = Double(batches.count)
        // The last, open batch is in `total` but not in `batches`.
        return (squares * m / (m - 1)).squareRoot() / covered * (covered / total).squareRoot()
    }
}

/// What the sampling error asks of a run of consecutive latencies.
struct LatencyBatch {
    var count = 0.0
    /// Their sum, in ticks.
    var total = 0.0
    /// How many are at most each of the values in question.
    var atOrBelow: [Double] = []
}

extension LatencyHistogram {
    /// The kept values cut into `parts` runs of equal length, in order; a rest goes to no run. Empty unless exact.
    func slices(_ parts: Int) -> [LatencyHistogram] {
        guard isExact, parts > 0 else { return [] }
        let length = entries.count / parts
        return (0..<parts).map { part in
            var slice = LatencyHistogram(fractionBits: fractionBits, exact: false)
            for entry in entries[part * length..<(part + 1) * length] {
                if fractionBits > 0 {
                    slice.add(fractionalTicks: entry.value)
                } else {
                    slice.add(Ticks(entry.value), count: entry.weight)
                }
            }
            return slice
        }
    }

    /// What the sampling error asks of the runs that `slices` would cut, in one pass over each.
    func batches(_ parts: Int, atOrBelow limits: ArraySlice<Double>) -> [LatencyBatch] {
        guard isExact, parts > 0 else { return [] }
        let length = entries.count / parts
        let unit = Double(Ticks(1) << Ticks(fractionBits))
        return (0..<parts).map { part in
            let entries = entries.span.extracting(part * length..<(part + 1) * length)
            var batch = LatencyBatch()
            var (count, sum) = (0, Int128(0))
            for place in entries.indices {
                let entry = entries[place]
                count += entry.weight
                let value = fractionBits == 0 ? entry.value : (entry.value * unit).rounded()
                sum += Int128(Ticks(value)) * Int128(entry.weight)
            }
            batch.count = Double(count)
            batch.total = sum.rounded / unit
            for limit in limits {
                var total = 0
                for place in entries.indices {
                    total &+= entries[place].value <= limit ? entries[place].weight : 0
                }
                batch.atOrBelow.append(Double(total))
            }
            return batch
        }
    }
}
