import LatencyOracle
import ServingCore

/// Trains on a data set and validates what comes out: everything that `stepcast train` does between reading traces
/// and writing files.
public struct TrainingRun: Sendable {
    /// How to fit.
    public var options: TrainingOptions
    /// Share of each run's time, at its end, that is held out; 0 skips it.
    public var holdout = 0.3
    /// Leave-one-out protocols to run besides.
    public var leaveOneOut: [RowSplit.Held] = []
    /// Forward-chained time blocks to run besides; 0 skips them.
    public var timeBlocks = 0
    /// Compare with non-negative relative least squares on the same rows.
    public var baseline = true

    /// A run with these options.
    public init(_ options: TrainingOptions) { self.options = options }

    /// What came out.
    public struct Outcome: Sendable {
        /// Model of all rows.
        public var model: StepModel
        /// Findings.
        public var report: TrainingReport
        /// Held-out predictions of the first protocol, for plots.
        public var scatter: [ScoredStep]
    }

    /// Trains and validates.
    /// - Throws: `InvalidInput` for data that cannot be trained on or validated as asked.
    public func run(_ data: StepDataSet) throws -> Outcome {
        var options = options
        var likelihoods: [TrainingReport.LikelihoodScore]?
        if options.likelihood == .auto, options.method == .ard {
            let choice = try StepTimeTrainer(options).chooseLikelihood(data, rows: Array(0..<data.count))
            options.likelihood = choice.best
            likelihoods = choice.scores.map {
                .init(likelihood: $0.likelihood.rawValue, relativeCRPS: $0.crps)
            }
        }
        let trainer = StepTimeTrainer(options)
        // Validation scores single steps: deviations of configurations are not asked for.
        var validated = options
        validated.discrepancy = false
        let validating = StepTimeTrainer(validated)
        var plain = options
        plain.method = .ard
        plain.nonnegative = true
        plain.sparse = false
        plain.likelihood = .gaussian
        plain.updates = .tippingFaul
        plain.asWritten = false
        plain.discrepancy = false
        let reference = baseline ? StepTimeTrainer(plain) : nil
        var tables: [TrainingReport.ValidationTable] = []
        var scatter: [ScoredStep] = []
        var intervals: [IntervalScore]?
        var corrections: [EnsembleReport.Correction]?
        if holdout > 0 {
            let split = RowSplit.forward(data, fraction: 1 - holdout)
            let (table, steps, models) = try validate(
                data, [split], name: "forward: " + split.name, validating, reference)
            tables.append(table)
            scatter = steps
            if [.quantile, .ensemble].contains(options.method), let model = models.first {
                intervals = try intervalScores(data, split, model)
                if options.asWritten, options.method == .ensemble {
                    corrections = try CorrectionLadder(data: data, split: split, options: options)
                        .corrections()
                }
            }
        }
        if timeBlocks > 0 {
            let splits = RowSplit.forwardBlocks(data, blocks: timeBlocks, gap: 10)
            tables.append(
                try validate(data, splits, name: "forward-chained time blocks", validating, reference).0)
        }
        for held in leaveOneOut {
            let splits = try RowSplit.leaveOneOut(data, held)
            let name = "leave one \(held.rawValue) out"
            let (table, steps, _) = try validate(data, splits, name: name, validating, reference)
            tables.append(table)
            if scatter.isEmpty { scatter = steps }
        }
        let rows = Array(0..<data.count)
        let hasQuantiles = options.method == .quantile || options.method == .ensemble
        let quantiles = !hasQuantiles ? nil : try QuantileStepTrainer(options).fit(data, rows: rows)
        let model = try quantiles?.model ?? trainer.fit(data, rows: rows)
        var ensemble = quantiles?.report
        ensemble?.intervals = intervals
        ensemble?.corrections = corrections
        let report = TrainingReport(
            data: .init(data), method: methodName(options), likelihoods: likelihoods, validation: tables,
            features: TrainingReport.FeatureLine.lines(model),
            specialised: model.specialised?.map {
                .init(scope: $0.scope.description, features: TrainingReport.FeatureLine.lines($0.model))
            }, ensemble: ensemble)
        return Outcome(model: model, report: report, scatter: scatter)
    }

    private func validate(
        _ data: StepDataSet, _ splits: [RowSplit], name: String, _ trainer: StepTimeTrainer,
        _ reference: StepTimeTrainer?
    ) throws -> (TrainingReport.ValidationTable, [ScoredStep], [StepModel]) {
        var test = ForecastEvaluation(data)
        var train = ForecastEvaluation(data)
        var base = ForecastEvaluation(data)
        var models: [StepModel] = []
        for split in splits where !split.test.isEmpty {
            let model = try trainer.fit(data, rows: split.train)
            try test.add(model, rows: split.test)
            models.append(model)
            if splits.count == 1 { try train.add(model, rows: split.train) }
            if let reference { try base.add(try reference.fit(data, rows: split.train), rows: split.test) }
        }
        guard let overall = test.overall else {
            throw InvalidInput(.badData, field: name, "leaves no rows to test on")
        }
        func lines(_ label: (Int) -> String) -> [TrainingReport.ValidationTable.Line] {
            let trained = train.by(label)
            let based = base.by(label)
            return test.by(label).map { group, scores in
                .init(
                    group: group, train: trained.first { $0.group == group }?.scores,
                    test: scores, baseline: based.first { $0.group == group }?.scores)
            }
        }
        let scopes = data.groups.map { ModelScope(configuration: $0.facts).description }
        let runs = lines { "run \(data.run[$0]): \(data.groups[data.group[$0]].name)" }
        let table = TrainingReport.ValidationTable(
            name: name, groups: lines { data.groups[data.group[$0]].name },
            overall: .init(
                group: "all rows", train: train.overall, test: overall,
                baseline: base.overall),
            layouts: lines { scopes[data.group[$0]] },
            meanRunCoverage: runs.reduce(0) { $0 + $1.test.coverage } / Double(max(1, runs.count)), runs: runs
        )
        return (table, test.steps, models)
    }

    /// P10-P90 on the rows held out: as calibrated, adapted along each run, and of sparse Bayesian regression on the same rows.
    private func intervalScores(_ data: StepDataSet, _ split: RowSplit, _ model: StepModel) throws
        -> [IntervalScore]
    {
        func evaluation(_ model: StepModel) throws -> IntervalEvaluation {
            let artifact = OracleArtifact(name: "held out", summary: "under evaluation", step: model)
            return try IntervalEvaluation(try StepTimeOracle(artifact: artifact), data, rows: split.test)
        }
        let own = try evaluation(model)
        var sparse = TrainingOptions()
        sparse.discrepancy = false
        var scores = [own.score("static"), own.adaptiveScore("adaptive, knowing the steps before")]
        if let other = try? StepTimeTrainer(sparse).fit(data, rows: split.train) {
            scores.append(try evaluation(other).score("BSR-ARD"))
        }
        return scores
    }

    /// How the model was fitted, in words.
    func methodName(_ options: TrainingOptions) -> String {
        switch options.method {
        case .ard: break
        case .hierarchical:
            let measured =
                options.evidence.measured.map { ", host time from \($0.count) measured steps" } ?? ""
            return "non-negative efficiency factors by accelerator and weight format, relative errors, "
                + "Student's t likelihood\(measured)"
        case .quantile: return "quantile regression, one model, features \(options.features.name)"
        case .ensemble:
            return options.asWritten
                ? "RECE as written, features \(options.features.name)"
                : "quantile ensemble, features \(options.features.name)"
        }
        if options.asWritten { return "BSR-ARD as written" }
        let sparse = options.sparse || !options.nonnegative
        let solver = sparse ? "ARD (\(options.updates.rawValue))" : "non-negative least squares"
        let signs =
            options.nonnegative && options.likelihood != .lognormal && sparse
            ? ", coefficients of at least 0" : ""
        var name = "\(solver)\(signs), \(options.likelihood.rawValue) likelihood"
        if options.likelihood == .studentT {
            name +=
                options.degreesOfFreedom.map { ", \($0) degrees of freedom" }
                ?? ", degrees of freedom learned"
        }
        if options.relative, options.likelihood != .lognormal { name += ", relative errors" }
        name += ", features \(options.features.name)"
        if options.specialisation != .none { name += ", a model per \(options.specialisation.rawValue)" }
        if options.specialisation != .none, AcceleratorSpecialists.serve(options) {
            name += ", accelerators drawn towards what all share"
        }
        return name
    }
}
