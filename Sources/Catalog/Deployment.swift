import ServingCore

/// A model on accelerators under an engine configuration, resolved and checked: what a simulation starts from.
public struct Deployment: Sendable, Equatable {
    /// The model.
    public var model: ModelArchitecture
    /// The GPU type.
    public var accelerator: Accelerator
    /// The engine with nothing left open; `maxModelLen` is what fits where it was `auto`.
    public var engine: ResolvedEngine
    /// A rank's share of the model.
    public var ranked: RankedModel
    /// Memory of one GPU.
    public var memory: MemoryPlan

    /// Resolves names and flags against the shipped files.
    /// - Parameters:
    ///   - configuration: flags; `configuration.model` names the model.
    ///   - gpu: accelerator name or file.
    /// - Throws: `InvalidInput` for unknown names and for whatever vLLM would refuse.
    public init(
        _ configuration: EngineConfiguration, gpu: String, version: EngineVersion = .latest,
        shipped: ShippedFiles
    ) throws {
        guard let name = configuration.model else {
            throw InvalidInput(
                .usage, field: "--model", "is missing",
                accepted: "a name that `stepcast models` lists, or a path")
        }
        try self.init(
            configuration,
            model: ModelCatalog(shipped).architecture(name, overrides: configuration.hfOverrides),
            accelerator: AcceleratorCatalog(shipped).accelerator(gpu), version: version)
    }

    /// Resolves flags for a model and an accelerator already at hand.
    /// - Throws: `InvalidInput` for whatever vLLM would refuse.
    public init(
        _ configuration: EngineConfiguration, model: ModelArchitecture, accelerator: Accelerator,
        version: EngineVersion = .latest
    ) throws {
        var model = model
        if let method = configuration.quantization, method.lowercased() != "none" {
            if let checkpoint = model.quantization {
                guard checkpoint.answers(to: method) else {
                    throw InvalidInput(
                        .usage, field: "--quantization", value: method,
                        "is refused: Quantization method specified in the model config (\(checkpoint.method)) does not match the quantization method specified in the `quantization` argument (\(method)).",
                        accepted: "leaving it out")
                }
            } else {
                model.quantize(try Quantization.online(method))
            }
        }
        var engine = try configuration.resolve(model: model, accelerator: accelerator, version: version)
        model.dtype = engine.dtype
        ranked = RankedModel(model, layout: engine.layout, cacheElementBytes: engine.cacheElementBytes)
        memory = try MemoryPlan(model: model, ranked: ranked, accelerator: accelerator, engine: engine)
        engine.maxModelLen = memory.maxModelLen
        self.model = model
        self.accelerator = accelerator
        self.engine = engine
    }

    /// The inputs of every step-time feature.
    /// - Parameter contextTokens: typical context of a running request; sizes the block pool of models with windowed or
    ///   recurrent layers (see `MemoryPlan.equivalentBlocks`), and changes nothing for others.
    public func facts(contextTokens: Int = 2048) -> DeploymentFacts {
        var facts = DeploymentFacts()
        facts.modelName = model.name
        facts.acceleratorName = accelerator.name
        facts.weightFormat = model.weightFormat.name
        facts.hiddenSize = model.hiddenSize
        facts.layers = model.layers.count
        facts.attentionHeads = model.attentionHeads
        facts.keyValueHeads = model.keyValueHeads
        facts.headSize = model.headSize
        facts.vocabularySize = model.vocabularySize
        facts.experts = model.mixtureOfExperts?.experts ?? 0
        facts.expertsPerToken = model.mixtureOfExperts?.expertsPerToken ?? 0
        facts.expertLayers = model.expertLayers
        facts.totalParameters = model.totalParameters
        facts.activeParameters = model.activeParameters
        facts.denseWeightBytesPerRank = ranked.denseBytes
        facts.expertWeightBytesPerRank = ranked.expertBytes
        facts.expertsPerRank = ranked.expertsPerRank
        facts.flopsPerTokenPerRank = ranked.flopsPerToken
        facts.outputFlopsPerTokenPerRank = ranked.outputFlopsPerToken
        facts.attentionFlopsPerPairPerRank = ranked.attentionFlopsPerPair
        facts.kvBytesPerTokenPerRank = ranked.keyValueBytesPerToken
        (facts.fullAttentionShare, facts.slidingWindow) = readShare()
        facts.activationBytes = engine.dtype == "float32" ? 4 : 2
        facts.peakFlops = accelerator.peakFlops(model.weightFormat)
        facts.activationPeakFlops = accelerator.bf16Flops
        facts.memoryBandwidth = accelerator.memoryBandwidth
        facts.memoryBytes = accelerator.memoryBytes
        facts.interconnectBandwidth = accelerator.interconnectBandwidth
        facts.interconnectLatency = accelerator.interconnectLatency
        facts.hostLinkBandwidth = accelerator.hostLinkBandwidth
        facts.tensorParallelSize = engine.layout.tensorParallelSize
        facts.dataParallelSize = engine.layout.dataParallelSize
        facts.expertParallelSize = engine.layout.expertParallel ? engine.layout.gpus : 1
        facts.maxNumBatchedTokens = engine.maxNumBatchedTokens
        facts.maxNumSeqs = engine.maxNumSeqs
        facts.maxModelLen = engine.maxModelLen
        facts.blockSize = engine.blockSize
        facts.kvBlocks = memory.equivalentBlocks(contextTokens: contextTokens)
        facts.chunkedPrefill = engine.enableChunkedPrefill
        facts.prefixCaching = engine.enablePrefixCaching
        facts.asyncScheduling = engine.asyncScheduling
        facts.kvOffload = engine.kvOffload != nil
        facts.offloadedWeightBytesPerRank = min(engine.cpuOffloadBytes, ranked.weightBytes)
        facts.cudaGraphSizes = engine.cudagraphCaptureSizes
        return facts
    }

    /// Share of the cached bytes per token that every later token reads, and the window of the others. Sparse latent
    /// attention reads the indexer's keys of the whole context and the latent vectors of the best tokens only.
    private func readShare() -> (share: Double, window: Int) {
        let total = ranked.keyValueBytesPerToken
        guard total > 0 else { return (1, 0) }
        for layer in model.layers {
            if case .latentAttention(let attention) = layer.mixer, let indexer = attention.indexer {
                let indexed = indexer.cacheBytesPerToken * Double(model.layers.count)
                return (indexed / total, indexer.topTokens)
            }
        }
        var full = 0.0
        var widest: (bytes: Double, window: Int) = (0, 0)
        for kind in ranked.cacheLayers where !kind.isState {
            let bytes = kind.bytes * Double(kind.layers)
            if let window = kind.span.window {
                if bytes > widest.bytes { widest = (bytes, window) }
            } else {
                full += bytes
            }
        }
        return (full / total, widest.window)
    }
}
