import LatencyOracle
import ServingCore
import Simulation
import StepTraces
import Testing

/// What `simulate --step-trace` writes, read as `train` reads it.
@Suite struct NativeRoundTripTests {
    struct Scenario: Sendable, CustomTestStringConvertible {
        let settings: String
        /// A kind of step that it is there for.
        let holds: @Sendable (StepState) -> Bool
        var testDescription: String { settings }
    }

    private static let scenarios = [
        // Prompts in chunks among decodes.
        Scenario(
            settings: "model=llama-3.1-8b gpu=h100-sxm workload=code "
                + "num-prompts=60 max-num-batched-tokens=1024"
        ) {
            $0.prefillContextTokens > 0 && $0.decodeRequests > 0
        },
        // Several ranks, shared prefixes, noise.
        Scenario(
            settings: "model=llama-3.1-70b gpu=h100-sxm tensor-parallel-size=4 "
                + "workload=rag num-prompts=60 latency=sample"
        ) {
            $0.prefillContextTokens > 0
        },
        // Few blocks: preemption and waiting requests.
        Scenario(
            settings: "model=qwen3-30b-a3b gpu=h200-sxm random-input-len=500 "
                + "num-prompts=60 num-gpu-blocks-override=700"
        ) {
            $0.waitingRequests > 0
        },
        // Copies to and from host memory.
        Scenario(
            settings: "model=llama-3.1-8b gpu=h100-sxm workload=agents "
                + "num-prompts=40 kv-offloading-size=8 num-gpu-blocks-override=1500"
        ) {
            $0.blocksToRestore > 0
        },
    ]

    @Test(arguments: scenarios)
    func `features and the oracle's step times come back bit for bit`(scenario: Scenario) throws {
        let simulated = try SimulatedSteps(scenario.settings)
        #expect(simulated.steps.contains { scenario.holds($0.state) })
        let facts = simulated.prepared.facts
        try withTemporaryFolder { folder in
            let path = folder + "/steps.jsonl.zst"
            var writer = try NativeStepTraceWriter(path: path, facts: facts, name: "simulated")
            for step in simulated.steps {
                writer.append(start: step.start, end: step.end, state: step.state, seconds: step.seconds)
            }
            try writer.finish()

            var reader = try StepTraceReader(paths: [path])
            var row = StepRow()
            var rows: [StepRow] = []
            while try reader.next(&row) { rows.append(row) }
            #expect(rows.count == simulated.steps.count && rows.count > 100)
            let readFacts = try #require(reader.groups.first?.facts)
            let oracle = try simulated.prepared.oracle.compile(for: readFacts)
            let isMean = simulated.prepared.scenario.latency == .mean
            for set in FeatureSet.all {
                let written = StepFeatureEvaluator(features: set.step, facts: facts)
                let read = StepFeatureEvaluator(features: set.step, facts: readFacts)
                for (row, step) in zip(rows, simulated.steps) {
                    let (a, b) = (written.values(of: step.state), read.values(of: row.state))
                    guard a.map(\.bitPattern) == b.map(\.bitPattern) else {
                        Issue.record("\(set.name), step \(row.stepID): \(b) instead of \(a)")
                        return
                    }
                }
            }
            for (row, step) in zip(rows, simulated.steps) {
                #expect(row.seconds.bitPattern == step.seconds.bitPattern)
                #expect(row.start == step.start)
                if isMean { #expect(oracle.stepSeconds(row.state).bitPattern == row.seconds.bitPattern) }
            }
        }
    }

    @Test func `steps of data-parallel engines come back with their peers' tokens`() throws {
        let simulated = try SimulatedSteps(
            "model=qwen3-30b-a3b gpu=h100-sxm data-parallel-size=2 enable-expert-parallel=true workload=chat "
                + "num-prompts=60 request-rate=20")
        #expect(Set(simulated.steps.map(\.engine)) == [0, 1])
        #expect(simulated.steps.allSatisfy { $0.state.peerTokens != nil })
        #expect(Set(simulated.steps.map { $0.state.peerTokens == 0 }) == [true, false])
        try withTemporaryFolder { folder in
            let path = folder + "/steps.jsonl"
            var writer = try NativeStepTraceWriter(
                path: path, facts: simulated.prepared.facts, name: "simulated")
            for step in simulated.steps {
                writer.append(start: step.start, end: step.end, state: step.state, seconds: step.seconds)
            }
            try writer.finish()
            var reader = try StepTraceReader(paths: [path])
            var row = StepRow()
            var states: [StepState] = []
            while try reader.next(&row) { states.append(row.state) }
            #expect(states == simulated.steps.map(\.state))
            #expect(reader.groups.first?.facts?.dataParallelSize == 2)
        }
    }
}
