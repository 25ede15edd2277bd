import LatencyOracle

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// The API server's time, learned from what first tokens take beyond the engine.
///
/// A first token waits for tokenisation and the way to the engine, and, behind the outputs that other requests got from
/// the same step, for the way back. Measurements at the client show the sum alone: how it divides is a prior.
public enum ServingTimeFit {
    /// Share of the fixed time that passes before the engine. In journeys recorded on CPU nearly all of it does.
    static let shareBefore = 0.9
    /// Log-normal spread of a single request's times: a prior, since what a client sees varies with the steps as well.
    static let spread = 0.3
    /// Other servers deviate at least by this factor's logarithm: all runs may come from one laboratory.
    static let leastDiscrepancy = 0.3

    /// Fits seconds = constant + slope x requests ahead, both at least 0, robustly, every run counting the same.
    /// - Parameter runs: samples of each run.
    /// - Returns: nil with fewer than a hundred samples.
    public static func fit(_ runs: [(seconds: [Double], requestsAhead: [Double])]) -> (
        arrival: AffineLatency, post: AffineLatency
    )? {
        let rows = DesignRows(
            columns: 1, features: runs.flatMap(\.requestsAhead), targets: runs.flatMap(\.seconds))
        guard rows.count >= 100 else { return nil }
        let weights = runs.flatMap { run in
            run.seconds.map { _ in Double(rows.count) / Double(runs.count * run.seconds.count) }
        }
        guard
            let fit = IterativeFit.fit(
                rows, weights: weights, likelihood: .studentT, degreesOfFreedom: 4, relative: false,
                solver: .nonnegative)
        else { return nil }
        let constant = max(0, fit.estimate.intercept)
        let slope = fit.estimate.coefficients[0]
        let logs = runs.compactMap { run -> Double? in
            let ratios = zip(run.seconds, run.requestsAhead).map { $0 / max(constant + slope * $1, 1e-6) }
            return ratios.isEmpty ? nil : log(max(median(sorted: ratios.sorted()), 0.05))
        }
        let squares = logs.reduce(0) { $0 + $1 * $1 } / Double(max(1, logs.count))
        let discrepancy = max(squares.squareRoot(), leastDiscrepancy)
        let noise = NoiseModel(family: .logNormal, scale: spread, relative: true)
        return (
            arrival: AffineLatency(
                constant: constant * shareBefore, perToken: 0, noise: noise, discrepancy: discrepancy),
            post: AffineLatency(
                constant: constant * (1 - shareBefore), perToken: 0,
                perRunningRequest: slope, noise: noise, discrepancy: discrepancy)
        )
    }
}
