import LatencyOracle
import ServingCore

/// Efficiency factors of kernels, learned from sums of kernel times: dense work of all accelerators, then of one, then of
/// one in one weight format, each drawn towards the one before; experts on top of the dense work, drawn towards the
/// roofline prior.
///
/// Dense factors come from dense models alone and carry over to mixtures of experts: experts fitted together with them
/// take up what belongs to the dense part, and miss by half on a model that was not there.
struct KernelHierarchy {
    /// What shares factors.
    struct Scope: Hashable {
        var accelerator: String
        var format: String
        var hasExperts: Bool

        init(_ facts: DeploymentFacts) {
            accelerator = facts.acceleratorName
            format = facts.weightFormat == "fp16" ? "bf16" : facts.weightFormat
            hasExperts = facts.experts > 0
        }
    }

    /// How firmly dense factors are held at those of the wider level.
    static let denseShrinkage = 0.005
    /// How firmly experts' factors are held at the prior: few models have experts, and kernels differ by their shape.
    static let expertShrinkage = 0.5
    /// Fewer dense rows of a weight format than this leave it at its accelerator's factors.
    static let leastRows = 60

    /// Fitted on top of the dense work.
    static let expertFeatures = [
        "expert_layer_launches", "expert_weight_read", "expert_flops", "expert_all_to_all",
    ]
    /// Held at the prior: no kernel sum tells them from other expert features in a way that carries over.
    static let heldFeatures = [
        "expert_concentration", "expert_activation_traffic", "expert_load_spread", "rank_load_spread",
        "offloaded_weight_read",
    ]
    /// Not in kernel sums: the engine's own time and copies, and what requests cost one another.
    static let engineFeatures = [
        "constant", "running_requests", "host_link_transfer", QueueCost.feature, "prefill_beside_decodes",
    ]
    /// Not learned from kernel sums alone: they were measured one after the other on a GPU at work throughout, which shows
    /// beside the bursts of an engine only.
    static let hostFeatures = engineFeatures + ["sustained_prefill"]

    /// Names of all features, the columns of every vector here.
    let features: [StepFeature]
    /// Factors without an accelerator of their own.
    private(set) var pooled: [Double] = []
    /// Factors by accelerator, dense work fitted, experts at the prior.
    private(set) var accelerators: [String: [Double]] = [:]
    /// Factors by scope.
    private(set) var scopes: [Scope: [Double]] = [:]
    /// Factors of mixtures of experts by model and layout, below those of the scope; nil unless asked for.
    private(set) var models: KernelsOfModels?

    /// Learns from the rows given.
    /// - Parameter hasModels: which mixtures of experts have factors of their own.
    /// - Throws: `InvalidInput` when there are no dense rows.
    init(
        _ data: StepDataSet, rows: [Int], trainer: StepTimeTrainer, features: [StepFeature],
        models hasModels: (DeploymentFacts) -> Bool = { _ in false }
    ) throws {
        self.features = features
        func indices(_ names: [String]) -> [Int] {
            names.compactMap { name in features.firstIndex { $0.name == name } }
        }
        let experts = indices(Self.expertFeatures)
        let notDense = Set(experts + indices(Self.heldFeatures) + indices(Self.hostFeatures))
        let dense = features.indices.filter { !notDense.contains($0) }
        var prior = [Double](repeating: 0, count: features.count)
        for coefficient in StepTimeOracle.roofline.artifact.step.coefficients {
            guard let index = features.firstIndex(where: { $0.name == coefficient.feature }) else { continue }
            prior[index] = coefficient.value
        }
        for index in indices(Self.hostFeatures) { prior[index] = 0 }

        let design = trainer.designRows(data, rows: rows, features: features)
        let scopeOfGroup = data.groups.map { Scope($0.facts) }
        func fit(_ free: [Int], prior: [Double], _ shrinkage: Double, _ isMember: (Scope) -> Bool)
            -> [Double]?
        {
            let members = rows.indices.filter { isMember(scopeOfGroup[data.group[rows[$0]]]) }
            guard !members.isEmpty else { return nil }
            let part = design.selecting(members)
            return ShrunkenFit.fit(
                part, weights: equalWeights(members.map { data.group[rows[$0]] }), free: free, prior: prior,
                shrinkage: shrinkage
            ).coefficients
        }
        guard let all = fit(dense, prior: prior, Self.denseShrinkage, { !$0.hasExperts }) else {
            throw InvalidInput(.badData, "no rows of dense models to learn kernels from")
        }
        pooled = all
        var order: [Scope] = []
        for row in rows where !order.contains(scopeOfGroup[data.group[row]]) {
            order.append(scopeOfGroup[data.group[row]])
        }
        for name in Set(order.map(\.accelerator)).sorted() {
            let own = fit(dense, prior: pooled, Self.denseShrinkage) {
                $0.accelerator == name && !$0.hasExperts
            }
            accelerators[name] = own ?? pooled
        }
        // Dense scopes first: experts stand on them.
        for scope in order.sorted(by: { !$0.hasExperts && $1.hasExperts }) {
            var denseScope = scope
            denseScope.hasExperts = false
            let wide = accelerators[scope.accelerator] ?? pooled
            let denseRows = rows.count { scopeOfGroup[data.group[$0]] == denseScope }
            let base =
                scopes[denseScope]
                ?? (denseRows >= Self.leastRows
                    ? fit(dense, prior: wide, Self.denseShrinkage) { $0 == denseScope } : nil) ?? wide
            scopes[denseScope] = base
            guard scope.hasExperts else { continue }
            scopes[scope] = fit(experts, prior: base, Self.expertShrinkage) { $0 == scope }
        }
        let ofModels = rows.indices.filter {
            let facts = data.groups[data.group[rows[$0]]].facts
            return facts.experts > 0 && hasModels(facts)
        }
        guard !ofModels.isEmpty else { return }
        models = KernelsOfModels(
            design.selecting(ofModels), facts: ofModels.map { data.groups[data.group[rows[$0]]].facts },
            experts: experts, above: ofModels.map { scopes[scopeOfGroup[data.group[rows[$0]]]] ?? all })
    }

    /// Factors for a deployment.
    func coefficients(_ facts: DeploymentFacts) -> [Double] {
        if let own = models?.coefficients(facts) { return own }
        let scope = Scope(facts)
        return scopes[scope] ?? scopes[Scope(denseOf: scope)] ?? accelerators[scope.accelerator] ?? pooled
    }
}

extension KernelHierarchy.Scope {
    init(denseOf other: KernelHierarchy.Scope) {
        self = other
        hasExperts = false
    }
}

/// Weights with sum 1 that give every group the same total.
func equalWeights(_ groups: [Int]) -> [Double] {
    var counts: [Int: Int] = [:]
    for group in groups { counts[group, default: 0] += 1 }
    return groups.map { 1 / (Double(counts.count) * Double(counts[$0] ?? 1)) }
}
