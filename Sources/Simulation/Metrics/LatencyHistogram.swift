import ServingCore

/// A distribution of latencies that takes a bounded amount of memory: exact up to 65,536 entries, then buckets
/// whose relative error is below 0.05 %.
///
/// Count, sum and sum of squares stay exact integers throughout, so mean and standard deviation never lose
/// digits, and the same entries give the same result in any order and any grouping.
public struct LatencyHistogram: Sendable {
    /// Entries (calls of `add`) up to which every value is kept.
    public static let exactLimit = 65_536

    /// Latencies added, repeated ones counted each time.
    public private(set) var count = 0
    /// One call of `add`.
    struct Entry {
        /// In ticks.
        var value: Double
        /// How many equal latencies it stands for.
        var weight: Int
    }

    /// Kept entries in the order of adding; empty once there are too many.
    private(set) var entries: [Entry] = []
    private var buckets = LatencyBuckets()
    private var keepsValues: Bool
    /// Sums are in ticks times two to this power.
    let fractionBits: Int
    private var sum: Int128 = 0
    private var sumOfSquares: Int128 = 0
    private var smallest = Double.infinity
    private var largest = -Double.infinity

    /// An empty distribution.
    /// - Parameters:
    ///   - fractionBits: binary digits below a tick that the sums keep; 0 for whole ticks.
    ///   - exact: false to count in buckets from the start.
    public init(fractionBits: Int = 0, exact: Bool = true) {
        self.fractionBits = fractionBits
        keepsValues = exact
    }

    /// Whether percentiles are exact.
    public var isExact: Bool { keepsValues }

    /// Adds one latency; a negative one counts as 0.
    @inline(__always)
    public mutating func add(_ ticks: Ticks) { add(ticks, count: 1) }

    /// Adds `count` equal latencies.
    @inline(__always)
    public mutating func add(_ ticks: Ticks, count weight: Int) {
        guard weight > 0 else { return }
        let ticks = max(0, min(ticks, 1 << 62))
        addToSums(ticks << Ticks(truncatingIfNeeded: fractionBits), weight)
        store(Double(ticks), ticks, weight)
    }

    /// Adds one latency that is not a whole number of ticks, such as a quotient; a negative one counts as 0.
    @inline(__always)
    public mutating func add(fractionalTicks: Double) {
        let value = max(0, min(fractionalTicks, 0x1p49))
        addToSums(Ticks((value * Double(Ticks(1) << Ticks(fractionBits))).rounded()), 1)
        store(value, Ticks(value), 1)
    }

    @inline(__always)
    private mutating func addToSums(_ scaled: Ticks, _ weight: Int) {
        // Wrapping is right: the variance is computed modulo 2^128 and only has to fit in the end.
        sum &+= Int128(scaled) &* Int128(weight)
        if scaled < 1 << 32 {
            let magnitude = UInt64(truncatingIfNeeded: scaled)
            sumOfSquares &+= Int128(magnitude &* magnitude) &* Int128(weight)
        } else {
            sumOfSquares &+= Int128(scaled) &* Int128(scaled) &* Int128(weight)
        }
        count &+= weight
    }

    @inline(__always)
    private mutating func store(_ value: Double, _ ticks: Ticks, _ weight: Int) {
        if value < smallest { smallest = value }
        if value > largest { largest = value }
        if keepsValues {
            if entries.count < Self.exactLimit {
                entries.append(Entry(value: value, weight: weight))
                return
            }
            spill()
        }
        buckets.add(ticks, count: weight)
    }

    /// Moves the kept values into buckets.
    @inline(never)
    private mutating func spill() {
        buckets.add(entries)
        entries = []
        keepsValues = false
    }

    /// Adds another distribution; exact as long as both are and their entries together stay within the limit.
    public mutating func merge(_ other: LatencyHistogram) {
        precondition(fractionBits == other.fractionBits, "merged histograms keep the same fraction of a tick")
        count += other.count
        sum &+= other.sum
        sumOfSquares &+= other.sumOfSquares
        smallest = min(smallest, other.smallest)
        largest = max(largest, other.largest)
        if keepsValues, other.keepsValues, entries.count + other.entries.count <= Self.exactLimit {
            entries += other.entries
            return
        }
        if keepsValues { spill() }
        buckets.merge(other.buckets)
        buckets.add(other.entries)
    }

    // MARK: Statistics, in ticks

    /// Sum of all latencies, in ticks.
    public var total: Double { sum.rounded / Double(Ticks(1) << Ticks(fractionBits)) }
    /// Mean in ticks, 0 when empty (as `vllm bench serve` reports it).
    public var mean: Double { count == 0 ? 0 : total / Double(count) }
    /// Smallest latency in ticks, 0 when empty.
    public var minimum: Double { count == 0 ? 0 : smallest }
    /// Largest latency in ticks, 0 when empty.
    public var maximum: Double { count == 0 ? 0 : largest }

    /// Population standard deviation in ticks (numpy's `std`), 0 when empty.
    public var standardDeviation: Double {
        guard count > 0 else { return 0 }
        let n = Int128(count)
        let (whole, rest) = sum.quotientAndRemainder(dividingBy: n)
        // Sum of (x - whole)^2, an exact integer.
        let spread = sumOfSquares &- whole &* (sum &+ rest)
        let offset = rest.rounded / Double(count)
        let variance = max(0, spread.rounded / Double(count) - offset * offset)
        return variance.squareRoot() / Double(Ticks(1) << Ticks(fractionBits))
    }

    /// One percentile in ticks; see `percentiles`.
    public func percentile(_ percent: Double) -> Double { percentiles([percent])[0] }

    /// Percentiles in ticks by linear interpolation between neighbouring order statistics, as numpy's
    /// `percentile` does by default; 0 when empty.
    /// - Parameter percents: each from 0 to 100, in any order.
    /// - Complexity: O(entries) while exact, whatever the number of percentiles.
    public func percentiles(_ percents: [Double]) -> [Double] { percentiles(percents, kept: nil) }

    func percentiles(_ percents: [Double], kept: LatencyBuckets?) -> [Double] {
        guard count > 0 else { return percents.map { _ in 0 } }
        var ranks: [Int] = []
        for percent in percents {
            let position = Self.position(percent, count)
            let below = Int(position)
            ranks.append(below)
            ranks.append(min(below + 1, count - 1))
        }
        let sorted = ranks.sorted()
        let statistics =
            keepsValues ? exactOrderStatistics(sorted, kept ?? keptBuckets()) : orderStatistics(sorted)
        func statistic(_ rank: Int) -> Double {
            var low = 0
            var high = sorted.count
            while low < high {
                let middle = (low + high) / 2
                if sorted[middle] < rank { low = middle + 1 } else { high = middle }
            }
            return statistics[low]
        }
        return percents.indices.map { place in
            let position = Self.position(percents[place], count)
            let a = statistic(ranks[2 * place])
            let b = statistic(ranks[2 * place + 1])
            // numpy's _lerp: from the nearer end, so that it is monotonic.
            let t = position - position.rounded(.down)
            return t >= 0.5 ? b - (b - a) * (1 - t) : a + (b - a) * t
        }
    }

    private static func position(_ percent: Double, _ count: Int) -> Double {
        Double(count - 1) * (max(0, min(percent, 100)) / 100)
    }

    /// Values at ascending ranks, from buckets.
    private func orderStatistics(_ ranks: [Int]) -> [Double] {
        zip(ranks, buckets.locate(ranks)).map { rank, place in
            if rank == 0 { return smallest }
            if rank == count - 1 { return largest }
            let (lower, width) = LatencyBuckets.bounds(of: place.index)
            let inside = Double(buckets.counts[place.index - buckets.first])
            let value = lower + width * ((Double(rank - place.before) + 0.5) / inside)
            return max(smallest, min(value, largest))
        }
    }

    /// The kept values in buckets; what `percentiles` needs of exact values, to be made once for several calls.
    func keptBuckets() -> LatencyBuckets {
        var counted = LatencyBuckets()
        counted.add(entries)
        return counted
    }

    /// Values at ascending ranks, exactly: only the buckets that hold a rank are sorted.
    private func exactOrderStatistics(_ ranks: [Int], _ counted: LatencyBuckets) -> [Double] {
        let places = counted.locate(ranks)
        var slots = [Int32](repeating: -1, count: counted.counts.count)
        var members: [[Entry]] = []
        for place in places where slots[place.index - counted.first] < 0 {
            slots[place.index - counted.first] = Int32(members.count)
            members.append([])
        }
        let (kept, slotOf, first) = (entries.span, slots.span, counted.first)
        for place in kept.indices {
            let slot = slotOf[LatencyBuckets.index(of: Ticks(kept[place].value)) &- first]
            if slot >= 0 { members[Int(slot)].append(kept[place]) }
        }
        for slot in members.indices { members[slot].sort { $0.value < $1.value } }
        return zip(ranks, places).map { rank, place in
            var before = place.before
            let candidates = members[Int(slots[place.index - counted.first])]
            for candidate in candidates {
                before += candidate.weight
                if rank < before { return candidate.value }
            }
            return candidates[candidates.count - 1].value
        }
    }

    /// How many latencies are at most `ticks`; once in buckets, those of the same bucket count in proportion.
    public func count(atOrBelow ticks: Double) -> Double {
        if ticks >= largest { return Double(count) }
        if ticks < smallest { return 0 }
        guard keepsValues else { return buckets.count(atOrBelow: ticks) }
        var total = 0
        for entry in entries where entry.value <= ticks { total += entry.weight }
        return Double(total)
    }
}
