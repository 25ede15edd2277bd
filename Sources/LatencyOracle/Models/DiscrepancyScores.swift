import ServingCore

/// How far one draw of an oracle deviates in each direction that its discrepancy knows, in standard deviations.
public struct DiscrepancyScores: Equatable, Sendable {
    /// Of the factor on every step time.
    public var scale = 0.0
    /// Of the constant added to every step time.
    public var offset = 0.0
    /// Of the factor on the API work before the queue.
    public var arrival = 0.0
    /// Of the factor on the time from the last step to the client.
    public var post = 0.0

    /// No deviation.
    public init() {}

    /// Independent normal scores, the next four numbers of a stream.
    init(using stream: inout RandomStream) {
        scale = stream.normal()
        offset = stream.normal()
        arrival = stream.normal()
        post = stream.normal()
    }

    private static let directions: [WritableKeyPath<DiscrepancyScores, Double> & Sendable] = [
        \.scale, \.offset, \.arrival, \.post,
    ]

    /// Scores of `count` draws that cover each direction evenly, in the middles of its `count` equally likely parts
    /// (Latin hypercube; McKay, Beckman & Conover, Technometrics 21, 1979), with the least correlation between
    /// directions among a hundred such designs (Iman & Conover, Communications in Statistics B 11, 1982).
    ///
    /// Each deployment (model, accelerator, layout) has scores of its own, as each had an error of its own when it was left
    /// out of training: what is compared over the same draws is off together only where the deployment is the same.
    ///
    /// The 90 % band of a sum of directions over twenty such draws has a standard error of 6 to 8 %, over twenty
    /// independent draws 17 %.
    public static func latinHypercube(count: Int, seed: UInt64, deployment facts: DeploymentFacts)
        -> [DiscrepancyScores]
    {
        let purpose = "discrepancy of \(ModelScope(configuration: facts))"
        var best: (correlation: Double, draws: [DiscrepancyScores]) = (.infinity, [])
        let middles = (0..<max(0, count)).map { RandomStream.normal(at: (Double($0) + 0.5) / Double(count)) }
        // By chance, many draws have little correlation.
        for attempt in 0..<max(1, min(100, 20_000 / max(1, count))) {
            var draws = [DiscrepancyScores](repeating: DiscrepancyScores(), count: middles.count)
            var stream = RandomStream(seed: seed, purpose: purpose, index: UInt64(attempt))
            for direction in directions {
                let keys = middles.map { _ in stream.next() }
                let order = keys.indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
                for (draw, place) in order.enumerated() { draws[draw][keyPath: direction] = middles[place] }
            }
            let correlation = greatestCorrelation(draws)
            if correlation < best.correlation { best = (correlation, draws) }
        }
        return best.draws
    }

    private static func greatestCorrelation(_ draws: [DiscrepancyScores]) -> Double {
        var greatest = 0.0
        for (index, one) in directions.enumerated() {
            for other in directions[..<index] {
                let sum = draws.reduce(0) { $0 + $1[keyPath: one] * $1[keyPath: other] }
                greatest = max(greatest, abs(sum) / Double(max(1, draws.count)))
            }
        }
        return greatest
    }
}

extension RandomStream {
    /// A standard normal number.
    mutating func normal() -> Double { Self.normal(at: uniform()) }

    /// The normal score of a probability, held away from 0 and 1.
    static func normal(at probability: Double) -> Double {
        NormalDistribution.quantile(min(max(probability, 0x1p-53), 1 - 0x1p-53))
    }
}
