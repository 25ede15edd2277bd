import LatencyOracle
import ServingCore

/// What the hierarchical method learns from besides the rows that it is asked about.
public struct HierarchyEvidence: Sendable {
    /// Sums of kernel times of other accelerators: they inform the widest level.
    public var others: StepDataSet?
    /// Steps of real engines: what they take beyond the kernels is the host's.
    public var measured: StepDataSet?

    /// None.
    public init() {}
}

/// Fits step times in layers: kernels by scope (`KernelHierarchy`), the host's time on what real engines' steps take
/// beyond the kernels, and deployments whose steps were measured on their own rows.
struct HierarchicalTrainer {
    let options: TrainingOptions
    private let steps: StepTimeTrainer
    private let features = FeatureSet.physics.step + FeatureSet.physics.engine

    init(_ options: TrainingOptions) {
        self.options = options
        steps = StepTimeTrainer(options)
    }

    /// Fits the rows given; models of which `data` holds rows that were not given are left out of all evidence.
    func fit(_ data: StepDataSet, rows: [Int]) throws -> StepModel {
        guard options.features.name == FeatureSet.physics.name else {
            throw InvalidInput(
                .usage, field: "--features", value: options.features.name,
                "does not go with --method hierarchical", accepted: FeatureSet.physics.name)
        }
        let given = Set(rows.map { data.groups[data.group[$0]].facts.modelName })
        let left = Set(data.group.map { data.groups[$0].facts.modelName }).subtracting(given)
        let own = data.selecting(rows)
        let evidence = Evidence(own: own, options.evidence, without: left)
        let accelerators = Set(own.groups.map(\.facts.acceleratorName))
        let withRows = Set(own.group.map { own.groups[$0].facts.acceleratorName })
        // A model that is left out to see how well others predict it has none of its own.
        let kernels = try KernelHierarchy(evidence.kernels, trainer: steps, features: features) { facts in
            options.specialisation == .configuration && left.isEmpty
                && withRows.contains(facts.acceleratorName)
        }
        let host = HostTime(evidence.measured, kernels: kernels, trainer: steps)
        let configurations = host.configurations.map {
            ConfigurationFit($0, kernels: kernels, host: host, sums: evidence.kernels, trainer: steps)
        }
        let noise = ConfigurationFit.noise(configurations) ?? StepTimeOracle.roofline.artifact.step.noise
        let deviations =
            options.discrepancy
            ? try DeviationsOfModels(
                own: own, evidence, kernels: kernels, host: host, trainer: steps, features: features) : nil

        var wide = kernels.pooled
        if accelerators.count == 1, let only = accelerators.first {
            wide = kernels.accelerators[only] ?? wide
        }
        var model = stepModel(host.adding(to: wide), noise)
        model.domain = domain(own, Array(0..<own.count))
        model.minimumSeconds = (own.seconds.min() ?? 0) * 0.1
        model.discrepancy = deviations?.all
        model.basis =
            "kernel times of dense models on \(accelerators.sorted().joined(separator: ", ")); experts as in the roofline prior"
        guard options.specialisation != .none else { return model }

        var scoped: [ScopedStepModel] = []
        var seen: Set<KernelHierarchy.Scope> = []
        for index in own.groups.indices {
            let facts = own.groups[index].facts
            let scope = KernelHierarchy.Scope(facts)
            guard seen.insert(scope).inserted, let factors = kernels.scopes[scope] else { continue }
            let members = (0..<own.count).filter {
                KernelHierarchy.Scope(own.groups[own.group[$0]].facts) == scope
            }
            guard !members.isEmpty else { continue }
            var part = stepModel(host.adding(to: factors), noise)
            part.domain = domain(own, members)
            part.minimumSeconds = (members.map { own.seconds[$0] }.min() ?? 0) * 0.1
            part.discrepancy = deviations?.discrepancy(scope)
            let models = Set(members.map { own.groups[own.group[$0]].facts.modelName }).sorted()
            part.basis = "kernel times of \(models.joined(separator: ", "))"
            scoped.append(ScopedStepModel(scope: ModelScope(accelerator: facts), model: part))
        }
        if options.specialisation == .configuration {
            for (deployment, factors) in kernels.models?.all ?? [] {
                var part = stepModel(host.adding(to: factors), noise)
                part.discrepancy = deviations?.discrepancy(deployment)
                part.basis =
                    deployment.layout == nil ? "kernel times of its other layouts" : "its kernel times"
                part.restsOnKernelTimes = true
                scoped.append(ScopedStepModel(scope: deployment.modelScope, model: part))
            }
            for fit in configurations where withRows.contains(fit.configuration.facts.acceleratorName) {
                var part = stepModel(fit.coefficients, fit.noise ?? noise)
                part.domain = domain(fit.rows, Array(0..<fit.rows.count))
                part.minimumSeconds = (fit.rows.seconds.min() ?? 0) * 0.1
                part.discrepancy = fit.discrepancy
                part.basis =
                    "\(fit.configuration.rows.count) measured steps, kernel times beyond them"
                scoped.append(
                    ScopedStepModel(scope: ModelScope(configuration: fit.configuration.facts), model: part))
            }
        }
        model.specialised = scoped.isEmpty ? nil : scoped
        return model
    }

    private func stepModel(_ coefficients: [Double], _ noise: NoiseModel?) -> StepModel {
        let kept = features.indices.filter { coefficients[$0] != 0 }
        return StepModel(
            kind: .linear, featureSet: FeatureSet.physics.name,
            coefficients: kept.map { Coefficient(feature: features[$0].name, value: coefficients[$0]) },
            noise: noise)
    }

    private func domain(_ data: StepDataSet, _ rows: [Int]) -> TrainingDomain? {
        // The constant never varies, kernel sums say nothing of copies, and the engine's features are bounded.
        let candidates = Array(FeatureSet.physics.step.dropFirst())
        return steps.domain(steps.designRows(data, rows: rows, features: candidates), candidates)
    }

    /// All rows that may be learned from.
    struct Evidence {
        /// Sums of kernel times.
        var kernels: StepDataSet
        /// Steps of real engines.
        var measured: StepDataSet?

        init(own: StepDataSet, _ evidence: HierarchyEvidence, without models: Set<String>) {
            kernels = own
            if let others = evidence.others { kernels.add(others.without(models: models)) }
            measured = evidence.measured?.without(models: models)
            if measured?.count == 0 { measured = nil }
        }

        func without(_ model: String) -> Evidence {
            var result = self
            result.kernels = kernels.without(models: [model])
            result.measured = measured?.without(models: [model])
            if result.measured?.count == 0 { result.measured = nil }
            return result
        }
    }
}

extension StepDataSet {
    /// The rows of all other models.
    func without(models: Set<String>) -> StepDataSet {
        guard !models.isEmpty else { return self }
        return selecting((0..<count).filter { !models.contains(groups[group[$0]].facts.modelName) })
    }
}

extension KernelHierarchy {
    /// Learns from all rows of a data set.
    init(
        _ data: StepDataSet, trainer: StepTimeTrainer, features: [StepFeature],
        models: (DeploymentFacts) -> Bool = { _ in false }
    ) throws {
        try self.init(
            data, rows: Array(0..<data.count), trainer: trainer, features: features, models: models)
    }
}
