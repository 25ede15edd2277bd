import LatencyOracle
import ServingCore

/// How far deployments of a model deviate from an oracle that never saw the model: the discrepancy that a forecast for a
/// new model has to reckon with.
struct DeviationsOfModels {
    /// Of all deployments.
    private(set) var all: Discrepancy?
    private var byScope: [KernelHierarchy.Scope: [Deviation]] = [:]
    private var byKind: [Bool: [Deviation]] = [:]
    private let engine: Double

    private struct Deviation {
        var scale: Double
        var offset: Double
    }

    /// Leaves out one model of `own` after the other.
    /// - Throws: `InvalidInput` when what is left cannot be learned from.
    init(
        own: StepDataSet, _ evidence: HierarchicalTrainer.Evidence, host: HostTime, trainer: StepTimeTrainer,
        features: [StepFeature]
    ) throws {
        // Real engines beyond kernels: what a host time learned on the other models leaves.
        var left: [Double] = []
        let measuredModels = Set(host.configurations.map(\.facts.modelName)).sorted()
        let kernels = try KernelHierarchy(evidence.kernels, trainer: trainer, features: features)
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
    }

    /// Of a scope's deployments; of all with experts or without where the scope has too few.
    func discrepancy(_ scope: KernelHierarchy.Scope) -> Discrepancy? {
        let own = byScope[scope] ?? []
        return discrepancy(own.count >= 4 ? own : byKind[scope.hasExperts] ?? own) ?? all
    }

    private func discrepancy(_ deviations: [Deviation]) -> Discrepancy? {
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
        let pairs = rows.indices.map { i in
            (
                predicted: zip(design.row(i), factors).reduce(0) { $0 + $1.0 * $1.1 },
                measured: design.targets[i]
            )
        }.sorted { $0.predicted < $1.predicted }
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
