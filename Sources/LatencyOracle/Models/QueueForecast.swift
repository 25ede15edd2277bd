import ServingCore

/// `alpha.queue` made ready for one deployment: what a request waits between being queued and being scheduled.
public struct QueueForecast: Sendable {
    private let facts: DeploymentFacts
    private let waits: [(feature: QueueFeature, value: Double)]
    private let logWait: [(feature: QueueFeature, value: Double)]
    private let lift: Double

    /// The model for the deployment of these facts.
    /// - Throws: `InvalidInput` for a feature that its set doesn't have.
    public init(_ model: QueueModel, facts: DeploymentFacts) throws {
        let set = try FeatureSet.named(model.featureSet)
        func resolve(_ coefficients: [Coefficient]) throws -> [(QueueFeature, Double)] {
            try coefficients.map { (try FeatureSet.queueFeature(named: $0.feature, in: set), $0.value) }
        }
        self.facts = facts
        waits = try resolve(model.waits)
        logWait = try resolve(model.logWait)
        // Mean over median of a log-normal distribution.
        lift = 0.5 * model.logScale * model.logScale
    }

    /// Mean wait of a request that finds `state`, seconds: probability of any, times its mean.
    public func meanSeconds(_ state: QueueState) -> Double {
        func sum(_ terms: [(feature: QueueFeature, value: Double)]) -> Double {
            terms.reduce(0) { $0 + $1.value * $1.feature.value(state, facts) }
        }
        let odds = NormalDistribution.exponential(-min(max(sum(waits), -700), 700))
        return NormalDistribution.exponential(min(sum(logWait) + lift, 20)) / (1 + odds)
    }
}
