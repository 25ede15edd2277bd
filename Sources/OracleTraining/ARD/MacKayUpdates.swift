import LinearAlgebra

/// Evidence maximisation by MacKay's fixed point, a_j <- gamma_j / mu_j^2 and b <- (n - sum gamma) / SSE, with
/// Gamma hyperpriors and a threshold above which a feature is pruned.
///
/// With the defaults it is scikit-learn's `ARDRegression` on standardised data, step for step (MacKay, 1992;
/// scikit-learn `linear_model/_bayes.py`). The evidence need not rise at every step.
public struct MacKayUpdates: Sendable {
    /// Shape and rate of the Gamma priors of the noise precision and of each weight's precision.
    public var hyperprior = 1e-6
    /// A feature whose precision reaches this is pruned.
    public var pruneAbove = 1e4
    /// Stops when the weights' absolute changes sum to less than this.
    public var tolerance = 1e-3
    /// Stops after so many updates.
    public var maximumIterations = 300

    /// scikit-learn's settings.
    public init() {}

    /// The same priors run to convergence.
    public static var converged: MacKayUpdates {
        var updates = MacKayUpdates()
        updates.tolerance = 1e-12
        updates.maximumIterations = 20_000
        return updates
    }

    /// Fits; nil when there is nothing to fit (a constant target) or the matrix breaks down.
    public func fit(_ gram: StandardizedGram) -> (posterior: SparsePosterior, iterations: Int)? {
        guard gram.targetScale > 0, gram.rows > 0 else { return nil }
        let count = gram.columns.count
        var precisions = [Double](repeating: 1, count: count)
        var active = Array(0..<count)
        var noise = 1 / (gram.targetSquares / gram.rows + Double.ulpOfOne)
        var last: [Double]?
        var iterations = 0
        for iteration in 0..<maximumIterations {
            iterations = iteration + 1
            guard
                let posterior = SparsePosterior(
                    gram, active: active, precisions: active.map { precisions[$0] }, noisePrecision: noise)
            else { return nil }
            let determinedness = posterior.determinedness
            var weights = [Double](repeating: 0, count: count)
            for (i, j) in active.enumerated() {
                let w = posterior.weights[i]
                weights[j] = w
                precisions[j] = (determinedness[i] + 2 * hyperprior) / (w * w + 2 * hyperprior)
            }
            noise =
                (gram.rows - determinedness.reduce(0, +) + 2 * hyperprior)
                / (posterior.squaredError(gram) + 2 * hyperprior)
            active = active.filter { precisions[$0] < pruneAbove }
            let kept = Set(active)
            for j in 0..<count where !kept.contains(j) { weights[j] = 0 }
            if let last {
                let change = zip(last, weights).reduce(0) { $0 + abs($1.0 - $1.1) }
                if change < tolerance { break }
            }
            last = weights
            if active.isEmpty { break }
        }
        guard
            let final = SparsePosterior(
                gram, active: active, precisions: active.map { precisions[$0] }, noisePrecision: noise)
        else { return nil }
        return (final, iterations)
    }
}
