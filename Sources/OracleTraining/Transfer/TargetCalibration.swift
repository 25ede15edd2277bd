import LatencyOracle
import LinearAlgebra
import ServingCore

/// Corrects an oracle on rows of a target.
public enum TargetCalibration {
    /// Slope, bias and variance scale by robust regression of measurements on predictions, shrunk to (1, 0).
    ///
    /// Errors count relative to the prediction with Student-t(4) weights; the prior on slope and bias is the oracle's
    /// discrepancy (15 % and 1 ms where it states none).
    public static func linear(
        _ model: StepModel, facts: DeploymentFacts, states: [StepState], seconds: [Double]
    ) throws -> StepModel {
        var plain = model
        plain.calibration = nil
        let oracle = try StepTimeOracle(
            artifact: OracleArtifact(name: "target", summary: "being calibrated", step: plain)
        ).compile(for: facts)
        // The centre, not the mean: the correction acts on the linear predictor.
        let centre = states.map { oracle.stepSeconds($0, noiseScore: 0) }
        let prior = model.discrepancy ?? Discrepancy(scaleStd: 0.15, offsetStd: 1e-3)
        var slope = 1.0
        var bias = 0.0
        var scale = 0.05
        for _ in 0..<20 {
            // Normal equations of (slope - 1, bias), prior included.
            var a11 = 1 / max(prior.scaleStd * prior.scaleStd, 1e-8)
            var a12 = 0.0
            var a22 = 1 / max(prior.offsetStd * prior.offsetStd, 1e-14)
            var b1 = 0.0
            var b2 = 0.0
            var residuals: [Double] = []
            for (predicted, measured) in zip(centre, seconds) {
                let z = (measured - slope * predicted - bias) / predicted
                residuals.append(abs(z))
                let weight = 5 / (4 + z * z / (scale * scale)) / (scale * scale * predicted * predicted)
                a11 += weight * predicted * predicted
                a12 += weight * predicted
                a22 += weight
                b1 += weight * predicted * (measured - predicted)
                b2 += weight * (measured - predicted)
            }
            let determinant = a11 * a22 - a12 * a12
            guard determinant > 0 else { break }
            let next = (1 + (b1 * a22 - b2 * a12) / determinant, (b2 * a11 - b1 * a12) / determinant)
            let change = abs(next.0 - slope) + abs(next.1 - bias) / max(median(sorted: centre.sorted()), 1e-9)
            (slope, bias) = next
            residuals.sort()
            scale = max(1.4826 * median(sorted: residuals), 1e-4)
            if change < 1e-9 { break }
        }
        var result = model
        if model.link == .log {
            // On a logarithm a factor is an added constant; a bias in seconds has no counterpart.
            let middle = median(sorted: centre.sorted())
            result.calibration = Calibration(
                slope: 1, bias: NaturalLogarithm.of((slope * middle + bias) / middle), varianceScale: 1)
        } else {
            result.calibration = Calibration(slope: slope, bias: bias, varianceScale: 1)
        }
        return try scaleVariance(result, facts: facts, states: states, seconds: seconds)
    }

    /// Refits the coefficients on the target with the oracle's as prior: what the target does not determine stays as
    /// the donors taught it. Coefficients that the oracle holds at 0 or above stay there.
    ///
    /// The prior's standard deviation of a coefficient is the posterior's, plus 30 % of its value.
    public static func residualRefit(
        _ model: StepModel, facts: DeploymentFacts, states: [StepState], seconds: [Double]
    ) throws -> StepModel {
        guard model.link == .identity, !model.coefficients.isEmpty else {
            throw InvalidInput(
                field: "kind", value: model.kind.rawValue, "has no coefficients to refit",
                accepted: "a linear or ard model of seconds")
        }
        let set = try FeatureSet.named(model.featureSet)
        let features = try model.coefficients.map { try FeatureSet.stepFeature(named: $0.feature, in: set) }
        let evaluator = StepFeatureEvaluator(features: features, facts: facts)
        let rows = states.map { evaluator.values(of: $0) }
        let prior = model.coefficients.map(\.value)
        let keepSigns = prior.enumerated().allSatisfy {
            $0.element >= 0 || model.coefficients[$0.offset].feature == "constant"
        }
        let count = features.count
        let spread = zip(model.coefficients, prior).map { coefficient, value in
            (coefficient.std ?? 0) + 0.3 * abs(value) + (coefficient.feature == "constant" ? 0.5e-3 : 0)
        }
        var coefficients = prior
        var scale = 0.05
        var covariance = SquareMatrix(size: count)
        var fixed: Set<Int> = Set((0..<count).filter { spread[$0] == 0 })
        for _ in 0..<25 {
            let free = (0..<count).filter { !fixed.contains($0) }
            var matrix = SquareMatrix(size: free.count)
            var rhs = [Double](repeating: 0, count: free.count)
            for (i, j) in free.enumerated() { matrix[i, i] = 1 / (spread[j] * spread[j]) }
            var residuals: [Double] = []
            for (row, measured) in zip(rows, seconds) {
                let predicted = max(dot(row, coefficients), 0.25 * measured)
                let z = (measured - dot(row, coefficients)) / predicted
                residuals.append(abs(z))
                let weight = 5 / (4 + z * z / (scale * scale)) / (scale * scale * predicted * predicted)
                let shortfall =
                    measured - dot(row, prior)
                    - fixed.reduce(0) { $0 + row[$1] * (coefficients[$1] - prior[$1]) }
                for (i, a) in free.enumerated() {
                    rhs[i] += weight * row[a] * shortfall
                    for (j, b) in free.enumerated() { matrix[i, j] += weight * row[a] * row[b] }
                }
            }
            guard let factor = CholeskyFactorization(matrix) else { break }
            var change = 0.0
            for (i, step) in factor.solve(rhs).enumerated() {
                let next = prior[free[i]] + step
                change = max(change, abs(next - coefficients[free[i]]) / spread[free[i]])
                coefficients[free[i]] = next
            }
            covariance = SquareMatrix(size: count)
            let inverse = factor.inverse()
            for (i, a) in free.enumerated() {
                for (j, b) in free.enumerated() { covariance[a, b] = inverse[i, j] }
            }
            if keepSigns,
                let worst = free.filter({ coefficients[$0] < 0 && features[$0].name != "constant" }).min(by: {
                    coefficients[$0] / spread[$0] < coefficients[$1] / spread[$1]
                })
            {
                coefficients[worst] = 0
                fixed.insert(worst)
                continue
            }
            residuals.sort()
            scale = max(1.4826 * median(sorted: residuals), 1e-4)
            if change < 1e-7 { break }
        }
        var result = model
        result.calibration = nil
        result.coefficients = model.coefficients.indices.map { i in
            Coefficient(
                feature: model.coefficients[i].feature, value: coefficients[i],
                std: max(0, covariance[i, i]).squareRoot(), effectiveWeight: nil)
        }
        let slopes = (0..<count).filter { features[$0].name != "constant" }
        let constant = (0..<count).first { features[$0].name == "constant" }
        result.posterior = Posterior(
            features: slopes.map { features[$0].name },
            means: slopes.map { column in rows.reduce(0) { $0 + $1[column] } / Double(max(1, rows.count)) },
            covariance: covariance.submatrix(slopes).rows,
            interceptVariance: constant.map { max(0, covariance[$0, $0]) } ?? 0)
        return try scaleVariance(result, facts: facts, states: states, seconds: seconds)
    }

    /// Scales the noise so that 80 % of the target's errors lie inside P10-P90.
    private static func scaleVariance(
        _ model: StepModel, facts: DeploymentFacts, states: [StepState], seconds: [Double]
    ) throws -> StepModel {
        let oracle = try StepTimeOracle(
            artifact: OracleArtifact(name: "target", summary: "being calibrated", step: model)
        ).compile(for: facts)
        var ratios: [Double] = []
        for (state, measured) in zip(states, seconds) {
            let middle = oracle.predictiveQuantile(state, probability: 0.5)
            let edge = oracle.predictiveQuantile(state, probability: measured < middle ? 0.1 : 0.9)
            guard edge != middle else { continue }
            ratios.append((measured - middle) / (edge - middle))
        }
        guard ratios.count >= 20 else { return model }
        ratios.sort()
        let width = quantile(sorted: ratios, 0.8)
        guard width > 0, width.isFinite else { return model }
        var result = model
        var calibration = model.calibration ?? Calibration(slope: 1, bias: 0, varianceScale: 1)
        calibration.varianceScale *= min(max(width * width, 1e-4), 1e4)
        result.calibration = calibration
        return result
    }
}
