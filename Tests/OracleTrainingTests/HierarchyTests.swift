import LatencyOracle
import ServingCore
import Testing

@testable import OracleTraining

@Suite struct `Hierarchical oracles` {
    @Test func `a fit finds non-negative factors through outliers and keeps what no row shows`() {
        var stream = RandomStream(seed: 5, purpose: "rows")
        let truth = [0.002, 1.3, 0, 0.7]
        var rows = DesignRows(columns: 4)
        for index in 0..<400 {
            let x = [1, stream.uniform() * 0.05, stream.uniform() * 0.02, 0]
            var y = zip(x, truth).reduce(0) { $0 + $1.0 * $1.1 } * (1 + 0.01 * (stream.uniform() - 0.5))
            if index % 20 == 0 { y *= 3 }
            rows.append(x, target: y)
        }
        let weights = [Double](repeating: 1.0 / 400, count: 400)
        let fit = ShrunkenFit.fit(
            rows, weights: weights, free: [0, 1, 2, 3], prior: [0, 1, 0, 0.7], shrinkage: 1e-6)
        #expect(abs(fit.coefficients[0] / truth[0] - 1) < 0.02)
        #expect(abs(fit.coefficients[1] / truth[1] - 1) < 0.02)
        #expect(fit.coefficients[2] >= 0 && fit.coefficients[2] < 0.05)
        #expect(fit.coefficients[3] == 0.7)
        let held = ShrunkenFit.fit(
            rows, weights: weights, free: [0, 1], prior: [0.002, 1, 0, 0.7], shrinkage: 1e6)
        #expect(abs(held.coefficients[1] - 1) < 1e-3)
    }

    /// Steps of models on one accelerator, `slow` times as long as the roofline says.
    private func steps(_ models: [String: Double], _ stream: inout RandomStream) throws -> StepDataSet {
        var data = StepDataSet()
        for name in models.keys.sorted() {
            var facts = DeploymentFacts()
            facts.modelName = name
            facts.acceleratorName = "card"
            facts.layers = 24 + name.count
            facts.hiddenSize = 4096
            facts.denseWeightBytesPerRank = 8e9 * (1 + stream.uniform())
            facts.flopsPerTokenPerRank = facts.denseWeightBytesPerRank
            facts.attentionFlopsPerPairPerRank = 5e5
            facts.kvBytesPerTokenPerRank = 1.3e5
            facts.peakFlops = 4e14
            facts.memoryBandwidth = 2e12
            let group = data.addGroup(.init(name: name, facts: facts))
            let oracle = try StepTimeOracle.roofline.compile(for: facts)
            for _ in 0..<80 {
                let state = randomStep(&stream)
                data.append(
                    state, seconds: (models[name] ?? 1) * oracle.stepSeconds(state), group: group, run: 0)
            }
        }
        return data
    }

    @Test func `learn how far models left out lie off, and nothing from them`() throws {
        var stream = RandomStream(seed: 6, purpose: "models")
        let even = try steps(["a": 1.2, "bb": 1.2, "ccc": 1.2, "dddd": 1.2], &stream)
        var options = TrainingOptions()
        options.method = .hierarchical
        options.specialisation = .accelerator
        let trainer = StepTimeTrainer(options)
        let model = try trainer.fit(even, rows: Array(0..<even.count))
        let oracle = try StepTimeOracle(artifact: OracleArtifact(name: "t", summary: "t", step: model))
        let compiled = try oracle.compile(for: even.groups[0].facts)
        for index in 0..<80 {
            #expect(abs(compiled.stepSeconds(even.states[index]) / even.seconds[index] - 1) < 0.03)
        }
        let scope = try #require(model.specialised?.first)
        #expect(try #require(scope.model.discrepancy).scaleStd < 0.03)

        // The same with one model half as fast again: it widens the discrepancy.
        let uneven = try steps(["a": 1.2, "bb": 1.2, "ccc": 1.2, "dddd": 1.8], &stream)
        let wide = try trainer.fit(uneven, rows: Array(0..<uneven.count))
        let spread = try #require(wide.specialised?.first?.model.discrepancy).scaleStd
        #expect(spread > 0.1)

        // Left out, it leaves no trace, whatever evidence holds of it.
        let others = (0..<uneven.count).filter { uneven.groups[uneven.group[$0]].facts.modelName != "dddd" }
        options.evidence.measured = uneven.selecting((0..<uneven.count).filter { !Set(others).contains($0) })
        options.evidence.others = options.evidence.measured
        let without = try StepTimeTrainer(options).fit(uneven, rows: others)
        var plain = options
        plain.evidence = HierarchyEvidence()
        #expect(try without == StepTimeTrainer(plain).fit(uneven, rows: others))
    }

    @Test func `what kernel times do not hold is learned from measured steps alone`() throws {
        var stream = RandomStream(seed: 8, purpose: "engine")
        // Kernels as the roofline says; an engine that takes 2 ms longer, and a tenth of the prefill beside each decode.
        let kernels = try steps(["a": 1, "bb": 1, "ccc": 1], &stream)
        let beside = try FeatureSet.stepFeature(named: "prefill_beside_decodes", in: .physics)
        let measured = try steps(["a": 1], &stream)
        let facts = measured.groups[0].facts
        let evaluator = StepFeatureEvaluator(features: [beside], facts: facts)
        var options = TrainingOptions()
        options.method = .hierarchical
        options.specialisation = .configuration
        options.discrepancy = false
        options.evidence.measured = measured.mapSeconds { row, seconds in
            seconds + 0.002 + 0.1 * evaluator.values(of: measured.states[row])[0]
        }
        let model = try StepTimeTrainer(options).fit(kernels, rows: Array(0..<kernels.count))
        let own = try #require(model.specialised?.last { $0.scope.model == "a" }?.model)
        let learned = try #require(own.coefficients.first { $0.feature == beside.name }?.value)
        #expect(abs(learned / 0.1 - 1) < 0.1)
    }

    @Test func `the API server's time divides into a fixed part and one per request`() throws {
        var stream = RandomStream(seed: 7, purpose: "server")
        let runs = (0..<3).map { run in
            let ahead = (0..<300).map { _ in Double(10 * run) + stream.uniform() * 20 }
            return (
                seconds: ahead.map { 0.006 + 50e-6 * $0 + 0.004 * (stream.uniform() - 0.5) },
                requestsAhead: ahead
            )
        }
        let fit = try #require(ServingTimeFit.fit(runs))
        #expect(abs(fit.arrival.constant + fit.post.constant - 0.006) < 0.0006)
        #expect(abs(try #require(fit.post.perRunningRequest) - 50e-6) < 15e-6)
        #expect(ServingTimeFit.fit([]) == nil)
    }
}
