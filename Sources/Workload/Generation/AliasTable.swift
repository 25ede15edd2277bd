/// What it takes to draw an index with given weights from one uniform number in constant time: slot `i` of `n`, hit
/// by `u * n` in [i, i + 1), stands for itself up to the share `keep[i]` and for `alias[i]` beyond.
///
/// Walker's alias method as put by Vose (IEEE Transactions on Software Engineering 17, 1991). Building costs
/// O(n) time and memory.
struct AliasTable: Equatable, Sendable {
    private(set) var keep: [Double]
    private(set) var alias: [Int32]

    /// A table over `weights`, which must be finite, not negative, not all zero and at most 2^31 - 1 in number.
    init(weights: [Double]) {
        let count = weights.count
        // Weights near the largest double may add up to infinity: bring the largest to 1 first.
        let largest = weights.max() ?? 1
        let total = weights.reduce(0) { $0 + $1 / largest }
        var scaled = weights.map { $0 / largest / total * Double(count) }
        keep = [Double](repeating: 1, count: count)
        alias = (0..<count).map { Int32($0) }
        var small = (0..<count).filter { scaled[$0] < 1 }
        var large = (0..<count).filter { scaled[$0] >= 1 }
        while let less = small.popLast(), let more = large.last {
            keep[less] = scaled[less]
            alias[less] = Int32(more)
            scaled[more] -= 1 - scaled[less]
            if scaled[more] < 1 {
                large.removeLast()
                small.append(more)
            }
        }
        // What is left over is 1 but for rounding; an index of weight 0 must stay undrawn all the same.
        if let heaviest = weights.indices.max(by: { weights[$0] < weights[$1] }) {
            for index in 0..<count where weights[index] == 0 && alias[index] == Int32(index) {
                keep[index] = 0
                alias[index] = Int32(heaviest)
            }
        }
    }
}
