import ServingCore

/// Whether configurations that are close in the embedding also behave alike: rank correlation of two distance matrices
/// with a permutation test (Mantel 1967).
package struct MantelTest: Sendable, Equatable {
    /// Spearman correlation of the distances over all pairs; 0 when either never changes.
    package var correlation: Double
    /// Share of permutations of the configurations with at least that correlation, the identity counted.
    package var pValue: Double
    /// Pairs compared.
    package var pairs: Int

    /// Compares two symmetric matrices of the same size.
    /// - Throws: `InvalidInput` below four configurations, where no permutation could be telling.
    package init(
        _ a: [[Double]], _ b: [[Double]], permutations: Int = 999, seed: UInt64 = 0
    ) throws(InvalidInput) {
        let n = a.count
        guard n >= 4, b.count == n else {
            throw InvalidInput(
                field: "configurations", value: "\(n)", "are too few to validate the embedding",
                accepted: "at least 4")
        }
        func ranked(_ m: [[Double]]) -> [[Double]] {
            var values: [(Double, Int, Int)] = []
            for i in 0..<n { for j in (i + 1)..<max(n, i + 1) { values.append((m[i][j], i, j)) } }
            values.sort { ($0.0, $0.1, $0.2) < ($1.0, $1.1, $1.2) }
            var ranks = [[Double]](repeating: [Double](repeating: 0, count: n), count: n)
            var start = 0
            while start < values.count {
                var end = start
                while end < values.count, values[end].0 == values[start].0 { end += 1 }
                let rank = Double(start + end - 1) / 2
                for k in start..<end {
                    ranks[values[k].1][values[k].2] = rank
                    ranks[values[k].2][values[k].1] = rank
                }
                start = end
            }
            return ranks
        }
        let x = ranked(a)
        let y = ranked(b)
        pairs = n * (n - 1) / 2
        let mean = Double(pairs - 1) / 2
        func moment(_ m: [[Double]]) -> Double {
            var sum = 0.0
            for i in 0..<n { for j in 0..<i { sum += (m[i][j] - mean) * (m[i][j] - mean) } }
            return sum
        }
        let scale = (moment(x) * moment(y)).squareRoot()
        func correlation(_ order: [Int]) -> Double {
            guard scale > 0 else { return 0 }
            var sum = 0.0
            for i in 0..<n { for j in 0..<i { sum += (x[i][j] - mean) * (y[order[i]][order[j]] - mean) } }
            return sum / scale
        }
        let observed = correlation(Array(0..<n))
        self.correlation = observed
        var stream = RandomStream(seed: seed, purpose: "mantel")
        var atLeast = 1
        var order = Array(0..<n)
        for _ in 0..<permutations {
            for i in stride(from: n - 1, to: 0, by: -1) {
                order.swapAt(i, min(i, Int(stream.uniform() * Double(i + 1))))
            }
            if correlation(order) >= observed - 1e-12 { atLeast += 1 }
        }
        pValue = Double(atLeast) / Double(permutations + 1)
    }
}
