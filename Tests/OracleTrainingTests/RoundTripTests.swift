import LatencyOracle
import OracleTraining
import ServingCore
import Testing

@Suite struct `Training on times from a known oracle` {
    @Test func `covers the coefficients and recovers the noise over 200 seeds`() throws {
        var options = TrainingOptions()
        options.likelihood = .gaussian
        let trainer = StepTimeTrainer(options)
        let truth = Dictionary(uniqueKeysWithValues: SimulatedSteps.truth.map { ($0.feature, $0.value) })
        var covered = 0
        var counted = 0
        var noise = 0.0
        for seed in 0..<200 {
            let data = try SimulatedSteps.data(rows: 600, seed: UInt64(seed))
            let model = try trainer.fit(data, rows: Array(0..<data.count))
            noise += (model.noise?.scale ?? 0) / 200
            // Identifiable: kept, determined to a tenth, and not standing in for a copy that was dropped.
            for coefficient in model.coefficients where coefficient.feature != "constant" {
                guard let value = truth[coefficient.feature], let std = coefficient.std else { continue }
                guard std < 0.1 * abs(coefficient.value) else { continue }
                guard
                    ["mixed_step_layers", "prefill_attention", "decode_kv_read"].contains(coefficient.feature)
                else { continue }
                counted += 1
                if abs(coefficient.value - value) <= 1.6448536269514722 * std { covered += 1 }
            }
        }
        let share = Double(covered) / Double(counted)
        #expect(counted >= 300)
        #expect(share >= 0.85 && share <= 0.95, "\(share) of \(counted)")
        #expect(abs(noise / 0.05 - 1) < 0.05, "\(noise)")
    }

    @Test func `predicts new steps to within the noise of the fit`() throws {
        let data = try SimulatedSteps.data(rows: 3000, seed: 5, noise: 0.05, tails: 4)
        let split = RowSplit.forward(data, fraction: 0.7)
        let model = try StepTimeTrainer(TrainingOptions()).fit(data, rows: split.train)
        var evaluation = ForecastEvaluation(data)
        try evaluation.add(model, rows: split.test, countDomain: true)
        let scores = try #require(evaluation.overall)
        #expect(abs(scores.coverage - 0.8) < 0.04)
        #expect(abs(scores.bias) < 0.01)
        #expect(Double(evaluation.inDomain) / Double(split.test.count) > 0.98)
    }

    @Test func `chooses the likelihood with the best held-out score`() throws {
        let heavy = try SimulatedSteps.data(rows: 1500, seed: 8, noise: 0.05, tails: 2.5)
        let choice = try StepTimeTrainer(TrainingOptions()).chooseLikelihood(
            heavy, rows: Array(0..<heavy.count))
        #expect(choice.best == .studentT, "\(choice.scores)")
        #expect(choice.scores.count == 3)
    }

    @Test func `never makes more work cheaper when coefficients may not be negative`() throws {
        var options = TrainingOptions()
        options.nonnegative = true
        let data = try SimulatedSteps.data(rows: 500, seed: 9, noise: 0.3)
        let model = try StepTimeTrainer(options).fit(data, rows: Array(0..<data.count))
        #expect(model.coefficients.allSatisfy { $0.value >= 0 })
    }

    @Test func `gives the same bytes twice`() throws {
        let data = try SimulatedSteps.data(rows: 800, seed: 10)
        var options = TrainingOptions()
        options.specialisation = .configuration
        func bytes() throws -> [UInt8] {
            let outcome = try TrainingRun(options).run(data)
            return try OracleArtifact(name: "a", summary: "b", step: outcome.model).json()
                + outcome.report.json()
        }
        #expect(try bytes() == bytes())
    }

    @Test func `a model of a scope serves its deployments and the pooled one all others`() throws {
        var other = SimulatedSteps.facts
        other.modelName = "other"
        other.layers = 64
        var data = try SimulatedSteps.data(rows: 400, seed: 11)
        data.add(try SimulatedSteps.data(rows: 400, seed: 12, facts: other))
        var options = TrainingOptions()
        options.specialisation = .configuration
        let model = try StepTimeTrainer(options).fit(data, rows: Array(0..<data.count))
        #expect(model.specialised?.count == 2)
        #expect(model.specialised(for: other).scope?.model == "other")
        var third = other
        third.modelName = "third"
        #expect(model.specialised(for: third).scope == nil)
    }
}
