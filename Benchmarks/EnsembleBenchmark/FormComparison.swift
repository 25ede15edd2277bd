import LatencyOracle
import OracleTraining
import ServingCore

/// Every form of the ensemble, and sparse Bayesian regression, on configurations left out in the same folds; the automatic
/// choice is made inside each fold.
enum FormComparison {
    static func run(_ data: StepDataSet, folds: Int) throws {
        let trainer = try EnsembleTrainer(
            QuantileStepTrainer(TrainingOptions()).configuredRows(data, rows: Array(0..<data.count)))
        let present = trainer.present
        let count = min(folds, present.count)
        print("\(data.count) rows, \(present.count) configurations, \(count) folds")
        var table: [(name: String, pinball: [Double], median: [Double], seconds: Double)] = []
        let forms: [EnsembleTrainer.Form] = [
            .pooled, .embeddingAsFeatures, .similarity, .nearest, .learned,
        ]
        for form in forms {
            let start = EnsembleBenchmark.cpuSeconds()
            let score = try trainer.compare([form], among: present, folds: folds)[0]
            table.append(
                (
                    form.rawValue, score.pinballByConfiguration, score.byConfiguration,
                    EnsembleBenchmark.cpuSeconds() - start
                ))
        }
        // The choice, made without the configurations that it is judged on.
        var start = EnsembleBenchmark.cpuSeconds()
        var pinball = [Double](repeating: .nan, count: data.groups.count)
        var median = pinball
        var chosen: [String: Int] = [:]
        for f in 0..<count {
            let inside = present.indices.filter { $0 % count != f }.map { present[$0] }
            let choice = try trainer.choose(among: inside)
            chosen[choice.form.rawValue, default: 0] += 1
            let model = try trainer.train(choice.form, on: inside, solver: .separate)
            for k in present.indices where k % count == f {
                let result = trainer.losses(model, on: present[k])
                pinball[present[k]] = result.pinball
                median[present[k]] = middle(result.errors)
            }
        }
        table.append(("automatic choice", pinball, median, EnsembleBenchmark.cpuSeconds() - start))
        for specialisation in [TrainingOptions.Specialisation.none, .accelerator] {
            start = EnsembleBenchmark.cpuSeconds()
            let (p, m) = try sparse(data, trainer, present, count, specialisation)
            let name = specialisation == .none ? "BSR-ARD" : "BSR-ARD per accelerator"
            table.append((name, p, m, EnsembleBenchmark.cpuSeconds() - start))
        }
        start = EnsembleBenchmark.cpuSeconds()
        let (alone, aloneMedian) = try sparse(data, trainer, present, count, .none) { facts in
            "\(facts.acceleratorName) \(facts.weightFormat)"
        }
        table.append(
            ("one fit per accelerator and format", alone, aloneMedian, EnsembleBenchmark.cpuSeconds() - start)
        )
        print("form | pinball % | median error % | CPU s")
        for line in table {
            let mean = present.map { line.pinball[$0] }.reduce(0, +) / Double(present.count)
            print(
                "\(line.name) | \(percent(mean)) | \(percent(middle(present.map { line.median[$0] }))) | "
                    + "\((line.seconds * 10).rounded() / 10)")
        }
        print("chosen: \(chosen.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })")
        var groups: [String: [Int]] = [:]
        for c in present {
            let facts = data.groups[c].facts
            let kind = facts.experts > 0 ? "mixture of experts" : "dense"
            groups["\(facts.acceleratorName) \(facts.weightFormat) \(kind)", default: []].append(c)
            groups["all \(kind)", default: []].append(c)
            groups["all \(facts.acceleratorName)", default: []].append(c)
        }
        print(
            "median error (mean pinball) %, by accelerator and format: "
                + table.map(\.name).joined(separator: " | "))
        for key in groups.keys.sorted() {
            let own = groups[key] ?? []
            let values = table.map { line in
                let mean = own.reduce(0) { $0 + line.pinball[$1] } / Double(own.count)
                return "\(percent(middle(own.map { line.median[$0] }))) (\(percent(mean)))"
            }
            print("\(key) (\(own.count)): \(values.joined(separator: " | "))")
        }
    }

    /// Sparse Bayesian regression on the same folds, of all rows or of those whose deployments share a key.
    private static func sparse(
        _ data: StepDataSet, _ trainer: EnsembleTrainer, _ present: [Int], _ count: Int,
        _ specialisation: TrainingOptions.Specialisation, apart key: (DeploymentFacts) -> String = { _ in "" }
    ) throws -> ([Double], [Double]) {
        var options = TrainingOptions()
        options.nonnegative = true
        options.discrepancy = false
        options.specialisation = specialisation
        var pinball = [Double](repeating: .nan, count: data.groups.count)
        var median = pinball
        let keys = data.groups.map { key($0.facts) }
        for f in 0..<count {
            let outside = present.indices.filter { $0 % count == f }.map { present[$0] }
            for own in Set(outside.map { keys[$0] }).sorted() {
                let scored = outside.filter { keys[$0] == own }
                let known = (0..<data.count).filter { !outside.contains(data.group[$0]) }
                let alike = known.filter { keys[data.group[$0]] == own }
                let inside = alike.isEmpty ? known : alike
                let model = try StepTimeTrainer(options).fit(data, rows: inside)
                let oracle = try StepTimeOracle(
                    artifact: OracleArtifact(name: "sparse", summary: "fold", step: model))
                for c in scored {
                    let compiled = try oracle.compile(for: data.groups[c].facts)
                    var sum = 0.0
                    var errors: [Double] = []
                    for i in trainer.data.members[c] {
                        let y = data.seconds[i]
                        let forecast = compiled.forecast(data.states[i])
                        for tau in [0.1, 0.5, 0.9] {
                            let q = forecast.quantile(tau)
                            sum += max(tau * (y - q), (tau - 1) * (y - q)) / y
                            if tau == 0.5 { errors.append(abs(q / y - 1)) }
                        }
                    }
                    pinball[c] = sum / Double(3 * errors.count)
                    median[c] = middle(errors)
                }
            }
        }
        return (pinball, median)
    }

    private static func middle(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        return sorted.isEmpty ? .nan : sorted[sorted.count / 2]
    }

    private static func percent(_ value: Double) -> String { "\((value * 10_000).rounded() / 100)" }
}
