import LatencyOracle
import ServingCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Refits how much each specialist counts on a little data of a target: weights of at least 0 that sum to 1 and minimise
/// the relative pinball loss of the blended quantiles.
package enum WeightTuning {
    /// Weights for `data`'s rows of one configuration, started from those that similarity gives.
    ///
    /// Exponentiated gradient on the simplex with averaged iterates; the loss is convex, so the average converges.
    /// - Throws: `InvalidInput` when the configuration has no rows.
    package static func fit(
        _ model: SpecialistModel, _ data: ConfiguredRows, configuration: Int, iterations: Int = 2000
    ) throws(InvalidInput) -> [Double] {
        let rows = data.members[configuration]
        guard !rows.isEmpty else {
            throw InvalidInput(field: "target rows", "are none", accepted: "at least one")
        }
        let columns = data.features.count
        guard model.specialists.count > 1 else { return [1] }
        // predicted[s][k][i], relative to the measurement.
        let taus = model.specialists[0].fits.map(\.tau)
        let predicted = model.specialists.map { specialist in
            specialist.fits.map { fit in
                rows.map { i in
                    (zip(data.rows.row(i), fit.coefficients[..<columns]).reduce(fit.intercept) {
                        $0 + $1.0 * $1.1
                    })
                        / data.rows.targets[i]
                }
            }
        }
        return weights(
            predicted, taus: taus, start: model.weights(for: data.facts[configuration]),
            iterations: iterations)
    }

    /// An ensemble whose weights are refitted on rows of one configuration.
    /// - Throws: `InvalidInput` when the model can't be compiled for the configuration.
    static func refit(_ model: StepModel, facts: DeploymentFacts, states: [StepState], seconds: [Double])
        throws -> StepModel
    {
        guard let ensemble = model.ensemble, ensemble.specialists.count > 1, !states.isEmpty else {
            return model
        }
        let taus = ensemble.specialists[0].quantiles.map(\.tau)
        var predicted: [[[Double]]] = []
        for s in ensemble.specialists.indices {
            var alone = model
            alone.ensemble?.fixedWeights = ensemble.specialists.indices.map { $0 == s ? 1 : 0 }
            let compiled = try StepTimeOracle(
                artifact: OracleArtifact(name: "specialist", summary: "alone", step: alone)
            ).compile(for: facts)
            predicted.append(
                taus.map { tau in
                    zip(states, seconds).map { compiled.forecast($0).quantile(tau) / $1 }
                })
        }
        var result = model
        result.ensemble?.fixedWeights = weights(
            predicted, taus: taus, start: ensemble.weights(for: facts), iterations: 2000)
        return result
    }

    /// Weights that minimise the pinball loss of `predicted[specialist][quantile][row]`, relative to the measurement.
    private static func weights(
        _ predicted: [[[Double]]], taus: [Double], start: [Double], iterations: Int
    ) -> [Double] {
        let count = predicted.count
        let rows = predicted[0][0].count
        func loss(_ w: [Double]) -> (value: Double, gradient: [Double]) {
            var value = 0.0
            var gradient = [Double](repeating: 0, count: count)
            let scale = 1 / Double(rows * taus.count)
            for (k, tau) in taus.enumerated() {
                for i in 0..<rows {
                    var q = 0.0
                    for s in 0..<count { q += w[s] * predicted[s][k][i] }
                    let slope = q < 1 ? -tau : 1 - tau
                    value += scale * slope * (q - 1)
                    for s in 0..<count { gradient[s] += scale * slope * predicted[s][k][i] }
                }
            }
            return (value, gradient)
        }
        var best = start
        var bestLoss = loss(best).value
        // No specialist starts at exactly 0, from which a product could not lift it.
        var w = best.map { 0.9 * $0 + 0.1 / Double(count) }
        var average = [Double](repeating: 0, count: count)
        for t in 0..<max(1, iterations) {
            let (value, gradient) = loss(w)
            if value < bestLoss { (best, bestLoss) = (w, value) }
            let spread = (gradient.max() ?? 0) - (gradient.min() ?? 0)
            guard spread > 0 else { break }
            let rate = 2 / (spread * Double(t + 1).squareRoot())
            let least = gradient.min() ?? 0
            var total = 0.0
            for s in 0..<count {
                w[s] *= exp(-rate * (gradient[s] - least))
                total += w[s]
            }
            for s in 0..<count {
                w[s] /= total
                average[s] += w[s]
            }
        }
        let sum = average.reduce(0, +)
        if sum > 0 {
            let mean = average.map { $0 / sum }
            if loss(mean).value < bestLoss { best = mean }
        }
        return best
    }
}
