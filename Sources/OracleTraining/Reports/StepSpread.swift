/// How far single steps of a deployment spread around their predictions, from P10 to P90: measured, and as the oracle says.
public struct StepSpread: Codable, Sendable, Equatable {
    /// Deployment.
    public var group: String
    /// P90 less P10 of measurement over prediction.
    public var measured: Double
    /// Mean of P90 less P10 of the oracle's distribution over the prediction.
    public var predicted: Double

    /// Of every deployment with at least 100 steps, in the order of the data set's.
    static func byGroup(_ evaluation: ForecastEvaluation) -> [StepSpread] {
        let data = evaluation.data
        var members = [[ScoredStep]](repeating: [], count: data.groups.count)
        for step in evaluation.steps where step.predicted > 0 { members[data.group[step.row]].append(step) }
        return members.indices.filter { members[$0].count >= 100 }.map { group in
            let steps = members[group]
            let ratios = steps.map { $0.measured / $0.predicted }.sorted()
            return StepSpread(
                group: data.groups[group].name,
                measured: quantile(sorted: ratios, 0.9) - quantile(sorted: ratios, 0.1),
                predicted: steps.reduce(0) { $0 + ($1.high - $1.low) / $1.predicted } / Double(steps.count))
        }
    }

    /// A line per deployment.
    static func text(_ spreads: [StepSpread]) -> [String] {
        spreads.map {
            "steps of \($0.group) spread (P10-P90) by \(NumberText.percent($0.measured)) %, predicted "
                + "\(NumberText.percent($0.predicted)) %"
        }
    }
}
