import LatencyOracle
import LinearAlgebra
import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Fits step-time models to rows of a data set.
public struct StepTimeTrainer: Sendable {
    /// How.
    public var options: TrainingOptions

    /// A trainer.
    public init(_ options: TrainingOptions) { self.options = options }

    /// Fits the rows of the indices given, with noise calibrated on rows that the fit did not see.
    /// - Throws: `InvalidInput` for too few rows, a constant target, or a model that no rows determine.
    public func fit(_ data: StepDataSet, rows: [Int]) throws -> StepModel {
        var options = options
        if options.method == .hierarchical {
            return try HierarchicalTrainer(options).fit(data, rows: rows)
        }
        if options.method != .ard { return try QuantileStepTrainer(options).fit(data, rows: rows).model }
        if options.likelihood == .auto { options.likelihood = try chooseLikelihood(data, rows: rows).best }
        let pooled = try fitOne(data, rows: rows, options, name: "all rows")
        guard options.specialisation != .none else { return pooled }
        var model = pooled
        var scoped: [ScopedStepModel] = []
        let sharing = AcceleratorSpecialists.serve(options)
        var scopes =
            sharing && options.specialisation == .accelerator
            ? [] : parts(data, rows, options.specialisation)
        if options.specialisation == .configuration, !sharing {
            // Configurations with too few rows fall back on their accelerator's model, where that is another.
            let accelerators = parts(data, rows, .accelerator)
            scopes += accelerators.filter { wide in
                wide.1.count < rows.count && !scopes.contains { $0.1 == wide.1 }
            }
        }
        for (scope, part) in scopes {
            // Too few rows for a model of their own: a wider one serves them.
            guard part.count >= 2 * options.features.step.count else { continue }
            guard let own = try? fitOne(data, rows: part, options, name: scope.description) else { continue }
            scoped.append(ScopedStepModel(scope: scope, model: own))
        }
        if sharing {
            scoped += try AcceleratorSpecialists(trainer: StepTimeTrainer(options)).models(data, rows: rows)
        }
        model.specialised = scoped.isEmpty ? nil : scoped
        return model
    }

    /// Held-out scores of the likelihoods, and the best: relative CRPS, the mean over configurations, on time blocks.
    public func chooseLikelihood(_ data: StepDataSet, rows: [Int]) throws -> (
        best: TrainingOptions.Likelihood, scores: [(likelihood: TrainingOptions.Likelihood, crps: Double)]
    ) {
        let part = data.selecting(rows)
        let splits = RowSplit.timeBlocks(part, blocks: 3)
        var scores: [(likelihood: TrainingOptions.Likelihood, crps: Double)] = []
        for likelihood in [TrainingOptions.Likelihood.gaussian, .studentT, .lognormal] {
            var own = options
            own.likelihood = likelihood
            own.specialisation = .none
            let trainer = StepTimeTrainer(own)
            var evaluation = ForecastEvaluation(part)
            for split in splits where !split.test.isEmpty {
                guard
                    let model = try? trainer.fitOne(
                        part, rows: split.train, own, name: split.name, noise: false)
                else { continue }
                try evaluation.add(model, rows: split.test)
            }
            let groups = evaluation.byGroup()
            guard !groups.isEmpty else { continue }
            let mean = groups.reduce(0) { $0 + $1.scores.relativeCRPS } / Double(groups.count)
            scores.append((likelihood: likelihood, crps: mean))
        }
        guard let best = scores.min(by: { $0.crps < $1.crps }) else {
            // Whatever is wrong with the rows, a fit to all of them says it best.
            _ = try StepTimeTrainer(options).solve(data, rows: rows, options, name: "all rows")
            throw InvalidInput(.badData, "no likelihood could be fitted to the rows")
        }
        return (best.likelihood, scores)
    }

    /// Rows that share a model under a specialisation, in order of first occurrence.
    private func parts(
        _ data: StepDataSet, _ rows: [Int], _ specialisation: TrainingOptions.Specialisation
    ) -> [(ModelScope, [Int])] {
        var order: [ModelScope] = []
        var members: [ModelScope: [Int]] = [:]
        let scopes = data.groups.map { group -> ModelScope in
            specialisation == .configuration
                ? ModelScope(configuration: group.facts) : ModelScope(accelerator: group.facts)
        }
        for row in rows {
            let scope = scopes[data.group[row]]
            if members[scope] == nil { order.append(scope) }
            members[scope, default: []].append(row)
        }
        // Mixtures of experts share everything but the experts with dense models: their rows help.
        for scope in order where scope.mixtureOfExperts == true {
            var dense = scope
            dense.mixtureOfExperts = false
            members[scope] = ((members[scope] ?? []) + (members[dense] ?? [])).sorted()
        }
        return order.map { ($0, members[$0] ?? []) }
    }

    /// One model of the rows given.
    func fitOne(
        _ data: StepDataSet, rows: [Int], _ options: TrainingOptions, name: String,
        noise calibrate: Bool = true, prior: NamedPrior? = nil
    ) throws -> StepModel {
        let fitted = try solve(data, rows: rows, options, name: name, prior: prior)
        var model = stepModel(fitted, options)
        let design = fitted.design
        model.domain = domain(design, fitted.features)
        model.minimumSeconds = (data.selecting(rows).seconds.min() ?? 0) * 0.1
        if calibrate {
            try calibrateNoise(&model, data, rows, options, fitted, prior)
            // Under a prior a fit without a deployment is no fit that never saw it.
            if options.discrepancy, prior == nil { try addDiscrepancy(&model, data, rows, options) }
        }
        return model
    }

    /// A fit with what it was fitted to.
    struct Solution {
        var design: DesignRows
        var features: [StepFeature]
        var fit: IterativeFit
        var isLogarithmic: Bool
        var relative: Bool
        var isSparse: Bool
        var excluded: [DroppedFeature]
    }

    func solve(
        _ data: StepDataSet, rows: [Int], _ options: TrainingOptions, name: String, prior: NamedPrior? = nil
    ) throws -> Solution {
        let excluded = prior?.excluded ?? unidentifiable(data, rows: rows, options)
        let features = options.features.step.dropFirst().filter { excluded[$0.name] == nil }
        guard rows.count > 2 else {
            throw InvalidInput(
                source: name, field: "rows", value: "\(rows.count)", "are too few to fit anything",
                accepted: "at least 3")
        }
        let isLogarithmic = options.likelihood == .lognormal
        var design = designRows(data, rows: rows, features: features)
        if isLogarithmic { design = design.withTargets(design.targets.map { log($0) }) }
        let weights =
            options.equalConfigurations
            ? configurationWeights(data, rows) : [Double](repeating: 1, count: rows.count)
        let relative = options.relative && !isLogarithmic && !options.asWritten
        guard
            let fit = IterativeFit.fit(
                design, weights: weights, likelihood: options.asWritten ? .gaussian : options.likelihood,
                degreesOfFreedom: options.degreesOfFreedom, relative: relative,
                // On a logarithm signs mean nothing physical.
                solver: solver(options, isLogarithmic: isLogarithmic, prior?.coefficients(features)))
        else {
            throw InvalidInput(
                source: name, field: "step time", value: "\(design.targets.first ?? .nan)",
                "is the same in all \(rows.count) rows", accepted: "times that vary")
        }
        return Solution(
            design: design, features: features, fit: fit, isLogarithmic: isLogarithmic, relative: relative,
            isSparse: prior == nil && (options.sparse || !options.nonnegative || isLogarithmic),
            excluded: excluded.keys.sorted().map { DroppedFeature(feature: $0, reason: excluded[$0] ?? "") })
    }

    private func solver(_ options: TrainingOptions, isLogarithmic: Bool, _ prior: CoefficientPrior?)
        -> IterativeFit.Solver
    {
        let updates = options.asWritten ? .mackay : options.updates
        guard options.nonnegative, !isLogarithmic else { return .sparse(updates) }
        if let prior { return .drawnTo(prior) }
        return options.sparse ? .nonnegativeSparse(updates) : .nonnegative
    }

    /// Candidates that the rows cannot tell from others in a way that carries over to other models: load spread
    /// beside weights and FLOPs of experts, with a single mixture of experts in the rows.
    private func unidentifiable(_ data: StepDataSet, rows: [Int], _ options: TrainingOptions) -> [String:
        String]
    {
        var excluded: [String: String] = [:]
        for name in options.without { excluded[name] = "left out on request" }
        guard options.features.name == FeatureSet.physics.name else { return excluded }
        var models: Set<String> = []
        var groups: Set<Int> = []
        for row in rows where groups.insert(data.group[row]).inserted {
            let facts = data.groups[data.group[row]].facts
            if facts.experts > 0 { models.insert(facts.modelName) }
        }
        guard models.count == 1, let only = models.first else { return excluded }
        for name in ["expert_load_spread", "rank_load_spread"] where excluded[name] == nil {
            excluded[name] = "cannot be told from other expert features on \(only) alone"
        }
        return excluded
    }

    /// Feature rows of a data set.
    package func designRows(_ data: StepDataSet, rows: [Int], features: [StepFeature]) -> DesignRows {
        let evaluators = data.groups.map { StepFeatureEvaluator(features: features, facts: $0.facts) }
        var values = [Double](repeating: 0, count: rows.count * features.count)
        values.withUnsafeMutableBufferPointer { values in
            for (i, row) in rows.enumerated() {
                let slot = UnsafeMutableBufferPointer(
                    rebasing: values[i * features.count..<(i + 1) * features.count])
                let evaluator = evaluators[data.group[row]]
                evaluator.evaluate(data.states[row], into: slot)
                guard let before = data.prefillBefore[row] else { continue }
                withUnsafeTemporaryAllocation(of: Double.self, capacity: features.count) { other in
                    evaluator.evaluate(before.adding(to: data.states[row]), into: other)
                    for column in 0..<features.count {
                        slot[column] += before.share * (other[column] - slot[column])
                    }
                }
            }
        }
        return DesignRows(columns: features.count, features: values, targets: rows.map { data.seconds[$0] })
    }

    /// Weights that give every configuration the same total, the mean weight being 1.
    private func configurationWeights(_ data: StepDataSet, _ rows: [Int]) -> [Double] {
        var counts = [Int](repeating: 0, count: data.groups.count)
        for row in rows { counts[data.group[row]] += 1 }
        let used = counts.count { $0 > 0 }
        return rows.map { Double(rows.count) / (Double(used) * Double(counts[data.group[$0]])) }
    }

    /// The artifact's form of a fit.
    private func stepModel(_ solution: Solution, _ options: TrainingOptions) -> StepModel {
        let estimate = solution.fit.estimate
        let names = solution.features.map(\.name)
        let statistics = GramBlock(solution.design)
        let targetDeviation = statistics.standardDeviation(names.count)
        var coefficients = [Coefficient(feature: "constant", value: estimate.intercept)]
        for (i, column) in estimate.kept.enumerated() {
            let deviation = statistics.standardDeviation(column)
            coefficients.append(
                Coefficient(
                    feature: names[column], value: estimate.coefficients[column],
                    // A coefficient that no row shows has none.
                    std: estimate.covariance[i, i] > 0 ? estimate.covariance[i, i].squareRoot() : nil,
                    effectiveWeight: targetDeviation > 0
                        ? abs(estimate.coefficients[column]) * deviation / targetDeviation : nil))
        }
        var model = StepModel(
            kind: solution.isSparse ? .ard : .linear, featureSet: options.features.name,
            link: solution.isLogarithmic ? .log : .identity, coefficients: coefficients,
            noise: NoiseModel(
                family: solution.fit.degreesOfFreedom != nil
                    ? .studentT : solution.isLogarithmic ? .logNormal : .gaussian,
                scale: solution.fit.scale, relative: solution.relative,
                degreesOfFreedom: solution.fit.degreesOfFreedom))
        model.posterior = Posterior(
            features: estimate.kept.map { names[$0] }, means: estimate.means,
            covariance: estimate.covariance.rows, interceptVariance: estimate.interceptVariance)
        model.dropped = names.indices.compactMap { column in
            estimate.reasons[column].map { DroppedFeature(feature: names[column], reason: $0) }
        }
        model.dropped? += solution.excluded
        return model
    }

    /// Leverage over all candidates, kept or not, with the greatest that training rows reached.
    public func domain(_ design: DesignRows, _ features: [StepFeature]) -> TrainingDomain? {
        let block = GramBlock(design)
        let gram = StandardizedGram(block)
        let inverse = SymmetricEigen(gram.gram)?.pseudoInverse(tolerance: 1e-9)
        guard let inverse, !gram.columns.isEmpty else { return nil }
        let means = gram.columns.map { block.means[$0] }
        var precision = inverse
        for i in 0..<precision.size {
            for j in 0..<precision.size { precision[i, j] /= gram.scales[i] * gram.scales[j] }
        }
        var leverages: [Double] = []
        leverages.reserveCapacity(design.count)
        // The border is found on at most 20,000 rows, evenly spread.
        let stride = max(1, design.count / 20_000)
        for row in Swift.stride(from: 0, to: design.count, by: stride) {
            let values = design.row(row)
            let distance = gram.columns.indices.map {
                values[values.startIndex + gram.columns[$0]] - means[$0]
            }
            leverages.append(precision.quadratic(distance))
        }
        // Features that never varied carry no leverage, but their one value is known.
        var full = SquareMatrix(size: features.count)
        for (i, a) in gram.columns.enumerated() {
            for (j, b) in gram.columns.enumerated() {
                // Exactly symmetric, as artifacts keep one half alone.
                full[a, b] = precision[max(i, j), min(i, j)]
            }
        }
        return TrainingDomain(
            features: features.map(\.name), means: Array(block.means.dropLast()),
            minimum: Array(block.minimum.dropLast()), maximum: Array(block.maximum.dropLast()),
            precision: full.rows, limit: leverages.max() ?? 0)
    }
}
