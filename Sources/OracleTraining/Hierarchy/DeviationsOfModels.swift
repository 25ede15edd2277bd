import LatencyOracle
import ServingCore

/// How far deployments of a model deviate from an oracle that never saw the model: the discrepancy that a forecast for a
/// new model has to reckon with.
struct DeviationsOfModels {
    /// Of all deployments.
    private(set) var all: Discrepancy?
    private var byScope: [KernelHierarchy.Scope: [Deviation]] = [:]
    private var byKind: [Bool: [Deviation]] = [:]
    private var withModel: [Level: [Deviation]] = [:]
    private let engine: Double

    /// How far mixtures of experts on real engines are taken to lie off their kernel times where these are known: in 16
    /// bits as far as Mixtral on H100 does at most, the only one that was measured; in fewer, which nobody has measured, more.
    static let expertsOnEngines = (in16Bits: 0.06, inFewer: 0.1)

    /// Deployments of which kernel times of the model, or of the very layout, are known.
    private struct Level: Hashable {
        var format: String
        var hasLayout: Bool

        init(_ deployment: KernelsOfModels.Deployment) {
            format = deployment.scope.format
            hasLayout = deployment.layout != nil
        }
    }

    private struct Deviation {
        var scale: Double
        var offset: Double
    }

    /// Leaves out one model of `own` after the other.
    /// - Throws: `InvalidInput` when what is left cannot be learned from.
    init(
        own: StepDataSet, _ evidence: HierarchicalTrainer.Evidence, kernels: KernelHierarchy, host: HostTime,
        trainer: StepTimeTrainer, features: [StepFeature]
    ) throws {
        // Real engines beyond kernels: what a host time learned on the other models leaves.
        var left: [Double] = []
        let measuredModels = Set(host.configurations.map(\.facts.modelName)).sorted()
        for model in measuredModels where measuredModels.count > 1 {
            let others = HostTime(evidence.without(model).measured, kernels: kernels, trainer: trainer)
            for configuration in host.configurations where configuration.facts.modelName == model {
                let factors = others.adding(to: kernels.coefficients(configuration.facts))
                left.append(
                    Self.deviation(configuration.data, configuration.rows, factors, trainer, features).scale)
            }
        }
        engine = Self.size(left)
        var deviations: [Deviation] = []
        for model in Set(own.groups.map(\.facts.modelName)).sorted() {
            let rest = evidence.without(model)
            guard let kernels = try? KernelHierarchy(rest.kernels, trainer: trainer, features: features)
            else {
                continue
            }
            for group in own.groups.indices where own.groups[group].facts.modelName == model {
                let rows = (0..<own.count).filter { own.group[$0] == group }
                guard rows.count >= 5 else { continue }
                let facts = own.groups[group].facts
                let deviation = Self.deviation(own, rows, kernels.coefficients(facts), trainer, features)
                deviations.append(deviation)
                byScope[KernelHierarchy.Scope(facts), default: []].append(deviation)
                byKind[facts.experts > 0, default: []].append(deviation)
            }
        }
        all = discrepancy(deviations)
        for known in kernels.models?.leftOut ?? [] {
            withModel[Level(known.deployment), default: []].append(Self.deviation(known.predictions))
        }
    }

    /// Of deployments whose model's kernel times are known, or those of the layout, too.
    func discrepancy(_ deployment: KernelsOfModels.Deployment) -> Discrepancy? {
        let level = Level(deployment)
        let onEngine =
            level.format == "bf16" ? Self.expertsOnEngines.in16Bits : Self.expertsOnEngines.inFewer
        return discrepancy(withModel[level] ?? [], engine: onEngine) ?? discrepancy(deployment.scope)
    }

    /// Of a scope's deployments; of all with experts or without where the scope has too few.
    func discrepancy(_ scope: KernelHierarchy.Scope) -> Discrepancy? {
        let own = byScope[scope] ?? []
        return discrepancy(own.count >= 4 ? own : byKind[scope.hasExperts] ?? own) ?? all
    }

    private func discrepancy(_ deviations: [Deviation]) -> Discrepancy? {
        discrepancy(deviations, engine: engine)
    }

    private func discrepancy(_ deviations: [Deviation], engine: Double) -> Discrepancy? {
        guard deviations.count >= 3 else { return nil }
        let kernels = Self.size(deviations.map(\.scale))
        return Discrepancy(
            scaleStd: (kernels * kernels + engine * engine).squareRoot(),
            offsetStd: Self.size(deviations.map(\.offset)))
    }

    /// Median ratio less 1, and what is left of short steps then.
    private static func deviation(
        _ data: StepDataSet, _ rows: [Int], _ factors: [Double], _ trainer: StepTimeTrainer,
        _ features: [StepFeature]
    ) -> Deviation {
        let design = trainer.designRows(data, rows: rows, features: features)
        return deviation(
            rows.indices.map { i in
                (
                    predicted: zip(design.row(i), factors).reduce(0) { $0 + $1.0 * $1.1 },
                    measured: design.targets[i]
                )
            })
    }

    private static func deviation(_ pairs: [(predicted: Double, measured: Double)]) -> Deviation {
        let pairs = pairs.sorted { $0.predicted < $1.predicted }
        let ratio = median(sorted: pairs.map { $0.measured / max($0.predicted, 1e-9) }.sorted())
        let short = pairs.prefix(max(3, pairs.count / 4))
        return Deviation(
            scale: ratio - 1,
            offset: median(sorted: short.map { $0.measured - ratio * $0.predicted }.sorted()))
    }

    private static func size(_ values: [Double]) -> Double {
        guard !values.isEmpty else { return 0 }
        return (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()
    }
}
