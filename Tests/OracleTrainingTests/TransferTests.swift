import LatencyOracle
import OracleTraining
import ServingCore
import Testing

@Suite struct `Transfer to a new deployment` {
    /// An oracle trained on one deployment, and rows of another that obeys the same law.
    private static let trained: StepModel? = {
        guard let data = try? SimulatedSteps.data(rows: 3000, seed: 1, tails: 4) else { return nil }
        return try? StepTimeTrainer(TrainingOptions()).fit(data, rows: Array(0..<data.count))
    }()

    private func run(_ data: StepDataSet, _ rows: Int, rule: TransferRule = .coverage) throws
        -> TransferRun.Outcome
    {
        var run = TransferRun()
        run.rule = rule
        return try run.run(
            try #require(Self.trained), facts: SimulatedSteps.facts, states: Array(data.states.prefix(rows)),
            seconds: Array(data.seconds.prefix(rows)))
    }

    @Test func `an honest target is accepted in at least 95 percent of 100 samples`() throws {
        var accepted = 0
        for seed in 0..<100 {
            let data = try SimulatedSteps.data(rows: 300, seed: UInt64(1000 + seed), tails: 4)
            if try run(data, 300).decision == .accepted { accepted += 1 }
        }
        #expect(accepted >= 95, "\(accepted)")
    }

    @Test func `doubled times are caught with 100 rows`() throws {
        let data = try SimulatedSteps.data(rows: 100, seed: 2, tails: 4).mapSeconds {
            2 * $1 + 0 * Double($0)
        }
        let outcome = try run(data, 100)
        #expect(outcome.decision != .accepted)
        #expect(outcome.asIs.map { $0.bias > 1.4 } == true)
    }

    @Test func `a bias of half a standard deviation is caught with 1000 rows, where the z-score rule sleeps`()
        throws
    {
        let noise = try #require(Self.trained?.noise)
        // Standard deviation of Student-t(4) noise.
        let deviation = noise.scale * 2.0.squareRoot()
        let data = try SimulatedSteps.data(rows: 1000, seed: 3, tails: 4).mapSeconds {
            $1 * (1 + 0.5 * deviation)
        }
        #expect(try run(data, 1000).decision != .accepted)
        #expect(try run(data, 1000, rule: .zscore).decision == .accepted)
    }

    @Test func `a scaled target is calibrated and then predicted`() throws {
        let data = try SimulatedSteps.data(rows: 600, seed: 4, tails: 4).mapSeconds { $1 * 1.15 + 0.0005 }
        let outcome = try run(data, 600)
        #expect(outcome.decision == .calibrated || outcome.decision == .refitted)
        let fresh = try SimulatedSteps.data(rows: 600, seed: 5, tails: 4).mapSeconds { $1 * 1.15 + 0.0005 }
        var evaluation = ForecastEvaluation(fresh)
        try evaluation.add(outcome.model, rows: Array(0..<600))
        let scores = try #require(evaluation.overall)
        #expect(abs(scores.bias) < 0.02 && abs(scores.coverage - 0.8) < 0.07)
    }

    @Test func `another law than the donors' is refitted or refused, never accepted`() throws {
        let other = [
            Coefficient(feature: "constant", value: 2e-3), Coefficient(feature: "decode_kv_read", value: 4),
            Coefficient(feature: "matrix_flops", value: 0.6),
        ]
        let data = try SimulatedSteps.data(rows: 800, seed: 6, coefficients: other, tails: 4)
        let outcome = try run(data, 800)
        #expect(outcome.decision == .refitted || outcome.decision == .retrainingNeeded)
    }

    @Test func `without rows nothing is claimed`() throws {
        let data = try SimulatedSteps.data(rows: 10, seed: 7)
        #expect(try run(data, 0).decision == .untested)
        #expect(try run(data, 10).decision == .untested)
    }

    @Test func `donors start in the middle and end when all are covered`() throws {
        var groups: [StepDataSet.Group] = []
        for layers in [16, 32, 64, 64] {
            var facts = SimulatedSteps.facts
            facts.layers = layers
            groups.append(.init(name: "\(layers)", facts: facts))
        }
        let choice = try DonorChoice(candidates: groups, measured: [], count: 10)
        #expect(choice.donors.count == 3)
        #expect(choice.donors.last?.radius == 0)
        #expect(throws: InvalidInput.self) { try DonorChoice(candidates: [], measured: [], count: 1) }
    }
}
