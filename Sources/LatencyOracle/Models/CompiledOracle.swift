import ServingCore

/// An oracle for one deployment: what a simulator asks once per step and once per request, without allocation.
///
/// A class, because a struct of this size would be copied whenever it is asked.
public final class CompiledOracle: Sendable {
    @usableFromInline enum Shape: UInt8, Sendable { case locationScale, logNormal, quantiles }

    @usableFromInline let shape: Shape
    @usableFromInline let centre: CompiledStepModel
    /// Noise scale in seconds, and as a fraction of the prediction.
    @usableFromInline let absoluteScale: Double
    @usableFromInline let relativeScale: Double
    /// Mean over median of log-normal noise.
    @usableFromInline let meanFactor: Double
    @usableFromInline let noise: NoiseTable
    /// Quantile models by probability, and the normal scores of the probabilities.
    @usableFromInline let quantiles: [CompiledStepModel]
    @usableFromInline let scores: [Double]
    /// No step is shorter than this many seconds.
    @usableFromInline let minimumSeconds: Double
    /// The engine's work on the CPU: seconds per step and per running request, and whether it hides behind the step.
    @usableFromInline let hostConstant: Double
    @usableFromInline let hostPerRequest: Double
    @usableFromInline let isHostHidden: Bool
    @usableFromInline let arrival: CompiledAffineLatency
    @usableFromInline let post: CompiledAffineLatency
    @usableFromInline let details: PredictiveDetails
    /// Weight of every specialist of an ensemble; empty for other models.
    public let specialistWeights: [Double]

    init(
        model: StepModel, facts: DeploymentFacts, centre: LinearForm,
        quantiles: [(tau: Double, form: LinearForm)],
        noise: NoiseTable, varianceScale: Double, offset: Double, arrival: AffineLatency?,
        post: AffineLatency?, host: AffineLatency?,
        features: FeatureSet, specialistWeights: [Double]
    ) {
        let spread = varianceScale.squareRoot()
        let scale = (model.noise?.scale ?? 0) * spread
        if !quantiles.isEmpty {
            shape = .quantiles
        } else {
            shape = model.link == .log ? .logNormal : .locationScale
        }
        self.quantiles = quantiles.map { CompiledStepModel(form: $0.form, facts: facts) }
        scores = quantiles.map { NormalDistribution.quantile($0.tau) }
        self.centre = CompiledStepModel(form: centre, facts: facts)
        self.noise = noise
        switch shape {
        case .logNormal:
            absoluteScale = scale
            relativeScale = 0
            // Student-t noise on a logarithm has no mean: the median stands for it.
            meanFactor =
                model.noise?.family == .studentT ? 1 : NormalDistribution.exponential(0.5 * scale * scale)
        case .locationScale, .quantiles:
            absoluteScale = model.noise?.relative == true ? 0 : scale
            relativeScale = model.noise?.relative == true ? scale : 0
            meanFactor = 1
        }
        minimumSeconds = max(model.minimumSeconds ?? 0, 1e-6)
        hostConstant = host?.constant ?? 0
        hostPerRequest = host?.perRunningRequest ?? 0
        isHostHidden = facts.asyncScheduling
        self.arrival = CompiledAffineLatency(arrival)
        self.post = CompiledAffineLatency(post)
        details = PredictiveDetails(
            model: model, facts: facts, features: features, varianceScale: varianceScale)
        self.specialistWeights = specialistWeights
    }

    /// Mean duration of a step in seconds: what a simulation without noise uses.
    @inlinable
    public func stepSeconds(_ state: borrowing StepState) -> Double {
        switch shape {
        case .locationScale: return withHost(max(centre(state), minimumSeconds), state)
        case .logNormal:
            return withHost(
                max(NormalDistribution.exponential(centre(state)) * meanFactor, minimumSeconds), state)
        case .quantiles:
            // Halves of two normal distributions joined at the median: mean = median + (upper - lower) / sqrt(2 pi).
            let middle = atScore(state, 0)
            let spread = atScore(state, 1) + atScore(state, -1) - 2 * middle
            return withHost(max(middle + 0.3989422804014327 * spread, minimumSeconds), state)
        }
    }

    /// A step with the engine's work on the CPU: the longer of both where that is done while the step before runs, else
    /// one after the other.
    @inlinable
    func withHost(_ seconds: Double, _ state: borrowing StepState) -> Double {
        let host = hostConstant + hostPerRequest * Double(state.runningRequests)
        return isHostHidden ? max(seconds, host) : seconds + host
    }

    /// Duration of a step with noise: the value at probability `uniform` of its distribution, seconds.
    @inlinable
    public func stepSeconds(_ state: borrowing StepState, uniform: Double) -> Double {
        stepSeconds(state, noiseScore: noise.score(uniform))
    }

    /// Duration of a step at a score of the noise distribution (0: the median), seconds.
    ///
    /// For a fixed quantile compute `noiseScore(probability:)` once and pass it every step.
    @inlinable
    public func stepSeconds(_ state: borrowing StepState, noiseScore score: Double) -> Double {
        switch shape {
        case .locationScale:
            let middle = centre(state)
            return withHost(
                max(middle + (absoluteScale + relativeScale * middle) * score, minimumSeconds), state)
        case .logNormal:
            return withHost(
                max(NormalDistribution.exponential(centre(state) + absoluteScale * score), minimumSeconds),
                state)
        case .quantiles: return withHost(max(atScore(state, score), minimumSeconds), state)
        }
    }

    /// Score of the noise distribution at a probability between 0 and 1.
    public func noiseScore(probability: Double) -> Double { noise.score(probability) }

    /// Scale of the noise of a step: seconds per unit of score (for quantile models half the distance between the
    /// scores 1 and -1; on a logarithm that of the logarithm).
    @inlinable
    public func noiseScale(_ state: borrowing StepState) -> Double {
        switch shape {
        case .locationScale: return absoluteScale + relativeScale * max(centre(state), minimumSeconds)
        case .logNormal: return absoluteScale
        case .quantiles: return 0.5 * (atScore(state, 1) - atScore(state, -1))
        }
    }

    /// Duration of a step at a probability of its predictive distribution, the coefficients' uncertainty included.
    public func predictiveQuantile(_ state: StepState, probability: Double) -> Double {
        forecast(state).quantile(probability)
    }

    /// Quantile models joined by straight lines on the normal score, sorted so that they never cross.
    @inlinable
    func atScore(_ state: borrowing StepState, _ score: Double) -> Double {
        if scores.count == 1 { return quantiles[0](state) }
        if scores.count == 3 {
            var (a, b, c) = (quantiles[0](state), quantiles[1](state), quantiles[2](state))
            if a > b { swap(&a, &b) }
            if b > c { swap(&b, &c) }
            if a > b { swap(&a, &b) }
            return score < scores[1]
                ? b + (b - a) * (score - scores[1]) / (scores[1] - scores[0])
                : b + (c - b) * (score - scores[1]) / (scores[2] - scores[1])
        }
        return atScoreOfMany(state, score)
    }

    @usableFromInline
    func atScoreOfMany(_ state: StepState, _ score: Double) -> Double {
        withUnsafeTemporaryAllocation(of: Double.self, capacity: quantiles.count) { scratch in
            var values = scratch
            for index in quantiles.indices { values[index] = quantiles[index](state) }
            values.sort()
            var upper = 1
            while upper < scores.count - 1, scores[upper] < score { upper += 1 }
            let slope = (values[upper] - values[upper - 1]) / (scores[upper] - scores[upper - 1])
            return values[upper] + slope * (score - scores[upper])
        }
    }

    /// Mean API work before a request is queued, seconds.
    @inlinable
    public func arrivalSeconds(promptTokens: Int) -> Double { arrival.mean(promptTokens) }

    /// The same with noise.
    @inlinable
    public func arrivalSeconds(promptTokens: Int, uniform: Double) -> Double {
        arrival.sampled(promptTokens, 0, uniform)
    }

    /// Mean time from a step of a request to its client, seconds.
    /// - Parameter requestsAhead: requests whose outputs of the same step the API server handles first.
    @inlinable
    public func postSeconds(outputTokens: Int, requestsAhead: Int = 0) -> Double {
        post.mean(outputTokens, requestsAhead)
    }

    /// The same with noise.
    @inlinable
    public func postSeconds(outputTokens: Int, requestsAhead: Int = 0, uniform: Double) -> Double {
        post.sampled(outputTokens, requestsAhead, uniform)
    }
}

/// `AffineLatency` with its noise as a table.
@frozen @usableFromInline
struct CompiledAffineLatency: Sendable {
    @usableFromInline let constant: Double
    @usableFromInline let perToken: Double
    @usableFromInline let perRequest: Double
    @usableFromInline let absoluteScale: Double
    @usableFromInline let relativeScale: Double
    @usableFromInline let logScale: Double
    @usableFromInline let noise: NoiseTable

    init(_ latency: AffineLatency?) {
        constant = latency?.constant ?? 0
        perToken = latency?.perToken ?? 0
        perRequest = latency?.perRunningRequest ?? 0
        let scale = latency?.noise?.scale ?? 0
        let family = latency?.noise?.family ?? .gaussian
        let relative = latency?.noise?.relative ?? false
        logScale = family == .logNormal ? scale : 0
        absoluteScale = family == .logNormal || relative ? 0 : scale
        relativeScale = family != .logNormal && relative ? scale : 0
        if family == .studentT, let df = latency?.noise?.degreesOfFreedom {
            noise = .studentT(degreesOfFreedom: df)
        } else {
            noise = .normal
        }
    }

    @inlinable
    func mean(_ tokens: Int, _ requests: Int = 0) -> Double {
        max(0, constant + perToken * Double(tokens) + perRequest * Double(requests))
    }

    /// Log-normal noise keeps the mean: the median lies exp(scale^2 / 2) below it.
    @inlinable
    func sampled(_ tokens: Int, _ requests: Int = 0, _ uniform: Double) -> Double {
        let mean = mean(tokens, requests)
        let score = noise.score(uniform)
        if logScale > 0 {
            return mean * NormalDistribution.exponential(logScale * score - 0.5 * logScale * logScale)
        }
        return max(0, mean + (absoluteScale + relativeScale * mean) * score)
    }
}
