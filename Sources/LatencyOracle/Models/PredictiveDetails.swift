import ServingCore

/// What predictions need beyond the value: the coefficients' uncertainty and the training domain.
@usableFromInline
struct PredictiveDetails: Sendable {
    let kept: StepFeatureEvaluator?
    let posterior: Posterior?
    let candidates: StepFeatureEvaluator?
    let domain: TrainingDomain?
    /// Variance of standardised noise.
    let noiseVariance: Double
    let link: StepModel.Link

    init(model: StepModel, facts: DeploymentFacts, features: FeatureSet, varianceScale: Double) {
        func evaluator(_ names: [String]) -> StepFeatureEvaluator? {
            let found = names.compactMap { name in features.step.first { $0.name == name } }
            return found.count == names.count ? StepFeatureEvaluator(features: found, facts: facts) : nil
        }
        posterior = model.posterior
        kept = model.posterior.flatMap { evaluator($0.features) }
        domain = model.domain
        candidates = model.domain.flatMap { evaluator($0.features) }
        link = model.link
        if model.noise?.family == .studentT, let df = model.noise?.degreesOfFreedom {
            noiseVariance = StudentTDistribution(degreesOfFreedom: df).variance
        } else {
            noiseVariance = 1
        }
    }

    /// (x - means)' matrix (x - means).
    static func quadratic(
        _ evaluator: StepFeatureEvaluator, _ means: [Double], _ matrix: [[Double]],
        _ state: StepState
    ) -> Double {
        withUnsafeTemporaryAllocation(of: Double.self, capacity: evaluator.count) { x in
            evaluator.evaluate(state, into: x)
            for i in 0..<evaluator.count { x[i] -= means[i] }
            var sum = 0.0
            for i in 0..<evaluator.count {
                var row = 0.0
                for j in 0..<evaluator.count { row += matrix[i][j] * x[j] }
                sum += x[i] * row
            }
            return max(0, sum)
        }
    }
}

extension CompiledOracle {
    /// Exact standard deviation of the predicted duration of one step: noise plus uncertainty of the
    /// coefficients, x' Sigma x + sigma^2 + sigma^2 / n, in seconds. Infinite where the distribution has none.
    public func standardDeviation(_ state: StepState) -> Double { forecast(state).standardDeviation }

    /// Variance of the linear predictor that comes from the coefficients alone.
    public func coefficientVariance(_ state: StepState) -> Double {
        guard let kept = details.kept, let posterior = details.posterior else { return 0 }
        return posterior.interceptVariance
            + PredictiveDetails.quadratic(kept, posterior.means, posterior.covariance, state)
    }

    /// Whether the oracle knows where its training data lay.
    public var hasDomain: Bool { details.candidates != nil }

    /// Leverage of a step over all candidate features, relative to the greatest that training data reached
    /// (1 is the border); 0 without a recorded domain.
    ///
    /// - Complexity: O(features squared), about a microsecond: ask for a sample of steps, not for each.
    public func relativeLeverage(_ state: StepState) -> Double {
        guard let candidates = details.candidates, let domain = details.domain else { return 0 }
        let leverage = PredictiveDetails.quadratic(candidates, domain.means, domain.precision, state)
        return domain.limit > 0 ? leverage / domain.limit : leverage > 0 ? .infinity : 0
    }

    /// Whether a step lies inside the training domain.
    public func isInDomain(_ state: StepState) -> Bool {
        guard hasDomain else { return false }
        guard relativeLeverage(state) <= 1 else { return false }
        return outOfRange(state).isEmpty
    }

    /// Candidate features whose value for a step lies outside the training range by more than a tenth of it, with
    /// how far in units of the range, worst first.
    public func outOfRange(_ state: StepState) -> [(feature: String, distance: Double)] {
        guard let candidates = details.candidates, let domain = details.domain else { return [] }
        let values = candidates.values(of: state)
        var result: [(feature: String, distance: Double)] = []
        for (index, value) in values.enumerated() {
            let range = domain.maximum[index] - domain.minimum[index]
            let beyond = max(domain.minimum[index] - value, value - domain.maximum[index])
            let tolerance = 1e-9 * max(abs(domain.minimum[index]), abs(domain.maximum[index]))
            guard beyond > tolerance else { continue }
            // A feature that never varied in training has no range to measure by: any change is far outside.
            let distance = range > tolerance ? beyond / range : beyond / max(tolerance, 1e-300)
            if distance > 0.1 { result.append((feature: domain.features[index], distance: distance)) }
        }
        return result.sorted { $0.distance > $1.distance }
    }
}
