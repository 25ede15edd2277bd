import LatencyOracle
import ServingCore
import Testing

@Suite struct `Compiled step models` {
    @Test(arguments: FeatureSet.all.map(\.name))
    func `equal the dot product of coefficients and features`(_ name: String) throws {
        let set = try FeatureSet.named(name)
        var stream = RandomStream(seed: 7, purpose: "compiled")
        for facts in Sample.all {
            let features = set.step + set.engine
            let coefficients = features.map { _ in stream.uniform() * 2 - 0.5 }
            var form = LinearForm()
            for (feature, coefficient) in zip(features, coefficients) {
                form.add(feature.form(facts), times: coefficient)
            }
            let compiled = CompiledStepModel(form: form, facts: facts)
            let evaluator = StepFeatureEvaluator(features: features, facts: facts)
            for round in 0..<400 {
                // Every fourth batch lies beyond the table.
                let state = Sample.step(&stream, maxTokens: round % 4 == 0 ? 40_000 : 8192)
                let products = zip(evaluator.values(of: state), coefficients).map { $0 * $1 }
                let size = products.reduce(0) { $0 + abs($1) }
                #expect(abs(compiled(state) - products.reduce(0, +)) <= 1e-12 * size)
            }
        }
    }

    @Test func `agree between an empty step and the constant alone`() {
        let compiled = CompiledStepModel(form: [.one: 0.5, .paddedTokens: 3], facts: Sample.dense)
        #expect(compiled(StepState()) == 0.5)
    }
}

@Suite struct `Noise tables` {
    @Test(arguments: [2.5, 2.919, 4, 30])
    func `hold the quantiles of Student's t`(_ degreesOfFreedom: Double) {
        let table = NoiseTable.studentT(degreesOfFreedom: degreesOfFreedom)
        let distribution = StudentTDistribution(degreesOfFreedom: degreesOfFreedom)
        for place in 1..<4096 {
            let probability = Double(place) / 4096
            let expected = distribution.quantile(probability)
            #expect(abs(table.score(probability) - expected) <= 1e-9 * max(1, abs(expected)))
        }
        #expect(abs(table.score(0) - distribution.quantile(1.0 / 16_384)) < 1e-9)
        #expect(table.score(1) == -table.score(0) && table.score(0.5) == 0)
    }
}

@Suite struct `The roofline prior` {
    let oracle = StepTimeOracle.roofline

    @Test func `never takes less time for more work`() throws {
        var stream = RandomStream(seed: 3, purpose: "monotone")
        for facts in Sample.all {
            let compiled = try oracle.compile(for: facts)
            for _ in 0..<300 {
                let state = Sample.step(&stream)
                let seconds = compiled.stepSeconds(state)
                #expect(seconds > 0 && seconds.isFinite)
                var more = state
                more.addPrefill(newTokens: 1 + Int(stream.uniform() * 500), computedTokens: 100)
                #expect(compiled.stepSeconds(more) >= seconds)
                more = state
                more.addDecode(contextTokens: 1 + Int(stream.uniform() * 5000))
                #expect(compiled.stepSeconds(more) >= seconds)
                more = state
                more.decodeContextTokens += 1000
                #expect(compiled.stepSeconds(more) >= seconds)
            }
        }
    }

    @Test func `a faster link is never slower and tensor parallelism costs communication`() throws {
        var stream = RandomStream(seed: 4, purpose: "link")
        var fast = Sample.experts
        fast.interconnectBandwidth *= 2
        fast.interconnectLatency /= 2
        let slower = try oracle.compile(for: Sample.experts)
        let faster = try oracle.compile(for: fast)
        var alone = Sample.experts
        alone.tensorParallelSize = 1
        let withoutCommunication = try oracle.compile(for: alone)
        for _ in 0..<100 {
            let state = Sample.step(&stream)
            #expect(faster.stepSeconds(state) <= slower.stepSeconds(state))
            #expect(withoutCommunication.stepSeconds(state) <= slower.stepSeconds(state))
        }
    }

    @Test func `decodes an 8B model at batch 1 in a bit more than the time to read its weights`() throws {
        var state = StepState()
        state.addDecode(contextTokens: 500)
        state.runningRequests = 1
        let seconds = try oracle.compile(for: Sample.dense).stepSeconds(state)
        #expect(seconds > 15e9 / 3.35e12 && seconds < 2 * 15e9 / 3.35e12)
    }

    @Test func `says which fact it misses`() {
        var facts = Sample.dense
        facts.memoryBandwidth = 0
        let incomplete = facts
        let error = #expect(throws: InvalidInput.self) { try oracle.compile(for: incomplete) }
        #expect(error?.field == "memoryBandwidth")
    }
}
