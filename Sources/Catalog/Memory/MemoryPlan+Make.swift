import ServingCore

extension MemoryPlan {
    /// Plans the memory of one GPU.
    /// - Throws: `InvalidInput(.usage)` in vLLM's words when the model, or one request of `max_model_len`, doesn't fit.
    public init(
        model: ModelArchitecture, ranked: RankedModel, accelerator: Accelerator, engine: ResolvedEngine
    ) throws {
        totalBytes = accelerator.memoryBytes
        requestedBytes = (accelerator.memoryBytes * engine.gpuMemoryUtilization).rounded(.up)
        blockSize = engine.blockSize
        maxModelLen = engine.maxModelLen
        maxNumBatchedTokens = engine.maxNumBatchedTokens
        (groups, bytesPerBlock) = Self.groups(ranked, engine)
        terms = Self.terms(model, ranked, engine)
        numGPUBlocks = 0
        let resident = terms[0].bytes
        guard resident < totalBytes else {
            throw InvalidInput(
                .usage, field: "--gpu-memory-utilization",
                "the model does not fit: its weights take \(Self.gib(resident)) GiB per GPU of \(Self.gib(totalBytes)) GiB",
                accepted: "more tensor parallelism, a larger GPU or quantization")
        }
        if let bytes = engine.kvCacheMemoryBytes {
            basis = .kvCacheMemoryBytes
            availableBytes = Double(bytes)
            terms = []
            guard resident + availableBytes <= totalBytes else {
                throw InvalidInput(
                    .usage, field: "--kv-cache-memory-bytes", value: "\(bytes)",
                    "does not fit beside the weights (\(Self.gib(resident)) GiB) into \(Self.gib(totalBytes)) GiB"
                )
            }
        } else {
            basis = .gpuMemoryUtilization
            availableBytes = requestedBytes - terms.reduce(0) { $0 + $1.bytes }
        }
        if let override = engine.numGPUBlocksOverride {
            basis = .numGPUBlocksOverride
            numGPUBlocks = override
            if engine.fitsMaxModelLen { maxModelLen = longestSequence(blocks: Double(usableBlocks)) }
            return
        }
        guard availableBytes > 0 else {
            throw InvalidInput(
                .usage, field: "--gpu-memory-utilization", value: "\(engine.gpuMemoryUtilization)",
                "leaves no available memory for the cache blocks (weights \(Self.gib(resident)) GiB, all of it \(Self.gib(requestedBytes - availableBytes)) GiB of \(Self.gib(requestedBytes)) GiB requested). Try increasing `gpu_memory_utilization` when initializing the engine."
            )
        }
        numGPUBlocks = Int(min(availableBytes / bytesPerBlock, 1e15))
        // The check of later versions leaves the null block out.
        let checked = Double(numGPUBlocks) - (engine.version > .v015 ? 1 : 0)
        if engine.fitsMaxModelLen {
            maxModelLen = longestSequence(blocks: checked)
            guard maxModelLen > 0 else { throw tooLong(engine, longest: 0) }
        } else if blocks(forTokens: maxModelLen) > checked {
            throw tooLong(engine, longest: longestSequence(blocks: checked))
        }
    }

    private func tooLong(_ engine: ResolvedEngine, longest: Int) -> InvalidInput {
        let needed = blocks(forTokens: engine.maxModelLen) * bytesPerBlock
        return InvalidInput(
            .usage, field: "--max-model-len", value: "\(engine.maxModelLen)",
            "does not fit: To serve at least one request with the model's max seq len (\(engine.maxModelLen)), \(Self.gib(needed)) GiB KV cache is needed, which is larger than the available KV cache memory (\(Self.gib(availableBytes)) GiB). Based on the available memory, the estimated maximum model length is \(longest). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine."
        )
    }

    /// The longest sequence up to `maxModelLen` whose blocks fit, by bisection as vLLM does.
    private func longestSequence(blocks limit: Double) -> Int {
        var low = 0
        var high = maxModelLen
        while low < high {
            let middle = low + (high - low + 1) / 2
            if blocks(forTokens: middle) <= limit { low = middle } else { high = middle - 1 }
        }
        return low
    }

    private static func terms(_ model: ModelArchitecture, _ ranked: RankedModel, _ engine: ResolvedEngine)
        -> [Term]
    {
        let offloaded = min(engine.cpuOffloadBytes, ranked.weightBytes)
        let tokens = Double(engine.maxNumBatchedTokens)
        let perToken = model.activationBytesPerToken(engine.layout)
        let sequences = Double(min(engine.maxNumSeqs, engine.maxNumBatchedTokens))
        let perLogit =
            engine.version.sortsLogits
            ? MemoryOverheads.sortedSamplingBytesPerLogit : MemoryOverheads.fusedSamplingBytesPerLogit
        // The final hidden states are still there while sampling.
        let sampling =
            sequences * Double(model.vocabularySize) * perLogit + tokens * Double(model.hiddenSize) * 2
        let rotary = Double(model.rotaryTableRows) * Double(rotarySize(model)) * 2
        let tp = engine.layout.tensorParallelSize
        let ranks = model.mixtureOfExperts == nil ? tp : max(tp, engine.layout.gpus)
        let graphs = graphBytes(model, engine, perToken: perToken)
        return [
            Term(name: "weights", bytes: ranked.weightBytes - offloaded),
            Term(name: "rotary table", bytes: rotary),
            Term(name: "activations", bytes: max(tokens * perToken, sampling)),
            Term(
                name: "communication",
                bytes: MemoryOverheads.nccl(ranks: ranks) + (tp > 1 ? MemoryOverheads.customAllReduce : 0)),
            Term(name: "runtime", bytes: MemoryOverheads.runtime),
            Term(name: "CUDA graphs", bytes: engine.version.subtractsCUDAGraphMemory ? graphs : 0),
        ]
    }

    private static func rotarySize(_ model: ModelArchitecture) -> Int {
        for layer in model.layers {
            switch layer.mixer {
            case .attention(let attention): return attention.headSize
            case .latentAttention(let attention): return attention.rotaryHeadSize
            default: continue
            }
        }
        return 0
    }

    /// Graphs of mixed batches for every size, of uniform decode batches for sizes up to `max_num_seqs`, and one pool of
    /// activations for the largest.
    private static func graphBytes(_ model: ModelArchitecture, _ engine: ResolvedEngine, perToken: Double)
        -> Double
    {
        guard let largest = engine.cudagraphCaptureSizes.last else { return 0 }
        let decode = engine.cudagraphCaptureSizes.count { $0 <= engine.maxNumSeqs }
        let graphs = Double(engine.cudagraphCaptureSizes.count + decode)
        return graphs * Double(model.layers.count) * MemoryOverheads.graphBytesPerLayer + Double(largest)
            * perToken
    }

    /// vLLM's groups and the bytes of one block (`kv_cache_utils.get_kv_cache_groups`).
    private static func groups(_ ranked: RankedModel, _ engine: ResolvedEngine) -> ([CacheGroup], Double) {
        let size = Double(engine.blockSize)
        let kinds = ranked.cacheLayers
        let spans = Set(kinds.filter { !$0.isState }.map { $0.span.window ?? 0 })
        let hasStates = kinds.contains(where: \.isState)
        guard spans.count > 1 || hasStates, engine.hybridKVCacheManager || hasStates else {
            // One group of all layers.
            let bytes = kinds.reduce(0) { $0 + $1.bytes * Double($1.layers) } * size
            let span = spans.count == 1 && engine.hybridKVCacheManager ? kinds.first?.span ?? .full : .full
            return (
                [CacheGroup(layers: kinds.reduce(0) { $0 + $1.layers }, span: span, isState: false)],
                max(1, bytes)
            )
        }
        // Kinds of different page sizes are padded to the largest, as the pool has one.
        let page = kinds.map { $0.isState ? $0.bytes : $0.bytes * size }.max() ?? 1
        let counts = kinds.map(\.layers)
        let fewest = counts.min() ?? 1
        let most = counts.max() ?? 1
        let perGroup = Double(most) < 1.25 * Double(fewest) ? most : fewest
        var groups: [CacheGroup] = []
        for kind in kinds {
            for _ in 0..<((kind.layers + perGroup - 1) / perGroup) {
                groups.append(CacheGroup(layers: perGroup, span: kind.span, isState: kind.isState))
            }
        }
        return (groups, max(1, page * Double(perGroup)))
    }

    static func gib(_ bytes: Double) -> String {
        let hundredths = (bytes / 1_073_741_824 * 100).rounded()
        let whole = Int(min(abs(hundredths), 1e15))
        let cents = whole % 100
        return "\(hundredths < 0 ? "-" : "")\(whole / 100).\(cents < 10 ? "0" : "")\(cents)"
    }
}
