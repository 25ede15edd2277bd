import LatencyOracle
import ServingCore
import Testing

/// Experts meet the tokens of all data-parallel engines.
@Suite struct DataParallelTests {
    /// The sample mixture of experts, dealt out over `engines` times two GPUs.
    private func facts(engines: Int) -> DeploymentFacts {
        // FLOPs per own token stay the same: the experts of a rank are fewer, the tokens that meet them more.
        var facts = Sample.experts
        facts.dataParallelSize = engines
        facts.expertParallelSize = 2 * engines
        facts.expertsPerRank = 8 / Double(2 * engines)
        return facts
    }

    @Test func `unknown peers do as much as this engine, each`() throws {
        var stream = RandomStream(seed: 5, purpose: "peers")
        for engines in [2, 4] {
            let compiled = try StepTimeOracle.roofline.compile(for: facts(engines: engines))
            for _ in 0..<100 {
                var state = Sample.step(&stream)
                state.peerTokens = nil
                var stated = state
                stated.peerTokens = (engines - 1) * state.batchTokens
                #expect(compiled.stepSeconds(state) == compiled.stepSeconds(stated))
            }
        }
    }

    @Test func `the more the peers do, the longer a step takes, of a mixture of experts alone`() throws {
        var stream = RandomStream(seed: 6, purpose: "peers")
        let experts = try StepTimeOracle.roofline.compile(for: facts(engines: 4))
        var parallel = Sample.dense
        parallel.dataParallelSize = 4
        let dense = try StepTimeOracle.roofline.compile(for: parallel)
        for _ in 0..<100 {
            var state = Sample.step(&stream)
            var last = (experts: 0.0, dense: dense.stepSeconds(state))
            for tokens in [0, 1, 10, 100, 5000, 50_000] {
                state.peerTokens = tokens
                let seconds = experts.stepSeconds(state)
                #expect(seconds >= last.experts)
                #expect(dense.stepSeconds(state) == last.dense)
                last.experts = seconds
            }
            state.peerTokens = 0
            #expect(last.experts > experts.stepSeconds(state))
        }
    }

    @Test func `a token's dense work is the same however many engines there are`() throws {
        let feature = try FeatureSet.stepFeature(named: "matrix_flops", in: .physics)
        var state = StepState()
        state.decodeRequests = 100
        let values = [1, 2, 4].map { engines in
            StepFeatureEvaluator(features: [feature], facts: facts(engines: engines)).values(of: state)[0]
        }
        #expect(values[0] > 0)
        for value in values { #expect(abs(value - values[0]) <= 1e-12 * values[0]) }
    }

    @Test func `experts that are not dealt out cost an exchange between engines, too`() throws {
        let feature = try FeatureSet.stepFeature(named: "expert_all_to_all", in: .physics)
        var state = StepState()
        state.decodeRequests = 100
        func seconds(engines: Int) -> Double {
            var facts = Sample.experts
            facts.expertParallelSize = 1
            facts.dataParallelSize = engines
            return StepFeatureEvaluator(features: [feature], facts: facts).values(of: state)[0]
        }
        #expect(seconds(engines: 1) == 0)
        #expect(seconds(engines: 2) > 0 && seconds(engines: 4) > seconds(engines: 2))
    }
}
