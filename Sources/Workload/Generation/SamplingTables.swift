/// The tables of all samplers of a workload in a few flat arrays, so that a sampler is a handful of numbers that can
/// be copied for nothing.
struct SamplingTables: Sendable {
    /// A run of entries.
    struct Range: Sendable {
        var start = 0
        var count = 0
    }

    private var keep: [Double] = []
    private var alias: [Int32] = []
    private var numbers: [Double] = []

    /// Adds an alias table over `weights`.
    mutating func addWeights(_ weights: [Double]) -> Range {
        let table = AliasTable(weights: weights)
        defer {
            keep.append(contentsOf: table.keep)
            alias.append(contentsOf: table.alias)
        }
        return Range(start: keep.count, count: weights.count)
    }

    /// Adds plain numbers.
    mutating func addNumbers(_ added: [Double]) -> Range {
        defer { numbers.append(contentsOf: added) }
        return Range(start: numbers.count, count: added.count)
    }

    /// The index that `u` in [0, 1) draws from an alias table.
    @inline(__always)
    func index(_ range: Range, _ u: Double) -> Int {
        let place = u * Double(range.count)
        let slot = min(Int(place), range.count - 1)
        return place - Double(slot) < keep[range.start + slot] ? slot : Int(alias[range.start + slot])
    }

    /// Number `index` of a run of numbers.
    @inline(__always)
    func number(_ range: Range, _ index: Int) -> Double { numbers[range.start + index] }

    /// Linear interpolation of a quantile function given by rising probabilities and their values, by binary search.
    func interpolate(_ probabilities: Range, _ values: Range, _ u: Double) -> Double {
        var low = 0
        var high = probabilities.count - 1
        while high - low > 1 {
            let middle = (low + high) / 2
            if number(probabilities, middle) <= u { low = middle } else { high = middle }
        }
        let from = number(probabilities, low)
        let span = number(probabilities, high) - from
        guard span > 0 else { return number(values, low) }
        return number(values, low) + (number(values, high) - number(values, low)) * ((u - from) / span)
    }
}
