import LatencyOracle
import ServingCore
import Testing

@testable import OracleTraining

/// Deployments on three accelerators whose steps follow different laws.
private func structured(configurations: Int = 12, rows: Int = 60, seed: UInt64 = 1) throws -> ConfiguredRows {
    var stream = RandomStream(seed: seed, purpose: "ensemble tests")
    var facts: [DeploymentFacts] = []
    var design = DesignRows(columns: 2)
    var owner: [Int] = []
    for c in 0..<configurations {
        var f = DeploymentFacts()
        f.hiddenSize = 2048 + 1024 * (c / 3)
        f.layers = 24 + 4 * (c / 3)
        f.attentionHeads = 32
        f.keyValueHeads = 8
        f.peakFlops = [3e14, 1e15, 2e15][c % 3]
        f.memoryBandwidth = [1.5e12, 3.3e12, 8e12][c % 3]
        f.memoryBytes = 8e10
        facts.append(f)
        let law = [(1.0, 4.0), (3.0, 1.0), (8.0, 0.2)][c % 3]
        for _ in 0..<rows {
            let a = Double(1 + c / 3) * (0.2 + stream.uniform())
            let b = 0.2 + stream.uniform()
            let noise = 1 + 0.06 * (stream.uniform() - 0.5)
            design.append([a, b], target: 1e-3 * (2 + law.0 * a + law.1 * b) * noise)
            owner.append(c)
        }
    }
    return try ConfiguredRows(
        features: ["a", "b"], rows: design, configuration: owner, facts: facts,
        names: (0..<configurations).map { "configuration \($0)" })
}

@Suite struct QuantileEnsembleTests {
    @Test func `finds which accelerators need models of their own, and chooses that`() throws {
        let trainer = try EnsembleTrainer(structured())
        let choice = try trainer.choose(among: trainer.present)
        #expect([.nearest, .learned].contains(choice.form))
        let best = choice.scores.first { $0.form == choice.form }!
        let pooled = try trainer.compare([.pooled], among: trainer.present)[0]
        // Screening by least squares must not have thought one model worth an exact fit.
        #expect(!choice.scores.contains { $0.form == .pooled })
        #expect(best.pinball < 0.5 * pooled.pinball)
        #expect(best.medianError < 0.03)
        let model = try trainer.train(choice.form, on: trainer.present)
        #expect(model.certified)
        for c in 0..<12 { #expect(trainer.losses(model, on: c).pinball < 0.02) }
    }

    @Test func `quantiles of the trained model keep their order on its rows`() throws {
        let data = try structured()
        let trainer = try EnsembleTrainer(data)
        let model = try trainer.train(.nearest, on: trainer.present)
        for c in 0..<12 {
            let fits = model.models(for: data.facts[c], columns: 2)
            for i in data.members[c] {
                let values = fits.map { $0(data.rows.row(i)) }
                #expect(values[0] <= values[1] && values[1] <= values[2])
            }
        }
    }

    @Test func `weights sum to 1, only the nearest count, and coefficients stay a weighted mean`() throws {
        let data = try structured()
        let trainer = try EnsembleTrainer(data)
        var model = try trainer.train(.learned, on: trainer.present, solver: .separate)
        model.topSpecialists = 2
        for facts in data.facts {
            let weights = model.weights(for: facts)
            #expect(abs(weights.reduce(0, +) - 1) < 1e-12)
            #expect(weights.count { $0 > 0 } <= 2)
            let blended = model.models(for: facts, columns: 2)[1].coefficients[0]
            let mean = zip(weights, model.specialists).reduce(0) { $0 + $1.0 * $1.1.fits[1].coefficients[0] }
            #expect(abs(blended - mean) <= 1e-12 * abs(mean))
        }
    }

    @Test func `weights learned on a little data beat those of similarity`() throws {
        let data = try structured()
        let trainer = try EnsembleTrainer(data)
        var model = try trainer.train(.nearest, on: Array(0..<11), solver: .separate)
        // The wrong specialist first: a target that looks like another accelerator.
        model.specialists.reverse()
        let weights = try WeightTuning.fit(model, data, configuration: 11)
        #expect(abs(weights.reduce(0, +) - 1) < 1e-9 && weights.allSatisfy { $0 >= 0 })
        let right = model.specialists.firstIndex { $0.members.contains(8) }!
        #expect(weights[right] > 0.8)
    }

    @Test func `more specialists than configurations, too few to leave out and empty data are refused`()
        throws
    {
        let data = try structured(configurations: 3)
        var options = EnsembleTrainer.Options()
        options.specialists = 4
        #expect(throws: InvalidInput.self) { try EnsembleTrainer(data, options: options) }
        options.specialists = nil
        options.quantiles = [0.9, 0.1]
        #expect(throws: InvalidInput.self) { try EnsembleTrainer(data, options: options) }
        let trainer = try EnsembleTrainer(data)
        #expect(throws: InvalidInput.self) { try trainer.compare([.pooled], among: [0]) }
        #expect(throws: InvalidInput.self) {
            try ConfiguredRows(
                features: ["a"], rows: DesignRows(columns: 1), configuration: [], facts: [], names: [])
        }
    }

    @Test func `identical configurations are one group`() throws {
        var data = try structured(configurations: 4)
        for c in 1..<4 { data.facts[c] = data.facts[0] }
        let trainer = try EnsembleTrainer(data)
        for form in [EnsembleTrainer.Form.similarity, .nearest, .asWritten] {
            #expect(try trainer.train(form, on: trainer.present, solver: .separate).specialists.count == 1)
        }
    }

    @Test func `the same data gives the same model`() throws {
        let a = try EnsembleTrainer(structured()).train(.nearest, on: Array(0..<12))
        let b = try EnsembleTrainer(structured()).train(.nearest, on: Array(0..<12))
        #expect(a.specialists.map(\.fits) == b.specialists.map(\.fits))
    }
}

@Suite struct QuantileStepTrainerTests {
    /// Runs of two deployments on physical features with heteroscedastic noise.
    private func dataSet(rows: Int, deployments: Int = 2) -> StepDataSet {
        var data = StepDataSet()
        var stream = RandomStream(seed: 11, purpose: "step trainer")
        for g in 0..<deployments {
            var facts = DeploymentFacts()
            facts.modelName = "model-\(g)"
            facts.acceleratorName = "gpu"
            facts.hiddenSize = 1024
            facts.layers = 16 + 16 * g
            facts.attentionHeads = 16
            facts.keyValueHeads = 16
            facts.flopsPerTokenPerRank = 1e9 * Double(1 + g)
            facts.denseWeightBytesPerRank = 1e9
            facts.kvBytesPerTokenPerRank = 1e5
            facts.peakFlops = 1e14
            facts.memoryBandwidth = 1e12
            let group = data.addGroup(.init(name: "deployment-\(g)", facts: facts))
            for _ in 0..<rows {
                var state = StepState()
                let decodes = 1 + Int(stream.uniform() * 60)
                for _ in 0..<decodes { state.addDecode(contextTokens: 100 + Int(stream.uniform() * 900)) }
                if stream.uniform() < 0.3 {
                    state.addPrefill(newTokens: 16 + Int(stream.uniform() * 500), computedTokens: 0)
                }
                state.runningRequests = decodes + state.prefillRequests
                let mean = 2e-3 + 3e-5 * Double(decodes) + 2e-5 * Double(state.prefillTokens * (1 + g))
                data.append(
                    state, seconds: mean * (1 + 0.3 * (stream.uniform() - 0.4)), group: group, run: g)
            }
        }
        return data
    }

    @Test(arguments: [TrainingOptions.Method.quantile, .ensemble])
    func `an oracle of quantiles covers what it promises on rows it has not seen`(
        method: TrainingOptions.Method
    ) throws {
        let data = dataSet(rows: 1200)
        var options = TrainingOptions()
        options.method = method
        let split = RowSplit.forward(data, fraction: 0.7)
        let outcome = try QuantileStepTrainer(options).fit(data, rows: split.train)
        #expect(outcome.report.certified)
        #expect(outcome.report.calibration.count == 3)
        var evaluation = ForecastEvaluation(data)
        try evaluation.add(outcome.model, rows: split.test)
        let scores = try #require(evaluation.overall)
        #expect(scores.coverage > 0.74 && scores.coverage < 0.86)
        #expect(scores.medianAPE < 0.1)
    }

    @Test func `the artifact says what the trainer fitted, to the last digit, after a trip through JSON`()
        throws
    {
        let data = dataSet(rows: 200)
        var options = TrainingOptions()
        options.method = .ensemble
        let model = try QuantileStepTrainer(options).fit(data, rows: Array(0..<data.count)).model
        let artifact = OracleArtifact(name: "o", summary: "s", step: model)
        let again = try OracleArtifact(json: artifact.json(), source: "o.json")
        #expect(again.step == model)
    }

    @Test func `too few rows to fit or to calibrate are handled`() throws {
        let data = dataSet(rows: 30, deployments: 1)
        var options = TrainingOptions()
        options.method = .ensemble
        #expect(throws: InvalidInput.self) { try QuantileStepTrainer(options).fit(data, rows: [0, 1]) }
        let outcome = try QuantileStepTrainer(options).fit(data, rows: Array(0..<30))
        #expect(outcome.report.calibration.isEmpty && outcome.model.quantiles?.count == 3)
    }

    @Test func `drift is found in the run that has it`() throws {
        let data = dataSet(rows: 3000)
        var options = TrainingOptions()
        options.method = .quantile
        let model = try QuantileStepTrainer(options).fit(data, rows: Array(0..<data.count)).model
        let oracle = try StepTimeOracle(artifact: OracleArtifact(name: "o", summary: "s", step: model))
        let quiet = try DriftReport(oracle: oracle, data: data, reference: 800)
        #expect(!quiet.drifted && quiet.runs.count == 2)
        let slowed = data.mapSeconds { i, y in data.run[i] == 1 && i >= 5000 ? 1.15 * y : y }
        let found = try DriftReport(oracle: oracle, data: slowed, reference: 800)
        #expect(found.runs[0].firstAlarm == nil)
        let first = try #require(found.runs[1].firstAlarm)
        #expect(first >= 2000 && first < 2600)
    }
}
