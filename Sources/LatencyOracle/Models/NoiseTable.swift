/// Quantiles of a standardised noise distribution, ready to turn a uniform random number into noise with one
/// look-up. The tails end at probability 1/16,384.
@frozen
public struct NoiseTable: Sendable {
    @usableFromInline static var intervals: Int { 4096 }
    @usableFromInline let scores: [Double]

    /// Standard normal noise.
    public static let normal = NoiseTable { NormalDistribution.quantile($0) }

    /// Student-t noise, scale 1 (not variance 1).
    public static func studentT(degreesOfFreedom: Double) -> NoiseTable {
        let distribution = StudentTDistribution(degreesOfFreedom: degreesOfFreedom)
        return NoiseTable(lowerHalf: distribution.quantiles(ofRising: probabilities))
    }

    /// Probabilities of the lower half, in rising order.
    private static var probabilities: [Double] {
        (0..<intervals / 2).map { $0 == 0 ? 1.0 / Double(4 * intervals) : Double($0) / Double(intervals) }
    }

    private init(quantile: (Double) -> Double) {
        self.init(lowerHalf: Self.probabilities.map(quantile))
    }

    private init(lowerHalf: [Double]) {
        var scores = [Double](repeating: 0, count: Self.intervals + 1)
        for (i, score) in lowerHalf.enumerated() {
            scores[i] = score
            scores[Self.intervals - i] = -score
        }
        self.scores = scores
    }

    /// The noise at probability `uniform`, which is held to [0, 1].
    @inlinable
    public func score(_ uniform: Double) -> Double {
        let position = max(0, min(1, uniform)) * Double(Self.intervals)
        let index = min(Int(position), Self.intervals - 1)
        let fraction = position - Double(index)
        return scores[index] + fraction * (scores[index + 1] - scores[index])
    }
}
