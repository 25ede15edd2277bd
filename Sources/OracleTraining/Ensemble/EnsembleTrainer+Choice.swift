import LatencyOracle
import ServingCore

/// Compares forms on configurations left out, and chooses.
extension EnsembleTrainer {
    /// A form and its least-squares score.
    package struct Screening: Sendable, Equatable {
        /// The form.
        package var form: Form
        /// Mean relative pinball loss of least-squares models on configurations left out.
        package var error: Double
    }

    /// What was chosen and why.
    package struct Choice: Sendable {
        /// The form.
        package var form: Form
        /// Least-squares scores of all forms that have one.
        package var screened: [Screening]
        /// Scores of quantiles of the forms that screening left, best or not.
        package var scores: [Score]
    }

    /// Losses of a model on a configuration's rows: mean relative pinball loss, and the errors of the middle quantile.
    package func losses(_ model: SpecialistModel, on configuration: Int) -> (
        pinball: Double, errors: [Double]
    ) {
        let columns = data.features.count
        let fits = model.models(for: data.facts[configuration], columns: columns)
        let middle = options.middle
        let taus = options.quantiles
        var pinball = 0.0
        var errors: [Double] = []
        errors.reserveCapacity(data.members[configuration].count)
        var values = [Double](repeating: 0, count: fits.count)
        data.rows.features.withUnsafeBufferPointer { features in
            for i in data.members[configuration] {
                let y = data.rows.targets[i]
                for (k, fit) in fits.enumerated() {
                    var sum = fit.intercept
                    for j in 0..<columns { sum += features[i * columns + j] * fit.coefficients[j] }
                    values[k] = sum
                }
                errors.append(abs(values[middle] / y - 1))
                for (tau, q) in zip(taus, values.sorted()) {
                    pinball += max(tau * (y - q), (tau - 1) * (y - q)) / y
                }
            }
        }
        return (pinball / Double(max(1, errors.count * taus.count)), errors)
    }

    /// Scores forms on configurations left out, `folds` at a time; one at a time when there are at most that many.
    /// - Throws: `InvalidInput` with fewer than two configurations.
    package func compare(
        _ forms: [Form], among configurations: [Int], folds: Int = 10, solver: Solver = .separate
    ) throws(InvalidInput) -> [Score] {
        guard configurations.count > 1 else {
            throw InvalidInput(
                field: "configurations", value: "\(configurations.count)",
                "are too few to leave one out", accepted: "at least 2")
        }
        let count = min(folds, configurations.count)
        var pinball = forms.map { _ in [Double](repeating: .nan, count: data.facts.count) }
        var median = pinball
        var all = forms.map { _ in [Double]() }
        for f in 0..<count {
            let inside = configurations.indices.filter { $0 % count != f }.map { configurations[$0] }
            // Both forms that search for a grouping find the same one.
            let searching = forms.contains(.nearest) || forms.contains(.learned)
            let structure = searching ? self.structure(of: inside) : nil
            var fitted: [(plan: Plan, model: SpecialistModel)] = []
            for (k, form) in forms.enumerated() {
                let plan = try plan(form, on: inside, structure: structure)
                var model: SpecialistModel
                if let same = fitted.first(where: { $0.plan.hasSameModels(as: plan) }) {
                    model = same.model
                    model.topSpecialists = min(plan.top, model.specialists.count)
                } else {
                    model = try assemble(plan, configurations: inside, solver: solver)
                    fitted.append((plan, model))
                }
                for place in configurations.indices where place % count == f {
                    let c = configurations[place]
                    let result = losses(model, on: c)
                    pinball[k][c] = result.pinball
                    median[k][c] = Self.median(result.errors)
                    all[k] += result.errors
                }
            }
        }
        return forms.indices.map { k in
            Score(
                form: forms[k],
                pinball: configurations.map { pinball[k][$0] }.reduce(0, +) / Double(configurations.count),
                medianError: Self.median(all[k]), byConfiguration: median[k],
                pinballByConfiguration: pinball[k])
        }
    }

    /// The form that does best on configurations left out; the simpler one within half a percent.
    ///
    /// Least-squares models of thinned rows show which groupings are worth fits of quantiles: the best two, if the second comes within
    /// a tenth of the first. They and the one model with the embedding are fitted as quantiles.
    package func choose(among configurations: [Int]) throws(InvalidInput) -> Choice {
        guard configurations.count > 1 else { return Choice(form: .pooled, screened: [], scores: []) }
        let rows = max(24, options.rowsForChoice / configurations.count)
        // One model of many configurations has more rows than the choice between forms needs.
        var settings = options
        settings.rowsPerCoefficient = 40
        let thin = try EnsembleTrainer(data.thinned(to: rows), options: settings)
        let folds = configurations.count <= 10 ? 10 : 5
        let groupings = options.forms.filter { $0 != .embeddingAsFeatures }
        let rough = try thin.compare(groupings, among: configurations, folds: folds, solver: .leastSquares)
        let screened = rough.map { Screening(form: $0.form, error: $0.pinball) }
        let order = screened.indices.sorted { (screened[$0].error, $0) < (screened[$1].error, $1) }
        let worth = order.prefix(2).filter { screened[$0].error <= 1.1 * screened[order[0]].error }.map {
            screened[$0].form
        }
        let finalists = options.forms.filter { $0 == .embeddingAsFeatures || worth.contains($0) }
        let scores = try thin.compare(finalists, among: configurations, folds: folds, solver: .smoothed)
        var best = 0
        for k in scores.indices where scores[k].pinball < scores[best].pinball * 0.995 { best = k }
        return Choice(form: scores[best].form, screened: screened, scores: scores)
    }

    static func median(_ values: [Double]) -> Double {
        guard !values.isEmpty else { return .nan }
        let sorted = values.sorted()
        let n = sorted.count
        return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2
    }
}

extension EnsembleTrainer.Options {
    /// Which quantile is nearest to the median.
    var middle: Int {
        quantiles.indices.min { abs(quantiles[$0] - 0.5) < abs(quantiles[$1] - 0.5) } ?? 0
    }
}
