import ServingCore

/// Counts of latencies in log-linear buckets: 2,048 per factor of two, so that a bucket is at most 0.049 % wide.
///
/// Values below 4,096 ticks have a bucket each. Only the factors of two in use take memory, 16 KiB apiece.
struct LatencyBuckets: Sendable, Equatable {
    /// Buckets per factor of two, as a power of two.
    static let resolutionBits = 11
    private static let perOctave = 1 << resolutionBits

    /// Index of `counts[0]`, a multiple of `perOctave`.
    private(set) var first = 0
    private(set) var counts: [Int] = []

    /// Bucket of a latency of at least 0 ticks.
    @inline(__always)
    static func index(of ticks: Ticks) -> Int {
        let shift = max(0, 63 - resolutionBits - ticks.leadingZeroBitCount)
        return shift << resolutionBits + Int(truncatingIfNeeded: ticks >> Ticks(truncatingIfNeeded: shift))
    }

    /// Smallest value of a bucket and its width, in ticks.
    static func bounds(of index: Int) -> (lower: Double, width: Double) {
        let shift = max(0, index >> resolutionBits - 1)
        return (Double((index - shift << resolutionBits) << shift), Double(1 << shift))
    }

    /// Adds `count` latencies of `ticks`, at least 0.
    @inline(__always)
    mutating func add(_ ticks: Ticks, count: Int) {
        let index = Self.index(of: ticks)
        let place = index &- first
        if place < 0 || place >= counts.count { cover(index) }
        counts[index &- first] &+= count
    }

    /// Adds all entries. O(entries).
    mutating func add(_ entries: [LatencyHistogram.Entry]) {
        guard !entries.isEmpty else { return }
        let entries = entries.span
        var (least, greatest) = (Int.max, Int.min)
        for place in entries.indices {
            let index = Self.index(of: Ticks(entries[place].value))
            least = min(least, index)
            greatest = max(greatest, index)
        }
        for index in [least, greatest] where index < first || index - first >= counts.count { cover(index) }
        let first = first
        var counts = counts.mutableSpan
        for place in entries.indices {
            counts[Self.index(of: Ticks(entries[place].value)) &- first] &+= entries[place].weight
        }
    }

    /// Adds every count of another set of buckets.
    mutating func merge(_ other: LatencyBuckets) {
        guard !other.counts.isEmpty else { return }
        cover(other.first)
        cover(other.first + other.counts.count - 1)
        let shift = other.first - first
        for place in other.counts.indices { counts[place + shift] &+= other.counts[place] }
    }

    @inline(never)
    private mutating func cover(_ index: Int) {
        let octave = index & ~(Self.perOctave - 1)
        if counts.isEmpty { first = octave }
        if octave < first {
            counts.insert(contentsOf: repeatElement(0, count: first - octave), at: 0)
            first = octave
        }
        let missing = octave + Self.perOctave - first - counts.count
        if missing > 0 { counts.append(contentsOf: repeatElement(0, count: missing)) }
    }

    /// Finds the bucket that holds each rank, counted from 0.
    /// - Parameter ranks: ascending, each below the total count.
    /// - Returns: for each rank its bucket's index, and how many values lie in the buckets before it.
    func locate(_ ranks: [Int]) -> [(index: Int, before: Int)] {
        var found: [(index: Int, before: Int)] = []
        found.reserveCapacity(ranks.count)
        var before = 0
        var place = 0
        for rank in ranks {
            while place < counts.count, before + counts[place] <= rank {
                before += counts[place]
                place += 1
            }
            found.append((place + first, before))
        }
        return found
    }

    /// How many values are at most `ticks`; inside a bucket they count as evenly spread.
    func count(atOrBelow ticks: Double) -> Double {
        guard ticks >= 0 else { return 0 }
        let index = Self.index(of: Ticks(min(ticks, 0x1p62)))
        var total = 0
        for place in 0..<max(0, min(index - first, counts.count)) { total += counts[place] }
        guard index >= first, index - first < counts.count else { return Double(total) }
        let (lower, width) = Self.bounds(of: index)
        return Double(total) + Double(counts[index - first]) * min(1, (ticks - lower) / width)
    }
}
