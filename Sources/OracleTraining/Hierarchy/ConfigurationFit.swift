import LatencyOracle
import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Factors of one deployment whose steps were measured: drawn towards what kernels and host time say, with the sums of
/// its kernels as a guide for batches that were not measured.
struct ConfigurationFit {
    /// How firmly factors are held at those of the accelerator.
    static let shrinkage = 0.02
    /// Weight of kernel sums beside the measured steps.
    static let kernelShare = 0.2

    let configuration: HostTime.Configuration
    let coefficients: [Double]
    /// Rows learned from, measured ones first.
    let rows: StepDataSet
    /// Relative errors of measured steps without prefill of their own around the fit, their median taken off.
    let residuals: [Double]
    /// How far single runs lie from the fit.
    let discrepancy: Discrepancy

    init(
        _ configuration: HostTime.Configuration, kernels: KernelHierarchy, host: HostTime, sums: StepDataSet,
        trainer: StepTimeTrainer
    ) {
        self.configuration = configuration
        let features = kernels.features
        var rows = configuration.data.selecting(configuration.rows)
        let measured = rows.count
        let scope = ModelScope(configuration: configuration.facts)
        let matching = (0..<sums.count).filter { scope.matches(sums.groups[sums.group[$0]].facts) }
        rows.add(sums.selecting(matching))
        self.rows = rows
        let share = matching.isEmpty ? 0 : Self.kernelShare
        var weights = [Double](repeating: (1 - share) / Double(measured), count: measured)
        weights += matching.map { _ in share / Double(matching.count) }
        let held = Set(KernelHierarchy.heldFeatures + ["host_link_transfer", QueueCost.feature])
        let free = features.indices.filter { !held.contains(features[$0].name) }
        let engines = features.indices.filter { KernelHierarchy.engineFeatures.contains(features[$0].name) }
        let design = trainer.designRows(rows, rows: Array(0..<rows.count), features: features)
            .clearing(columns: engines, rows: measured..<rows.count)
        let fit = ShrunkenFit.fit(
            design, weights: weights, free: free,
            prior: host.adding(to: kernels.coefficients(configuration.facts)), shrinkage: Self.shrinkage)
        coefficients = fit.coefficients
        let errors = (0..<measured).map { i in
            let fitted = zip(design.row(i), fit.coefficients).reduce(0) { $0 + $1.0 * $1.1 }
            return (rows.seconds[i] - fitted) / max(fitted, 0.25 * rows.seconds[i])
        }
        // Around a row with prefill the steps differ, which is not noise: a simulation knows which of them prefill.
        let alike = (0..<measured).filter { rows.prefillBefore[$0]?.isOwn != true }.map { errors[$0] }
        let centre = median(sorted: alike.sorted())
        residuals = alike.map { $0 - centre }
        // A run's own shift; blocks of time stand for runs where there is one alone.
        var parts: [[Double]] = []
        let runs = Set(rows.run[..<measured]).sorted()
        for run in runs {
            let members = (0..<measured).filter { rows.run[$0] == run }.map { errors[$0] }
            guard members.count >= 20 else { continue }
            let pieces = runs.count > 1 ? 1 : 4
            for piece in 0..<pieces {
                let slice = members[
                    (members.count * piece / pieces)..<(members.count * (piece + 1) / pieces)]
                parts.append(Array(slice))
            }
        }
        let shifts = parts.map { median(sorted: $0.sorted()) }
        let spread = (shifts.reduce(0) { $0 + $1 * $1 } / Double(max(1, shifts.count))).squareRoot()
        discrepancy = Discrepancy(scaleStd: max(spread, 0.01), offsetStd: 0)
    }

    /// Spread of this deployment's steps; nil with too few.
    var noise: NoiseModel? { Self.noise(residuals) }

    /// Spread of steps over all deployments; nil without any.
    static func noise(_ fits: [ConfigurationFit]) -> NoiseModel? {
        let own = fits.compactMap(\.noise)
        guard !own.isEmpty else { return nil }
        func mean(_ values: [Double]) -> Double {
            exp(values.reduce(0) { $0 + log($1) } / Double(values.count))
        }
        return NoiseModel(
            family: .studentT, scale: mean(own.map(\.scale)), relative: true,
            degreesOfFreedom: mean(own.compactMap(\.degreesOfFreedom)))
    }

    /// Student's t whose central 80 % are as wide as the errors'.
    private static func noise(_ residuals: [Double]) -> NoiseModel? {
        guard residuals.count >= 100 else { return nil }
        let sizes = residuals.map { abs($0) }.sorted()
        let half = quantile(sorted: sizes, 0.8)
        guard half > 0 else { return nil }
        let start = half / StudentTDistribution(degreesOfFreedom: 4).quantile(0.9)
        let df = min(max(StudentTRegression.bestDegreesOfFreedom(residuals, scale: start), 2.5), 100)
        return NoiseModel(
            family: .studentT, scale: half / StudentTDistribution(degreesOfFreedom: df).quantile(0.9),
            relative: true, degreesOfFreedom: df)
    }
}
