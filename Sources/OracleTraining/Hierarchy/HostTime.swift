import LatencyOracle
import ServingCore

/// What an engine's step takes beyond its kernels, from steps measured on real engines: a fixed time, and a time for every
/// rank beyond the first that an all-reduce waits for.
///
/// Under asynchronous scheduling most of the host's work hides behind the accelerator, so these are what is left of it.
public struct HostTime {
    /// The engine's work on the CPU, where it is not hidden: a prior. vLLM's scheduler and runner take about 11 us per
    /// running request, and measured H100 steps up to 1.2 ms beyond their kernels.
    public static let prior = AffineLatency(constant: 1.2e-3, perToken: 0, perRunningRequest: 11e-6)

    /// A deployment with measured steps.
    struct Configuration {
        var facts: DeploymentFacts
        var data: StepDataSet
        var rows: [Int]
    }

    /// Features that stand for it. Work per running request is not among them: it hides (see `prior`), and a slope over
    /// running requests would take up what kernel times miss.
    static let features = ["constant", "all_reduce_hops"]

    /// Seconds per unit of each of all features; 0 but for the host's.
    let coefficients: [Double]
    /// Deployments with measured steps.
    let configurations: [Configuration]
    /// Median of measured over kernels alone less 1, by deployment.
    let excess: [Double]

    init(_ measured: StepDataSet?, kernels: KernelHierarchy, trainer: StepTimeTrainer) {
        let features = kernels.features
        let none = [Double](repeating: 0, count: features.count)
        guard let measured, measured.count > 0 else {
            (coefficients, configurations, excess) = (none, [], [])
            return
        }
        let used = measured.groups.indices.filter { measured.group.contains($0) }
        configurations = used.map { group in
            Configuration(
                facts: measured.groups[group].facts, data: measured,
                rows: (0..<measured.count).filter { measured.group[$0] == group })
        }
        // Prefill costs belong to kernels: only decode steps say what the host adds.
        let rows = (0..<measured.count).filter { measured.states[$0].prefillTokens == 0 }
        let factors = measured.groups.map { kernels.coefficients($0.facts) }
        let design = trainer.designRows(measured, rows: rows, features: features)
        let offset = rows.indices.map { i in
            zip(design.row(i), factors[measured.group[rows[i]]]).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let free = Self.features.compactMap { name in features.firstIndex { $0.name == name } }
        coefficients =
            rows.isEmpty
            ? none
            : ShrunkenFit.fit(
                design, weights: equalWeights(rows.map { measured.group[$0] }), offset: offset, free: free,
                // A deployment's kernels are off by about as much as the host adds, so every deployment counts as one
                // observation, and the belief in no host time as one more.
                prior: none, shrinkage: 1 / Double(max(1, used.count))
            ).coefficients
        excess = used.compactMap { group in
            let ratios = rows.indices.filter { measured.group[rows[$0]] == group }
                .map { design.targets[$0] / max(offset[$0], 1e-9) }
            return ratios.isEmpty ? nil : median(sorted: ratios.sorted()) - 1
        }
    }

    /// Kernels' factors and the host's together.
    func adding(to kernels: [Double]) -> [Double] { zip(kernels, coefficients).map { $0 + $1 } }
}
