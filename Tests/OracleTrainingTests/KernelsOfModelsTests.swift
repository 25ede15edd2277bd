import LatencyOracle
import ServingCore
import Testing

@testable import OracleTraining

/// Kernel times of dense models, and of mixtures of experts whose expert kernels are slow each in its own way.
@Suite struct KernelsOfModelsTests {
    private func facts(_ name: String, ranks: Int, experts: Bool) -> DeploymentFacts {
        var facts = DeploymentFacts()
        facts.modelName = name
        facts.acceleratorName = "card"
        facts.weightFormat = "fp8"
        facts.layers = 24 + name.count
        facts.hiddenSize = 4096
        facts.tensorParallelSize = ranks
        facts.denseWeightBytesPerRank = 8e9 / Double(ranks)
        facts.flopsPerTokenPerRank = 8e9 / Double(ranks)
        facts.attentionFlopsPerPairPerRank = 5e5
        facts.kvBytesPerTokenPerRank = 1.3e5
        facts.peakFlops = 4e14
        facts.memoryBandwidth = 2e12
        facts.interconnectBandwidth = 4e11
        facts.interconnectLatency = 5e-6
        if experts {
            facts.experts = 16
            facts.expertsPerToken = 2
            facts.expertsPerRank = 16
            facts.expertLayers = facts.layers
            facts.expertWeightBytesPerRank = 3e7 / Double(ranks)
            facts.flopsPerTokenPerRank += 4 * 3e7 * Double(facts.layers) / Double(ranks)
        }
        return facts
    }

    /// Steps as the roofline says, work of experts `slow` times as long.
    private func steps(_ experts: [String: Double], ranks: [Int] = [1, 2, 4]) throws -> StepDataSet {
        var stream = RandomStream(seed: 11, purpose: "kernels of models")
        var data = StepDataSet()
        let dense = ["a", "bb", "ccc"].map { ($0, 1.0, false) }
        for (name, slow, hasExperts) in dense
            + experts.sorted(by: { $0.key < $1.key }).map({ ($0, $1, true) })
        {
            for ranks in ranks {
                let facts = facts(name, ranks: ranks, experts: hasExperts)
                let group = data.addGroup(.init(name: "\(name)/\(ranks)", facts: facts))
                let all = try StepTimeOracle.roofline.compile(for: facts)
                let work = FeatureSet.physics.step.filter { KernelHierarchy.expertFeatures.contains($0.name) }
                let evaluator = StepFeatureEvaluator(features: work, facts: facts)
                let factors = work.map { feature in
                    StepTimeOracle.roofline.artifact.step.coefficients.first { $0.feature == feature.name }?
                        .value ?? 0
                }
                for _ in 0..<30 {
                    let state = randomStep(&stream)
                    let ofExperts = zip(evaluator.values(of: state), factors).reduce(0) { $0 + $1.0 * $1.1 }
                    data.append(
                        state, seconds: all.stepSeconds(state) + (slow - 1) * ofExperts, group: group, run: 0)
                }
            }
        }
        return data
    }

    private func train(_ data: StepDataSet, _ rows: [Int]? = nil) throws -> StepModel {
        var options = TrainingOptions()
        options.method = .hierarchical
        options.specialisation = .configuration
        return try StepTimeTrainer(options).fit(data, rows: rows ?? Array(0..<data.count))
    }

    /// Greatest mean relative error over the deployments of mixtures of experts.
    private func error(_ model: StepModel, _ data: StepDataSet) throws -> Double {
        let oracle = try StepTimeOracle(artifact: OracleArtifact(name: "t", summary: "t", step: model))
        return try Set(data.group).sorted().filter { data.groups[$0].facts.experts > 0 }.map { group in
            let compiled = try oracle.compile(for: data.groups[group].facts)
            let rows = (0..<data.count).filter { data.group[$0] == group }
            return rows.reduce(0) { $0 + abs(compiled.stepSeconds(data.states[$1]) / data.seconds[$1] - 1) }
                / Double(rows.count)
        }.max()!
    }

    @Test func `models whose experts differ have factors of their own, and layouts never seen profit`() throws
    {
        let data = try steps(["x": 1, "yy": 2.5, "zzz": 5])
        let model = try train(data)
        var without = model
        without.specialised!.removeAll { $0.model.restsOnKernelTimes == true }
        #expect(try error(model, data) < 0.1)
        #expect(try error(without, data) > 0.25)
        // Four ranks of one model are not there: its other layouts tell.
        let some = (0..<data.count).filter { data.groups[data.group[$0]].name != "zzz/4" }
        let other = try train(data.selecting(some))
        let unseen = data.groups.first { $0.name == "zzz/4" }!.facts
        let found = other.specialised(for: unseen)
        #expect(found.scope?.model == "zzz" && found.scope?.tensorParallelSize == nil)
        #expect(found.model.basis == "kernel times of its other layouts")
        #expect(try error(other, data.selecting(Set(0..<data.count).subtracting(some).sorted())) < 0.15)
        // Its domain is the accelerator's.
        #expect(found.model.domain != nil && found.model.domain == other.specialised![1].model.domain)
    }

    @Test func `dense models have none, and a model left out leaves none`() throws {
        let data = try steps(["x": 1, "yy": 2.5, "zzz": 5])
        let model = try train(data)
        let own = model.specialised!.filter { $0.model.restsOnKernelTimes == true }
        #expect(Set(own.compactMap(\.scope.model)) == ["x", "yy", "zzz"])
        #expect(own.count == 3 * 4)
        let others = (0..<data.count).filter { data.groups[data.group[$0]].facts.modelName != "zzz" }
        let without = try train(data.selecting(others))
        #expect(without.specialised!.allSatisfy { $0.scope.model != "zzz" })
        let unseen = data.groups.last!.facts
        #expect(without.specialised(for: unseen).scope?.model == nil)
        // Known kernel times leave less doubt than those of other models.
        let known = try #require(model.specialised(for: unseen).model.discrepancy).scaleStd
        let unknown = try #require(without.specialised(for: unseen).model.discrepancy).scaleStd
        #expect(known >= DeviationsOfModels.expertsOnEngines.inFewer && known < 0.5 * unknown)
    }

    @Test func `where all models are alike little changes`() throws {
        let data = try steps(["x": 2, "yy": 2, "zzz": 2])
        let model = try train(data)
        #expect(try error(model, data) < 0.05)
        var without = model
        without.specialised!.removeAll { $0.model.restsOnKernelTimes == true }
        #expect(try error(without, data) < 0.15)
    }
}
