import LatencyOracle
import ServingCore

/// How firmly accelerators are held at what all share, chosen by predicting models that were left out; and how far
/// their deployments lay off then.
struct ShrinkageChoice {
    typealias Scope = SharedFactors.Scope

    /// The best.
    private(set) var shrinkage = AcceleratorFactors.Shrinkage()
    /// How deployments of models left out deviate, by scope and whether they have experts.
    private(set) var deviations: [Kind: [ConfigurationDeviation]] = [:]

    /// What deviations are gathered by.
    struct Kind: Hashable {
        var scope: Scope
        var hasExperts: Bool
    }

    /// Parts that models are dealt into: each is predicted by the others.
    static let parts = 4

    /// - Parameter models: model of each row.
    init(_ rows: AcceleratorFactors.Rows, models: [String]) {
        let parts = Self.deal(models, rows.hasExperts)
        guard parts.count > 1 else { return }
        let folds = parts.map { part in
            (
                test: models.indices.filter { part.contains(models[$0]) },
                factors: AcceleratorFactors(
                    rows.selecting(models.indices.filter { !part.contains(models[$0]) }))
            )
        }
        let candidates = AcceleratorFactors.Shrinkage.candidates
        func predictions(_ hasExperts: Bool, _ factors: (AcceleratorFactors, Scope) -> [Double]) -> [Int:
            Double]
        {
            var result: [Int: Double] = [:]
            for fold in folds {
                var known: [Scope: [Double]] = [:]
                for row in fold.test where rows.hasExperts[row] == hasExperts {
                    let scope = rows.scopes[row]
                    let own = known[scope] ?? factors(fold.factors, scope)
                    known[scope] = own
                    result[row] = zip(rows.design.row(row), own).reduce(0) { $0 + $1.0 * $1.1 }
                }
            }
            return result
        }
        for hasExperts in [false, true] {
            var best: (error: Double, predictions: [Int: Double])?
            for candidate in candidates {
                let found = predictions(hasExperts) { factors, scope in
                    guard hasExperts else { return factors.dense(scope, candidate) }
                    let base = factors.dense(scope, shrinkage.dense)
                    return factors.experts(scope, on: base, candidate)
                }
                guard !found.isEmpty else { break }
                let error = Self.error(rows, found)
                guard error < best?.error ?? .infinity else { continue }
                best = (error, found)
                if hasExperts { shrinkage.experts = candidate } else { shrinkage.dense = candidate }
            }
            gather(rows, best?.predictions ?? [:], hasExperts)
        }
    }

    /// Of a scope's deployments; of all with experts or without where the scope has fewer than three.
    func discrepancy(_ kind: Kind) -> Discrepancy? {
        let own = deviations[kind] ?? []
        if let found = ConfigurationDeviation.discrepancy(own) { return found }
        // A dictionary's order is not the same twice.
        let order = deviations.keys.filter { $0.hasExperts == kind.hasExperts }.sorted {
            ($0.scope.accelerator, $0.scope.format ?? "") < ($1.scope.accelerator, $1.scope.format ?? "")
        }
        return ConfigurationDeviation.discrepancy(order.flatMap { deviations[$0] ?? [] })
    }

    /// Mean over deployments of the median relative error.
    private static func error(_ rows: AcceleratorFactors.Rows, _ predictions: [Int: Double]) -> Double {
        var errors: [Int: [Double]] = [:]
        for row in predictions.keys.sorted() {
            let measured = rows.design.targets[row]
            errors[rows.groups[row], default: []].append(abs((predictions[row] ?? 0) - measured) / measured)
        }
        let medians = errors.keys.sorted().map { median(sorted: (errors[$0] ?? []).sorted()) }
        return medians.reduce(0, +) / Double(max(1, medians.count))
    }

    private mutating func gather(
        _ rows: AcceleratorFactors.Rows, _ predictions: [Int: Double], _ hasExperts: Bool
    ) {
        var byGroup: [Int: [Int]] = [:]
        for row in predictions.keys.sorted() { byGroup[rows.groups[row], default: []].append(row) }
        for group in byGroup.keys.sorted() {
            guard let own = byGroup[group], let first = own.first else { continue }
            let pairs = own.map { (predicted: predictions[$0] ?? 0, measured: rows.design.targets[$0]) }
            guard let deviation = ConfigurationDeviation(pairs) else { continue }
            deviations[Kind(scope: rows.scopes[first], hasExperts: hasExperts), default: []].append(deviation)
        }
    }

    /// Models dealt into parts, those with experts and those without each in turn: every part leaves some of both.
    private static func deal(_ models: [String], _ hasExperts: [Bool]) -> [Set<String>] {
        var parts = [Set<String>](repeating: [], count: Self.parts)
        for kind in [true, false] {
            let names = Set(models.indices.filter { hasExperts[$0] == kind }.map { models[$0] }).sorted()
            for (index, name) in names.enumerated() { parts[index % Self.parts].insert(name) }
        }
        return parts.filter { !$0.isEmpty }
    }
}
