import ServingCore

/// How good intervals and quantiles were on rows with known outcome.
package enum IntervalScores {
    /// Mean pinball loss of a quantile.
    package static func pinball(_ predicted: [Double], _ y: [Double], tau: Double) -> Double {
        guard !y.isEmpty else { return .nan }
        var sum = 0.0
        for (q, value) in zip(predicted, y) { sum += max(tau * (value - q), (tau - 1) * (value - q)) }
        return sum / Double(y.count)
    }

    /// Share of rows inside, ends included.
    package static func coverage(lower: [Double], upper: [Double], _ y: [Double]) -> Double {
        guard !y.isEmpty else { return .nan }
        return Double(y.indices.filter { y[$0] >= lower[$0] && y[$0] <= upper[$0] }.count) / Double(y.count)
    }

    /// Mean width.
    package static func width(lower: [Double], upper: [Double]) -> Double {
        guard !lower.isEmpty else { return .nan }
        return zip(lower, upper).map { $1 - $0 }.reduce(0, +) / Double(lower.count)
    }

    /// Mean Winkler score: width plus 2 / alpha times the distance by which a row was missed.
    package static func winkler(lower: [Double], upper: [Double], _ y: [Double], alpha: Double) -> Double {
        guard !y.isEmpty else { return .nan }
        var sum = 0.0
        for i in y.indices {
            sum += upper[i] - lower[i]
            sum += 2 / alpha * max(lower[i] - y[i], y[i] - upper[i], 0)
        }
        return sum / Double(y.count)
    }

    /// Interval of a mean of time-ordered values by a moving-block bootstrap: blocks of neighbours keep their dependence.
    /// - Returns: the 2.5 % and 97.5 % points of the resampled means.
    package static func blockBootstrap(
        _ values: [Double], block: Int = 50, resamples: Int = 500, seed: UInt64 = 0
    ) -> (low: Double, high: Double) {
        let n = values.count
        guard n > 1 else { return (values.first ?? .nan, values.first ?? .nan) }
        let length = max(1, min(block, n / 4))
        var prefix = [0.0]
        for value in values { prefix.append(prefix[prefix.count - 1] + value) }
        var stream = RandomStream(seed: seed, purpose: "block bootstrap")
        var means: [Double] = []
        for _ in 0..<resamples {
            var sum = 0.0
            var taken = 0
            while taken < n {
                let size = min(length, n - taken)
                let start = min(n - size, Int(stream.uniform() * Double(n - size + 1)))
                sum += prefix[start + size] - prefix[start]
                taken += size
            }
            means.append(sum / Double(n))
        }
        means.sort()
        return (means[resamples / 40], means[resamples - 1 - resamples / 40])
    }
}
