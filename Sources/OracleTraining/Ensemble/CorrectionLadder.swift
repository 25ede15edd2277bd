import LatencyOracle
import ServingCore

/// The design's pseudo-code as written and, step by step, with what is corrected here: what each correction buys on later
/// time and on configurations left out.
struct CorrectionLadder {
    /// Data and the rows that train and test.
    let data: StepDataSet
    let split: RowSplit
    /// Quantiles.
    let options: TrainingOptions

    /// Rows that are fitted to and scored, at most.
    private static let mostRows = 12_000

    /// One step of the ladder.
    private struct Step {
        var name: String
        var features: FeatureSet
        var settings: EnsembleTrainer.Options
        var form: EnsembleTrainer.Form
        var borrowsOuter = false
        var solver = EnsembleTrainer.Solver.separate
        var calibrated = false
    }

    /// Scores every step.
    /// - Throws: `InvalidInput` when the rows can't be fitted.
    func corrections() throws -> [EnsembleReport.Correction] {
        let train = thinned(split.train)
        let test = thinned(split.test)
        let physics = try trainer(FeatureSet.physics, train, corrected(FeatureSet.physics))
        let choice = try physics.choose(among: physics.present)
        var result: [EnsembleReport.Correction] = []
        for step in steps(choice.form) {
            let trainer = try trainer(step.features, train, step.settings)
            let plan = try trainer.plan(step.form, on: trainer.present)
            var model = try trainer.assemble(plan, configurations: trainer.present, solver: step.solver)
            if step.borrowsOuter { try borrowOuter(&model, trainer) }
            let offsets =
                step.calibrated
                ? try QuantileStepTrainer(options).calibration(data, train, trainer, plan) : nil
            let later = score(step, model, offsets, rows: test)
            var leftOut: Double?
            if trainer.present.count > 1 {
                let thin = try EnsembleTrainer(
                    trainer.data.thinned(to: max(24, 4000 / trainer.present.count)), options: step.settings)
                leftOut = try thin.compare([step.form], among: trainer.present, folds: 5)[0].pinball
            }
            result.append(.init(correction: step.name, later: later, leftOutPinball: leftOut))
        }
        return result
    }

    private func corrected(_ features: FeatureSet) -> EnsembleTrainer.Options {
        var settings = EnsembleTrainer.Options()
        settings.quantiles = options.quantiles
        settings.nonNegative = features.name == FeatureSet.physics.name
        return settings
    }

    private func steps(_ chosen: EnsembleTrainer.Form) -> [Step] {
        let rece = FeatureSet.rece
        var written = corrected(rece)
        written.naturalPenalty = 1
        written.relative = false
        var unpenalised = written
        unpenalised.naturalPenalty = 0
        let physics = corrected(.physics)
        return [
            Step(name: "as written", features: rece, settings: written, form: .asWritten, borrowsOuter: true),
            Step(
                name: "no L1 penalty of 1", features: rece, settings: unpenalised, form: .asWritten,
                borrowsOuter: true),
            Step(
                name: "every quantile of every specialist", features: rece, settings: unpenalised,
                form: .asWritten),
            Step(
                name: "relative errors, configurations alike", features: rece, settings: corrected(rece),
                form: .asWritten),
            Step(
                name: "features with physical units", features: .physics, settings: physics, form: .asWritten),
            Step(
                name: "distance of z-scored logarithms, k by silhouette", features: .physics,
                settings: physics, form: .similarity),
            Step(
                name: "form chosen on configurations left out (\(chosen.rawValue))", features: .physics,
                settings: physics, form: chosen),
            Step(
                name: "quantiles that don't cross", features: .physics, settings: physics, form: chosen,
                solver: .joint),
            Step(
                name: "intervals calibrated on later blocks", features: .physics, settings: physics,
                form: chosen, solver: .joint, calibrated: true),
        ]
    }

    /// The design's specialists have a median each; P10 and P90 come from one model of all.
    private func borrowOuter(_ model: inout SpecialistModel, _ trainer: EnsembleTrainer) throws {
        let pooled = try trainer.train(.pooled, on: trainer.present, solver: .separate).specialists[0].fits
        let middle = trainer.options.middle
        for s in model.specialists.indices {
            for k in pooled.indices where k != middle { model.specialists[s].fits[k] = pooled[k] }
        }
    }

    private func score(
        _ step: Step, _ model: SpecialistModel, _ offsets: BlockCalibration?, rows: [Int]
    ) -> IntervalScore {
        let features = Array(step.features.step.dropFirst())
        let fits = data.groups.map { model.models(for: $0.facts, columns: features.count) }
        let design = StepTimeTrainer(options).designRows(data, rows: rows, features: features)
        var place: [Int: Int] = [:]
        for (k, row) in rows.enumerated() { place[row] = k }
        let last = options.quantiles.count - 1
        let middle = step.settings.middle
        return IntervalEvaluation(data, rows: rows) { row in
            let x = design.row(place[row] ?? 0)
            let values = fits[data.group[row]].map { $0(x) }.sorted()
            let scope = QuantileStepTrainer.scope(data.groups[data.group[row]].facts)
            let offset = offsets.map { $0.byGroup[scope]?.widening ?? $0.pooled.widening } ?? 0
            let width = (values[last] - values[0]) * max(offset, -0.4)
            return [values[0] - width, values[middle], values[last] + width]
        }.score(step.name)
    }

    private func trainer(
        _ features: FeatureSet, _ rows: [Int], _ settings: EnsembleTrainer.Options
    ) throws -> EnsembleTrainer {
        var own = options
        own.features = features
        return try EnsembleTrainer(
            QuantileStepTrainer(own).configuredRows(data, rows: rows), options: settings)
    }

    /// At most so many rows, evenly spread over each run.
    private func thinned(_ rows: [Int]) -> [Int] {
        let runs = Set(rows.map { data.run[$0] }).sorted().map { run in rows.filter { data.run[$0] == run } }
        return EnsembleTrainer.thinned(runs, to: max(40, Self.mostRows / max(1, runs.count))).sorted()
    }
}
