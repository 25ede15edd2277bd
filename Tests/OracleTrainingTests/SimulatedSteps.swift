import LatencyOracle
import OracleTraining
import ServingCore

/// Steps of made-up engine runs, with times drawn from a known oracle.
enum SimulatedSteps {
    /// Llama-3.1-8B on one H100, dimensions and rates from config.json and the data sheet.
    static var facts: DeploymentFacts {
        var facts = DeploymentFacts()
        facts.modelName = "llama-3.1-8b"
        facts.acceleratorName = "h100-sxm"
        facts.hiddenSize = 4096
        facts.layers = 32
        facts.attentionHeads = 32
        facts.keyValueHeads = 8
        facts.headSize = 128
        facts.denseWeightBytesPerRank = 15.0e9
        facts.flopsPerTokenPerRank = 13.96e9
        facts.outputFlopsPerTokenPerRank = 1.05e9
        facts.attentionFlopsPerPairPerRank = 524_288
        facts.kvBytesPerTokenPerRank = 131_072
        facts.peakFlops = 989e12
        facts.memoryBandwidth = 3.35e12
        facts.memoryBytes = 80e9
        facts.interconnectBandwidth = 450e9
        facts.hostLinkBandwidth = 64e9
        facts.maxModelLen = 32_768
        facts.kvBlocks = 27_000
        return facts
    }

    /// A random step: decodes, and in a third of the steps a prefill chunk.
    static func state(_ stream: inout RandomStream) -> StepState {
        var state = StepState()
        let decodes = 1 + Int(stream.uniform() * 120)
        let context = 100 + Int(stream.uniform() * 4000)
        for _ in 0..<decodes { state.addDecode(contextTokens: context) }
        if stream.uniform() < 0.33 {
            state.addPrefill(
                newTokens: 16 + Int(stream.uniform() * 2000), computedTokens: Int(stream.uniform() * 6000))
        }
        state.runningRequests = decodes + state.prefillRequests
        state.kvBlocksTotal = 27_000
        state.kvBlocksUsed = decodes * context / 16
        return state
    }

    /// The oracle behind the times, in `physics` features.
    static let truth: [Coefficient] = [
        Coefficient(feature: "constant", value: 5e-3),
        Coefficient(feature: "mixed_step_layers", value: 30e-6),
        Coefficient(feature: "prefill_attention", value: 1.6),
        Coefficient(feature: "decode_kv_read", value: 1.2),
        Coefficient(feature: "matrix_flops", value: 1.1),
    ]

    /// Rows with times `truth` x (1 + noise).
    static func data(
        rows: Int, seed: UInt64, noise: Double = 0.05, facts: DeploymentFacts = facts,
        coefficients: [Coefficient] = truth, tails: Double? = nil
    ) throws -> StepDataSet {
        var model = StepModel(kind: .linear, featureSet: "physics", coefficients: coefficients)
        model.noise = NoiseModel(
            family: tails == nil ? .gaussian : .studentT, scale: noise, relative: true,
            degreesOfFreedom: tails)
        let oracle = try StepTimeOracle(
            artifact: OracleArtifact(name: "truth", summary: "known", step: model)
        ).compile(for: facts)
        var data = StepDataSet(groups: [.init(name: "simulated", facts: facts)])
        var states = RandomStream(seed: seed, purpose: "states")
        var noises = RandomStream(seed: seed, purpose: "noise")
        for _ in 0..<rows {
            let step = state(&states)
            data.append(step, seconds: oracle.stepSeconds(step, uniform: noises.uniform()), group: 0, run: 0)
        }
        return data
    }
}
