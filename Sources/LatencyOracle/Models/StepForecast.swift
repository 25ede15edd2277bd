import ServingCore

/// The whole predictive distribution of one step: noise and the coefficients' uncertainty together.
public struct StepForecast: Sendable {
    /// Mean, seconds.
    public let mean: Double
    /// Standard deviation, seconds; infinite where the distribution has none.
    public let standardDeviation: Double
    private let oracle: CompiledOracle
    private let state: StepState
    private let centre: Double
    private let scale: Double

    init(_ oracle: CompiledOracle, _ state: StepState) {
        self.oracle = oracle
        self.state = state
        mean = oracle.stepSeconds(state)
        let noise = oracle.noiseScale(state)
        let uncertainty = oracle.coefficientVariance(state)
        let variance = noise * noise * oracle.details.noiseVariance + uncertainty
        scale = (noise * noise + uncertainty).squareRoot()
        centre = oracle.shape == .quantiles ? 0 : oracle.centre(state)
        if oracle.shape == .logNormal {
            // Log-normal: mean x sqrt(exp(v) - 1), v the full variance of the logarithm.
            let median = max(NormalDistribution.exponential(centre), oracle.minimumSeconds)
            standardDeviation =
                median * NormalDistribution.exponential(0.5 * variance)
                * (NormalDistribution.exponential(variance) - 1).squareRoot()
        } else {
            standardDeviation = variance.squareRoot()
        }
    }

    /// Duration that is not exceeded with a probability, seconds.
    public func quantile(_ probability: Double) -> Double {
        let score = oracle.noise.score(probability)
        switch oracle.shape {
        case .quantiles: return oracle.stepSeconds(state, noiseScore: score)
        case .logNormal:
            return max(NormalDistribution.exponential(centre + scale * score), oracle.minimumSeconds)
        case .locationScale: return max(centre + scale * score, oracle.minimumSeconds)
        }
    }

    /// Continuous ranked probability score of a measured duration, seconds: twice the pinball loss averaged over
    /// twenty quantiles, right for any distribution to about a percent.
    public func rankedProbabilityScore(measured: Double) -> Double {
        var sum = 0.0
        for i in 0..<20 {
            let tau = (Double(i) + 0.5) / 20
            let error = measured - quantile(tau)
            sum += max(tau * error, (tau - 1) * error)
        }
        return 2 * sum / 20
    }
}

extension CompiledOracle {
    /// The predictive distribution of one step.
    public func forecast(_ state: StepState) -> StepForecast { StepForecast(self, state) }
}
