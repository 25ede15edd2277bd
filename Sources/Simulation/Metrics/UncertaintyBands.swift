/// How far the figures of a forecast may be off because the oracle may be: their spread over reruns of the same
/// requests, each with another oracle that the training data allow.
public struct UncertaintyBands: Equatable, Sendable {
    /// The spread of one figure.
    public struct Band: Equatable, Sendable {
        /// Name as in the result file.
        public var name: String
        /// 5 % of the reruns lie below; infinite if so many completed no request.
        public var lower: Double
        /// Half of the reruns lie below.
        public var median: Double
        /// 5 % of the reruns lie above.
        public var upper: Double

        /// A band of its ends.
        public init(name: String, lower: Double, median: Double, upper: Double) {
            self.name = name
            self.lower = lower
            self.median = median
            self.upper = upper
        }

        /// Half the width as a share of the median; nil where that is 0 or an end is not finite.
        public var relativeHalfWidth: Double? {
            guard median > 0, upper.isFinite else { return nil }
            return (upper - lower) / 2 / median
        }

        /// Whether a value lies inside.
        public func covers(_ value: Double) -> Bool { lower <= value && value <= upper }
    }

    /// Share of the reruns inside each band.
    public static let level = 0.9
    /// With fewer reruns a band is their range and narrower than its level.
    public static let fewestReruns = 10

    /// Reruns.
    public var reruns: Int
    /// A band for every figure, in the order of `SimulationMetrics.figures`.
    public var bands: [Band]
    /// Reruns that ended with each verdict on the load, in the order of the verdicts.
    public var verdicts: [Int]

    /// The spread over metrics of reruns.
    /// - Precondition: there is at least one, and all were measured with the same configuration.
    public init(_ metrics: [SimulationMetrics]) {
        reruns = metrics.count
        verdicts = Saturation.Verdict.allCases.map { verdict in
            metrics.count { $0.saturation.verdict == verdict }
        }
        bands = Self.bands(of: metrics.map(\.figures))
    }

    /// The spread of each figure over reruns; all have the same figures in the same order.
    /// - Precondition: there is at least one rerun.
    public static func bands(of figures: [[SimulationMetrics.Figure]]) -> [Band] {
        let tail = (1 - Self.level) / 2
        return figures[0].indices.map { place in
            let values = figures.map { $0[place].value }.sorted()
            return Band(
                name: figures[0][place].name, lower: quantile(values, tail), median: quantile(values, 0.5),
                upper: quantile(values, 1 - tail))
        }
    }

    /// The band of a figure.
    public subscript(name: String) -> Band? { bands.first { $0.name == name } }
}

/// Quantile of sorted values that stand in the middles of equally likely parts of their distribution, as those of a
/// Latin hypercube do (Hazen; Hyndman & Fan, American Statistician 50, 1996, type 5).
private func quantile(_ sorted: [Double], _ probability: Double) -> Double {
    let place = probability * Double(sorted.count) + 0.5
    let below = min(max(Int(place), 1), sorted.count)
    let above = min(below + 1, sorted.count)
    let (low, high) = (sorted[below - 1], sorted[above - 1])
    let share = min(max(place - Double(below), 0), 1)
    // Infinities must not become NaN.
    return share == 0 || low == high ? low : low + share * (high - low)
}
