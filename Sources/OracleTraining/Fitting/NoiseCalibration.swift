import LatencyOracle
import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Spread of predictions, learned on rows that the coefficients were not fitted to.
extension StepTimeTrainer {
    /// Sets the noise scale so that the central 80 % of errors on held-out blocks of time lie inside the model's
    /// P10-P90: a fit's own residuals are too small, and the tails' shape is only roughly right.
    func calibrateNoise(
        _ model: inout StepModel, _ data: StepDataSet, _ rows: [Int], _ options: TrainingOptions,
        _ fitted: Solution, _ prior: NamedPrior? = nil
    ) throws {
        guard rows.count >= 100, var noise = model.noise else { return }
        let part = data.selecting(rows)
        var scaled: [Double] = []
        for split in RowSplit.timeBlocks(part, blocks: 4) where !split.test.isEmpty {
            guard
                let inner = try? solve(part, rows: split.train, options, name: split.name, prior: prior)
            else { continue }
            let design = designRows(part, rows: split.test, features: inner.features)
            for (predicted, target) in zip(inner.fit.estimate.predict(design), design.targets) {
                if inner.isLogarithmic {
                    scaled.append(abs(log(target) - predicted))
                } else if noise.relative {
                    scaled.append(abs(target - predicted) / max(predicted, 0.25 * target))
                } else {
                    scaled.append(abs(target - predicted))
                }
            }
        }
        guard scaled.count >= 100 else { return }
        scaled.sort()
        let score =
            noise.family == .studentT
            ? StudentTDistribution(degreesOfFreedom: noise.degreesOfFreedom ?? 4).quantile(0.9)
            : NormalDistribution.quantile(0.9)
        noise.scale = quantile(sorted: scaled, 0.8) / score
        model.noise = noise
    }

    /// How far whole configurations deviate, from predictions for configurations left out: the spread of the median
    /// ratio, and of what is left on short steps.
    func addDiscrepancy(
        _ model: inout StepModel, _ data: StepDataSet, _ rows: [Int], _ options: TrainingOptions
    ) throws {
        let part = data.selecting(rows)
        guard let all = try? RowSplit.leaveOneOut(part, .configuration), all.count >= 3 else { return }
        var deviations: [ConfigurationDeviation] = []
        for split in Self.grouped(all, atMost: 8) {
            guard let inner = try? solve(part, rows: split.train, options, name: split.name) else { continue }
            var byGroup: [Int: [(predicted: Double, measured: Double)]] = [:]
            let design = designRows(part, rows: split.test, features: inner.features)
            let predictions = inner.fit.estimate.predict(design)
            for (i, row) in split.test.enumerated() {
                let predicted = inner.isLogarithmic ? exp(predictions[i]) : predictions[i]
                byGroup[part.group[row], default: []].append((predicted, design.targets[i]))
            }
            deviations += byGroup.keys.sorted().compactMap { ConfigurationDeviation(byGroup[$0] ?? []) }
        }
        guard let discrepancy = ConfigurationDeviation.discrepancy(deviations) else { return }
        model.discrepancy = discrepancy
    }

    /// Joins splits until there are at most `count`: what is left out together is tested together.
    static func grouped(_ splits: [RowSplit], atMost count: Int) -> [RowSplit] {
        guard splits.count > count else { return splits }
        let all = splits.reduce(into: [Int]()) { $0 += $1.test }.sorted()
        return (0..<count).map { part in
            var test: [Int] = []
            for (index, split) in splits.enumerated() where index % count == part { test += split.test }
            let held = Set(test)
            return RowSplit(name: "part \(part + 1)", train: all.filter { !held.contains($0) }, test: test)
        }
    }
}
