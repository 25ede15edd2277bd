#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Measures of how far one sample's distribution lies from another's.
package enum DistributionShift {
    /// Population stability index over the reference's deciles, with half a row added to each bin. By convention 0.1 is
    /// worth a look and 0.25 a change; they are no tests.
    package static func populationStabilityIndex(reference: [Double], current: [Double], bins: Int = 10)
        -> Double
    {
        guard !reference.isEmpty, !current.isEmpty else { return 0 }
        let sorted = reference.sorted()
        let edges = (1..<bins).map { k -> Double in
            let place = Double(k) / Double(bins) * Double(sorted.count - 1)
            let low = Int(place)
            let high = min(low + 1, sorted.count - 1)
            return sorted[low] + (place - Double(low)) * (sorted[high] - sorted[low])
        }
        func shares(_ values: [Double]) -> [Double] {
            var counts = [Double](repeating: 0.5, count: bins)
            for value in values {
                // Bins are closed on the left.
                var low = 0
                var high = edges.count
                while low < high {
                    let middle = (low + high) / 2
                    if edges[middle] <= value { low = middle + 1 } else { high = middle }
                }
                counts[low] += 1
            }
            let total = counts.reduce(0, +)
            return counts.map { $0 / total }
        }
        let r = shares(reference)
        let c = shares(current)
        return zip(c, r).map { ($0 - $1) * log($0 / $1) }.reduce(0, +)
    }

    /// Greatest distance between the two empirical distribution functions.
    package static func kolmogorovSmirnov(_ a: [Double], _ b: [Double]) -> Double {
        let x = a.sorted()
        let y = b.sorted()
        var i = 0
        var j = 0
        var greatest = 0.0
        while i < x.count, j < y.count {
            let value = min(x[i], y[j])
            while i < x.count, x[i] <= value { i += 1 }
            while j < y.count, y[j] <= value { j += 1 }
            greatest = max(greatest, abs(Double(i) / Double(x.count) - Double(j) / Double(y.count)))
        }
        return greatest
    }

    /// Two-sided p-value of that distance for independent rows, by the one-sample distribution at the effective size
    /// n m / (n + m): twice the exact one-sided tail (Birnbaum & Tingey 1951) where the distance is large, the corrected
    /// limit (Vrbik 2018) elsewhere.
    package static func kolmogorovSmirnovPValue(_ statistic: Double, _ n: Int, _ m: Int) -> Double {
        guard n > 0, m > 0, statistic > 0 else { return 1 }
        guard statistic < 1 else { return 0 }
        let size = max(1, (Double(n) * Double(m) / Double(n + m)).rounded())
        if size * statistic * statistic >= 2.2 {
            var sum = 0.0
            for j in 0...Int((size * (1 - statistic)).rounded(.down)) {
                let place = statistic + Double(j) / size
                let rest = 1 - place
                let power = size - Double(j)
                guard rest > 0 || power == 0 else { continue }
                let choose = lgamma(size + 1) - lgamma(Double(j) + 1) - lgamma(power + 1)
                let tail = power == 0 ? 0 : power * log(rest)
                sum += exp(choose + Double(j - 1) * log(place) + tail)
            }
            return min(2 * statistic * sum, 1)
        }
        let root = size.squareRoot()
        let x = root * statistic + 1 / (6 * root) + (root * statistic - 1) / (4 * size)
        guard x > 0.2 else { return 1 }
        var sum = 0.0
        for k in 1...100 {
            let term = exp(-2 * Double(k * k) * x * x)
            sum += k % 2 == 1 ? term : -term
            if term < 1e-18 { break }
        }
        return min(max(2 * sum, 0), 1)
    }
}
