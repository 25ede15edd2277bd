import LatencyOracle
import ServingCore

/// Gathers predictions for rows of a data set, from one model or, fold by fold, from several.
public struct ForecastEvaluation: Sendable {
    /// The rows' data set.
    public let data: StepDataSet
    /// Predictions gathered so far.
    public private(set) var steps: [ScoredStep] = []
    /// Rows predicted inside the training domain.
    public private(set) var inDomain = 0

    /// Nothing predicted yet.
    public init(_ data: StepDataSet) { self.data = data }

    /// Predicts the rows given with a model.
    /// - Throws: `InvalidInput` when the model does not fit the data's deployments.
    public mutating func add(_ model: StepModel, rows: [Int], countDomain: Bool = false) throws {
        let artifact = OracleArtifact(name: "model", summary: "under evaluation", step: model)
        try add(try StepTimeOracle(artifact: artifact), rows: rows, countDomain: countDomain)
    }

    /// Predicts the rows given with an oracle.
    /// - Throws: `InvalidInput` when the oracle does not fit the data's deployments.
    public mutating func add(_ oracle: StepTimeOracle, rows: [Int], countDomain: Bool = false) throws {
        var compiled: [CompiledOracle?] = data.groups.map { _ in nil }
        steps.reserveCapacity(steps.count + rows.count)
        for row in rows {
            let group = data.group[row]
            if compiled[group] == nil { compiled[group] = try oracle.compile(for: data.groups[group].facts) }
            guard let predictor = compiled[group] else { continue }
            let state = data.states[row]
            let measured = data.seconds[row]
            let forecast = predictor.forecast(state)
            steps.append(
                ScoredStep(
                    row: row, measured: measured, predicted: forecast.mean, low: forecast.quantile(0.1),
                    high: forecast.quantile(0.9), crps: forecast.rankedProbabilityScore(measured: measured)))
            if countDomain, predictor.isInDomain(state) { inDomain += 1 }
        }
    }

    /// Scores of everything predicted; nil before anything is.
    public var overall: ForecastScores? {
        steps.isEmpty ? nil : ForecastScores(steps, runs: steps.map { data.run[$0.row] })
    }

    /// Scores per deployment, in the order of the data set's.
    public func byGroup() -> [(group: String, scores: ForecastScores)] {
        by { data.groups[data.group[$0]].name }
    }

    /// Scores per label of the rows, in order of first occurrence.
    public func by(_ label: (Int) -> String) -> [(group: String, scores: ForecastScores)] {
        var order: [String] = []
        var members: [String: [ScoredStep]] = [:]
        for step in steps {
            let name = label(step.row)
            if members[name] == nil { order.append(name) }
            members[name, default: []].append(step)
        }
        return order.map { name in
            let own = members[name] ?? []
            return (group: name, scores: ForecastScores(own, runs: own.map { data.run[$0.row] }))
        }
    }
}
