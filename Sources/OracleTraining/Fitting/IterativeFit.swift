import LatencyOracle
import LinearAlgebra

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Fits rows under a likelihood by reweighting: each round solves a weighted problem on sufficient statistics,
/// sparse Bayesian or non-negative, then weights rows by what it predicts and how far off they are.
struct IterativeFit {
    var estimate: LinearEstimate
    /// Scale of the noise: fraction of the prediction if relative, else in the target's unit.
    var scale: Double
    var degreesOfFreedom: Double?
    var rounds: Int

    /// What solves each round.
    enum Solver {
        /// Sparse Bayesian regression.
        case sparse(EvidenceUpdates)
        /// The same with coefficients of at least 0.
        case nonnegativeSparse(EvidenceUpdates)
        /// Least squares with coefficients of at least 0.
        case nonnegative
        /// The same, drawn towards what is known.
        case drawnTo(CoefficientPrior)
    }

    /// Rounds after which reweighting stops; it settles in five to ten.
    static let maximumRounds = 30

    /// - Parameters:
    ///   - weights: weight of each row, before the likelihood has its say.
    ///   - relative: whether errors count relative to the prediction.
    /// - Returns: nil when the target is constant or there are no rows.
    static func fit(
        _ rows: DesignRows, weights base: [Double], likelihood: TrainingOptions.Likelihood,
        degreesOfFreedom: Double?, relative: Bool, solver: Solver
    ) -> IterativeFit? {
        let count = rows.count
        guard count > 0 else { return nil }
        let robust = likelihood == .studentT
        var weights = base
        if relative {
            // A few absurdly short times would outweigh everything: the shortest twentieth counts as its longest.
            let short = quantile(sorted: rows.targets.sorted(), 0.05)
            for i in 0..<count {
                let size = max(rows.targets[i], short)
                weights[i] = base[i] / (size * size)
            }
        }
        var nu = degreesOfFreedom ?? 4
        var residuals = [Double](repeating: 0, count: count)
        var fitted = [Double](repeating: 0, count: count)
        var last: [Double]?
        var result: IterativeFit?
        let total = base.reduce(0, +)
        for round in 1...maximumRounds {
            let block = GramBlock(rows, weights: weights)
            let next =
                switch solver {
                case .sparse(let updates): ARDRegression.fit(block, updates: updates)
                case .nonnegativeSparse(let updates): NonNegativeARD.fit(block, updates: updates)
                case .nonnegative: NonNegativeLeastSquares.fit(block)
                case .drawnTo(let prior): NonNegativeLeastSquares.fit(block, prior: prior)
                }
            guard let estimate = next else { return result }
            fitted = estimate.predict(rows)
            var squares = 0.0
            for i in 0..<count {
                let size = relative ? unit(fitted[i], rows.targets[i]) : 1
                residuals[i] = (rows.targets[i] - fitted[i]) / size
            }
            if robust {
                var scale = result?.scale ?? medianScale(residuals)
                // A few inner rounds settle the scale for these residuals: sum of weighted squares over sum of weights.
                for _ in 0..<8 {
                    var sum = 0.0
                    var mass = 0.0
                    for i in 0..<count {
                        let z = residuals[i] / scale
                        let lambda = (nu + 1) / (nu + z * z)
                        sum += base[i] * lambda * residuals[i] * residuals[i]
                        mass += base[i] * lambda
                    }
                    let renewed = max((sum / mass).squareRoot(), 1e-12)
                    let settled = abs(renewed - scale) <= 1e-6 * scale
                    scale = renewed
                    if settled { break }
                }
                if degreesOfFreedom == nil {
                    nu = min(max(StudentTRegression.bestDegreesOfFreedom(residuals, scale: scale), 2.1), 100)
                }
                result = IterativeFit(
                    estimate: estimate, scale: scale, degreesOfFreedom: nu, rounds: round)
            } else {
                for i in 0..<count { squares += base[i] * residuals[i] * residuals[i] }
                let freedom = max(1, Double(count - estimate.kept.count - 1)) / Double(count)
                result = IterativeFit(
                    estimate: estimate, scale: (squares / (total * freedom)).squareRoot(),
                    degreesOfFreedom: nil,
                    rounds: round)
            }
            if !robust && !relative { break }
            if let last {
                var change = 0.0
                var size = 0.0
                for i in 0..<count {
                    change += abs(fitted[i] - last[i])
                    size += abs(fitted[i])
                }
                if change <= 1e-5 * size { break }
            }
            last = fitted
            let scale = result?.scale ?? 1
            for i in 0..<count {
                let size = relative ? unit(fitted[i], rows.targets[i]) : 1
                let z = residuals[i] / scale
                let lambda = robust ? (nu + 1) / (nu + z * z) : 1
                weights[i] = base[i] * lambda / (size * size)
            }
        }
        return result
    }

    /// What an error is relative to: the prediction, unless it is absurdly small beside the target.
    private static func unit(_ predicted: Double, _ target: Double) -> Double {
        max(predicted, 0.25 * target)
    }

    /// Scale from the median absolute residual: where robust rounds start.
    private static func medianScale(_ residuals: [Double]) -> Double {
        let sorted = residuals.map { abs($0) }.sorted()
        return max(1.4826 * sorted[sorted.count / 2], 1e-12)
    }
}
