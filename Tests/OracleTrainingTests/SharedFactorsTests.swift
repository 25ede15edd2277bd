import LatencyOracle
import ServingCore
import Testing

@testable import OracleTraining

@Suite struct `Accelerators drawn towards what all share` {
    /// A model: a mixture of experts where it has any.
    private struct Model {
        var name: String
        var layers: Int
        var experts: Int
        var width: Double
    }

    private static let models = [
        Model(name: "dense-a", layers: 32, experts: 0, width: 3e9),
        Model(name: "dense-b", layers: 48, experts: 0, width: 9e9),
        Model(name: "dense-c", layers: 24, experts: 0, width: 5e9),
        Model(name: "moe-a", layers: 32, experts: 8, width: 2e9),
        Model(name: "moe-b", layers: 48, experts: 128, width: 1e9),
        Model(name: "moe-c", layers: 40, experts: 64, width: 3e9),
    ]

    private static let dense = ["layer_launches": 4e-5, "matrix_roofline": 1.2, "decode_kv_read": 1.2]
    private static let routed = [
        "expert_layer_launches": 2e-5, "expert_weight_read": 1.1, "expert_activation_traffic": 1.5,
    ]

    /// Steps of the models named on an accelerator whose experts are `slow` times as slow as the others'.
    private func steps(_ accelerator: String, slow: Double, _ names: [String], seed: UInt64) throws
        -> StepDataSet
    {
        var data = StepDataSet()
        var stream = RandomStream(seed: seed, purpose: accelerator)
        for model in Self.models where names.contains(model.name) {
            var facts = DeploymentFacts()
            facts.modelName = model.name
            facts.acceleratorName = accelerator
            facts.layers = model.layers
            facts.hiddenSize = 4096
            facts.denseWeightBytesPerRank = model.width
            facts.flopsPerTokenPerRank = model.width
            facts.kvBytesPerTokenPerRank = 1.3e5
            facts.peakFlops = 4e14
            facts.memoryBandwidth = 2e12
            if model.experts > 0 {
                facts.experts = model.experts
                facts.expertsPerToken = 2 + model.experts / 32
                facts.expertsPerRank = Double(model.experts)
                facts.expertLayers = model.layers
                facts.expertWeightBytesPerRank = 4e10 / Double(model.experts * model.layers)
                facts.flopsPerTokenPerRank +=
                    Double(facts.expertsPerToken * model.layers) * facts.expertWeightBytesPerRank
            }
            var coefficients = Self.dense
            for (name, value) in Self.routed { coefficients[name] = slow * value }
            let truth = StepModel(
                kind: .linear, featureSet: "physics",
                coefficients: coefficients.sorted { $0.key < $1.key }.map {
                    Coefficient(feature: $0.key, value: $0.value)
                })
            let oracle = try StepTimeOracle(
                artifact: OracleArtifact(name: "truth", summary: "known", step: truth)
            ).compile(for: facts)
            let group = data.addGroup(.init(name: model.name + "/" + accelerator, facts: facts))
            for _ in 0..<80 {
                let state = SimulatedSteps.state(&stream)
                let noise = 1 + 0.02 * (stream.uniform() + stream.uniform() - 1)
                data.append(state, seconds: noise * oracle.stepSeconds(state), group: group, run: 0)
            }
        }
        return data
    }

    private var options: TrainingOptions {
        var options = TrainingOptions()
        options.nonnegative = true
        options.specialisation = .accelerator
        return options
    }

    @Test func `predict a mixture of experts from one other on the accelerator`() throws {
        let names = Self.models.map(\.name)
        var data = try steps("first", slow: 1, names, seed: 1)
        data.add(try steps("second", slow: 5, names.filter { $0 != "moe-b" && $0 != "moe-c" }, seed: 2))
        let model = try StepTimeTrainer(options).fit(data, rows: Array(0..<data.count))
        let unseen = try steps("second", slow: 5, ["moe-b", "moe-c"], seed: 3)
        var evaluation = ForecastEvaluation(unseen)
        try evaluation.add(model, rows: Array(0..<unseen.count))
        #expect(try #require(evaluation.overall).mape < 0.05)
        #expect(
            model.specialised?.map(\.scope.description) == [
                "first/bf16/dense", "first/bf16/mixture of experts", "second/bf16/dense",
                "second/bf16/mixture of experts", "first", "second",
            ])
    }

    @Test func `scales tell a slow accelerator's experts from its dense work`() throws {
        let names = Self.models.map(\.name)
        var data = try steps("first", slow: 1, names, seed: 1)
        data.add(try steps("second", slow: 5, names, seed: 2))
        let features = FeatureSet.physics.step
        let all = Array(0..<data.count)
        let scopes = all.map {
            SharedFactors.Scope(
                accelerator: data.groups[data.group[$0]].facts.acceleratorName, format: "bf16")
        }
        let shared = SharedFactors(
            StepTimeTrainer(options).designRows(data, rows: all, features: features), scopes: scopes,
            groups: data.group, isExpert: features.map { AcceleratorSpecialists.isExpert($0.name) })
        let first = try #require(shared.scales[.init(accelerator: "first", format: "bf16")])
        let second = try #require(shared.scales[.init(accelerator: "second", format: "bf16")])
        #expect(abs(second.experts / first.experts / 5 - 1) < 0.1)
        #expect(abs(second.dense / first.dense - 1) < 0.1)
        // An accelerator that nobody measured has the shape itself.
        #expect(shared.coefficients(.init(accelerator: "third")) == shared.shape)
    }

    @Test func `never make more work cheaper, and leave unseen formats to the accelerator`() throws {
        let data = try steps("first", slow: 1, Self.models.map(\.name), seed: 4)
        let model = try StepTimeTrainer(options).fit(data, rows: Array(0..<data.count))
        for one in model.specialised ?? [] {
            #expect(one.model.coefficients.allSatisfy { $0.value >= 0 }, "\(one.scope)")
        }
        var facts = data.groups[5].facts
        facts.weightFormat = "fp8"
        #expect(model.specialised(for: facts).scope?.description == "first")
        facts.acceleratorName = "other"
        #expect(model.specialised(for: facts).scope == nil)
    }

    @Test func `without the constraint are fitted alone as before`() throws {
        let data = try steps("first", slow: 1, Self.models.map(\.name), seed: 4)
        var options = options
        options.nonnegative = false
        let model = try StepTimeTrainer(options).fit(data, rows: Array(0..<data.count))
        #expect(
            model.specialised?.map(\.scope.description)
                == ["first/bf16/dense", "first/bf16/mixture of experts"])
    }
}
