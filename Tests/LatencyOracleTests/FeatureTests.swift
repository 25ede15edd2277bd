import LatencyOracle
import ServingCore
import Testing

@Suite struct `Step and queue features` {
    @Test func `the two designs have as many candidates as they list`() {
        #expect(FeatureSet.bsrARD.step.count == 18)
        #expect(FeatureSet.bsrARD.queue.count == 18)
        #expect(FeatureSet.rece.step.count == 20)
        #expect(FeatureSet.rece.queue.count == 16)
    }

    @Test(arguments: FeatureSet.all.map(\.name))
    func `names within a set are unique and the first is the constant`(_ name: String) throws {
        let set = try FeatureSet.named(name)
        #expect(Set(set.step.map(\.name)).count == set.step.count)
        #expect(Set(set.queue.map(\.name)).count == set.queue.count)
        #expect(set.step[0].name == "constant" && set.queue[0].name == "constant")
    }

    @Test func `an unknown set or feature is refused with the nearest name`() {
        #expect(throws: InvalidInput.self) { try FeatureSet.named("physic") }
        let error = #expect(throws: InvalidInput.self) {
            try FeatureSet.stepFeature(named: "dense_weigth_read", in: .physics)
        }
        #expect(error?.description.contains("dense_weight_read") == true)
    }

    @Test func `physical features equal their formulas`() throws {
        let facts = Sample.experts
        var state = StepState()
        state.addPrefill(newTokens: 300, computedTokens: 5000)
        state.addDecode(contextTokens: 6000)
        state.addDecode(contextTokens: 4000)
        state.blocksToRestore = 7
        func value(_ name: String) throws -> Double {
            let feature = try FeatureSet.stepFeature(named: name, in: .physics)
            return StepFeatureEvaluator(features: [feature], facts: facts).values(of: state)[0]
        }
        func near(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-12 * abs(b) }
        // 302 tokens run in the graph of 304.
        let tokens = 304.0
        let routed = 2.0 * 4 / 8 * 352e6 * 32
        #expect(near(try value("matrix_flops"), tokens * (facts.flopsPerTokenPerRank - routed) / 989e12))
        #expect(near(try value("expert_flops"), tokens * routed / 989e12))
        let others = Double(facts.expertParallelSize - 1)
        #expect(near(try value("expert_concentration"), others * tokens * routed / 989e12))
        // Half of a rank's tokens take two experts each: three projections' widths and three times the hidden size.
        let widths = 352e6 / (2 * 4096) + 3 * 4096
        #expect(
            near(try value("expert_activation_traffic"), 302 * (2.0 * 4 / 8) * 32 * widths * 2 / 3.35e12))
        #expect(near(try value("dense_weight_read"), 1.6e9 / 3.35e12))
        // 302 tokens touch all four experts of the rank: 4 (1 - 0.75^302).
        let distinct = 4.0
        #expect(near(try value("expert_weight_read"), distinct * 352e6 * 32 / 3.35e12))
        #expect(near(try value("decode_kv_read"), (0.5 * 10_000 + 0.5 * 8192) * 65_536 / 3.35e12))
        let pairs = 300.0 * 5000 + 300 * 301 / 2
        let windowed = min(pairs, 300 * 4096)
        #expect(near(try value("prefill_attention"), (0.5 * pairs + 0.5 * windowed) * 524_288 / 989e12))
        // Ring: 2 (tp - 1) / tp of 302 tokens x 4096 x 2 bytes, twice a layer.
        #expect(near(try value("all_reduce_volume"), 2 * 32 * 1 * 302 * 4096 * 2 / 450e9))
        #expect(near(try value("host_link_transfer"), 7 * 16 * 65_536 / 64e9))
        #expect(near(try value("mixed_step_layers"), 32))
    }

    @Test
    func `a queue and decodes beside prefill count up to a limit, long prefill beyond one`()
        throws
    {
        func value(_ name: String, _ state: StepState, _ facts: DeploymentFacts) throws -> Double {
            let feature = try FeatureSet.stepFeature(named: name, in: .physics)
            return StepFeatureEvaluator(features: [feature], facts: facts).values(of: state)[0]
        }
        func near(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-12 * abs(b) }
        var facts = Sample.dense
        facts.tensorParallelSize = 2
        var state = StepState()
        state.waitingRequests = 10
        let read = facts.denseWeightBytesPerRank / facts.memoryBandwidth
        #expect(near(try value("queued_weight_read", state, facts), 10 * read))
        state.waitingRequests = 100_000
        #expect(near(try value("queued_weight_read", state, facts), 256 * read))
        facts.expertLayers = 3
        facts.expertsPerRank = 4
        facts.expertWeightBytesPerRank = facts.denseWeightBytesPerRank
        #expect(near(try value("queued_weight_read", state, facts), 256 * 13 * read))
        facts.tensorParallelSize = 1
        #expect(try value("queued_weight_read", state, facts) == 0)

        state.addDecode(contextTokens: 50)
        #expect(try value("prefill_beside_decodes", state, facts) == 0)
        state.addPrefill(newTokens: 100, computedTokens: 0)
        let one = try value("prefill_beside_decodes", state, facts)
        #expect(one > 0)
        for _ in 0..<100 { state.addDecode(contextTokens: 50) }
        #expect(abs(try value("prefill_beside_decodes", state, facts) / one - 16) < 1e-12)

        #expect(try value("sustained_prefill", state, facts) == 0)
        state.addPrefill(newTokens: 1024 - 100 + 1, computedTokens: 0)
        let token = try value("sustained_prefill", state, facts)
        #expect(token > 0)
        state.addPrefill(newTokens: 999, computedTokens: 0)
        #expect(abs(try value("sustained_prefill", state, facts) / token - 1000) < 1e-9)
    }

    @Test func `a fact that nobody stated switches its feature off instead of dividing by zero`() {
        let evaluator = StepFeatureEvaluator(
            features: FeatureSet.all.flatMap(\.step), facts: DeploymentFacts())
        var stream = RandomStream(seed: 1, purpose: "features")
        for _ in 0..<50 {
            let finite = evaluator.values(of: Sample.step(&stream)).allSatisfy { $0.isFinite }
            #expect(finite)
        }
    }

    @Test func `queue features of all sets are finite whatever the state`() {
        var state = QueueState()
        for used in [0, 500, 1000, 2000] {
            state.kvBlocksUsed = used
            state.kvBlocksTotal = 1000
            state.waitingRequests = used
            state.promptTokens = 100_000
            for facts in Sample.all + [DeploymentFacts()] {
                for feature in FeatureSet.all.flatMap(\.queue) {
                    #expect(feature.value(state, facts).isFinite, "\(feature.name)")
                }
            }
        }
    }
}
