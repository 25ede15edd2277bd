import ServingCore

/// Deployments and random steps for property tests; dimensions from public config.json files, rates from data sheets.
enum Sample {
    /// Llama-3.1-8B on one H100.
    static var dense: DeploymentFacts {
        var facts = DeploymentFacts()
        facts.modelName = "Llama-3.1-8B"
        facts.acceleratorName = "H100-SXM"
        facts.hiddenSize = 4096
        facts.layers = 32
        facts.attentionHeads = 32
        facts.keyValueHeads = 8
        facts.headSize = 128
        facts.vocabularySize = 128_256
        facts.totalParameters = 8.03e9
        facts.activeParameters = 8.03e9
        facts.denseWeightBytesPerRank = 15.0e9
        facts.flopsPerTokenPerRank = 13.96e9
        facts.outputFlopsPerTokenPerRank = 1.05e9
        facts.attentionFlopsPerPairPerRank = 524_288
        facts.kvBytesPerTokenPerRank = 131_072
        facts.peakFlops = 989e12
        facts.memoryBandwidth = 3.35e12
        facts.memoryBytes = 80e9
        facts.interconnectBandwidth = 450e9
        facts.interconnectLatency = 1e-5
        facts.hostLinkBandwidth = 64e9
        facts.maxModelLen = 131_072
        facts.kvBlocks = 27_000
        facts.cudaGraphSizes =
            [1, 2, 4] + stride(from: 8, through: 256, by: 8) + stride(from: 272, through: 512, by: 16)
        return facts
    }

    /// Mixtral-8x7B on two H100 with expert parallelism, a sliding window and both kinds of offload.
    static var experts: DeploymentFacts {
        var facts = dense
        facts.modelName = "Mixtral-8x7B"
        facts.keyValueHeads = 8
        facts.experts = 8
        facts.expertsPerToken = 2
        facts.expertLayers = 32
        facts.totalParameters = 46.7e9
        facts.activeParameters = 12.9e9
        facts.denseWeightBytesPerRank = 1.6e9
        facts.expertWeightBytesPerRank = 352e6
        facts.expertsPerRank = 4
        facts.flopsPerTokenPerRank = 1.34e9 + 11.3e9
        facts.kvBytesPerTokenPerRank = 65_536
        facts.fullAttentionShare = 0.5
        facts.slidingWindow = 4096
        facts.tensorParallelSize = 2
        facts.expertParallelSize = 2
        facts.kvOffload = true
        facts.offloadedWeightBytesPerRank = 1e8
        return facts
    }

    /// The same over four GPUs, two of them for each of two data-parallel engines.
    static var dataParallelExperts: DeploymentFacts {
        var facts = experts
        facts.dataParallelSize = 2
        facts.expertParallelSize = 4
        facts.expertsPerRank = 2
        return facts
    }

    static var all: [DeploymentFacts] { [dense, experts, dataParallelExperts] }

    /// A step that could occur.
    static func step(_ stream: inout RandomStream, maxTokens: Int = 8192) -> StepState {
        func number(_ bound: Int) -> Int { Int(stream.uniform() * Double(bound)) }
        var state = StepState()
        for _ in 0..<number(200) { state.addDecode(contextTokens: 1 + number(8000)) }
        for _ in 0..<number(4) {
            state.addPrefill(newTokens: 1 + number((maxTokens - 200) / 4), computedTokens: number(4000))
        }
        state.runningRequests = state.decodeRequests + state.prefillRequests + number(3)
        state.waitingRequests = number(20)
        state.kvBlocksTotal = 27_000
        state.kvBlocksUsed = number(27_000)
        state.blocksToOffload = number(50)
        state.blocksToRestore = number(50)
        if number(2) == 0 { state.peerTokens = number(10_000) }
        return state
    }
}
