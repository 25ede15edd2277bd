/// Conformal intervals for a stream that drifts: the error rate aimed at is corrected after every miss and every hit
/// (Gibbs & Candes 2021), and scores come from a sliding window.
package struct AdaptiveConformal: Sendable {
    /// Error rate promised in the long run.
    package let target: Double
    /// Step of the correction.
    package let rate: Double
    /// Error rate aimed at now.
    package private(set) var alpha: Double
    private var window: [Double]
    private var next = 0
    private var sorted: [Double]
    private let capacity: Int

    /// Starts from scores of calibration rows: how far, in widths, `y` lay outside its interval.
    package init(target: Double, rate: Double = 0.01, scores: [Double], capacity: Int = 1000) {
        self.target = target
        self.rate = rate
        alpha = target
        self.capacity = max(10, capacity)
        window = Array(scores.suffix(self.capacity))
        sorted = window.sorted()
    }

    /// Scores in the window.
    package var count: Int { sorted.count }

    /// Offset, in widths of the interval, to use for the next row.
    package var offset: Double {
        guard !sorted.isEmpty else { return 0 }
        if alpha <= 0 { return max(sorted[sorted.count - 1], 0) * 2 + 1 }
        if alpha >= 1 { return min(sorted[0], 0) }
        let rank = Int((Double(sorted.count + 1) * (1 - alpha)).rounded(.up))
        return sorted[min(max(rank, 1), sorted.count) - 1]
    }

    /// Learns from a row: the score that it had.
    /// - Returns: whether the row fell outside the interval that `offset` gave.
    @discardableResult
    package mutating func observe(score: Double) -> Bool {
        let missed = score > offset
        alpha += rate * (target - (missed ? 1 : 0))
        alpha = min(max(alpha, -0.5), 1.5)
        if window.count < capacity {
            window.append(score)
        } else {
            let old = window[next]
            window[next] = score
            next = (next + 1) % capacity
            sorted.remove(at: Self.place(of: old, in: sorted))
        }
        sorted.insert(score, at: Self.place(of: score, in: sorted))
        return missed
    }

    /// First index whose value is not below `value`.
    private static func place(of value: Double, in sorted: [Double]) -> Int {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
