import LatencyOracle

/// How one deployment's measurements deviate from predictions by a model that never saw it.
struct ConfigurationDeviation {
    /// Median ratio less 1.
    var scale: Double
    /// What is left of short steps then, seconds.
    var offset: Double

    /// Fewer pairs than this say nothing.
    static let leastPairs = 5

    /// - Returns: nil for too few predictions above 0.
    init?(_ all: [(predicted: Double, measured: Double)]) {
        let pairs = all.filter { $0.predicted > 0 }.sorted { $0.predicted < $1.predicted }
        guard pairs.count >= Self.leastPairs else { return nil }
        let ratio = median(sorted: pairs.map { $0.measured / $0.predicted }.sorted())
        let short = pairs.prefix(max(3, pairs.count / 4))
        scale = ratio - 1
        offset = median(sorted: short.map { $0.measured - ratio * $0.predicted }.sorted())
    }

    /// Spread over deployments; nil for fewer than three.
    static func discrepancy(_ deviations: [ConfigurationDeviation]) -> Discrepancy? {
        guard deviations.count >= 3 else { return nil }
        func size(_ values: [Double]) -> Double {
            (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()
        }
        return Discrepancy(scaleStd: size(deviations.map(\.scale)), offsetStd: size(deviations.map(\.offset)))
    }
}
