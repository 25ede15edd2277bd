import ServingCore

extension EngineConfiguration {
    /// Fills in what vLLM would for a model on an accelerator, and refuses what it would refuse.
    ///
    /// Sources: `engine/arg_utils.py` (`get_batch_defaults`), `config/vllm.py`, `config/model.py`, `config/scheduler.py`
    /// of the release. `MemoryPlan` refuses what doesn't fit.
    /// - Throws: `InvalidInput(.usage)` in vLLM's words.
    public func resolve(
        model architecture: ModelArchitecture, accelerator: Accelerator, version: EngineVersion = .latest
    ) throws -> ResolvedEngine {
        try checkRanges()
        let layout = ParallelLayout(
            tensorParallelSize: tensorParallelSize ?? 1, dataParallelSize: dataParallelSize ?? 1,
            expertParallel: (enableExpertParallel ?? false) && architecture.mixtureOfExperts != nil)
        try Self.checkDivisible(architecture, layout)
        let (length, fits) = try resolvedLength(architecture, accelerator)
        let chunked = enableChunkedPrefill ?? true
        let (tokens, sequences) = try batchLimits(
            architecture, accelerator, version, layout, maxModelLen: length, fits: fits, chunked: chunked)
        let dtype = try resolvedDtype(architecture)
        let (cacheName, cacheBytes) = cacheType(architecture, dtype: dtype)
        let prefix = enablePrefixCaching ?? !architecture.isRecurrentHybrid
        try refuseNewerArguments(version)
        return ResolvedEngine(
            version: version, layout: layout, dtype: dtype, kvCacheDtype: cacheName,
            cacheElementBytes: cacheBytes,
            maxModelLen: length, fitsMaxModelLen: fits, maxNumBatchedTokens: tokens, maxNumSeqs: sequences,
            maxNumActiveSeqs: maxNumActiveSeqs, maxNumScheduledTokens: maxNumScheduledTokens,
            gpuMemoryUtilization: gpuMemoryUtilization ?? version.defaultGPUMemoryUtilization,
            numGPUBlocksOverride: numGPUBlocksOverride, kvCacheMemoryBytes: kvCacheMemoryBytes,
            blockSize: try resolvedBlockSize(architecture, accelerator, layout, cacheBytes),
            enablePrefixCaching: prefix, enableChunkedPrefill: chunked,
            asyncScheduling: asyncScheduling ?? true,
            schedulingPolicy: schedulingPolicy ?? .fcfs,
            longPrefillTokenThreshold: longPrefillTokenThreshold ?? 0,
            longPrefillTokenThresholdAdaptive: longPrefillTokenThresholdAdaptive ?? false,
            watermark: watermark ?? 0,
            schedulerReserveFullISL: schedulerReserveFullISL ?? version.hasFullSequenceGate,
            freesUnhashedBlocksFirst: version.freesUnhashedBlocksFirst, enforceEager: enforceEager ?? false,
            cudagraphCaptureSizes: captureSizes(accelerator, version, tokens: tokens, sequences: sequences),
            hybridKVCacheManager: !(disableHybridKVCacheManager ?? false),
            kvOffload: try offload(prefixCaching: prefix),
            cpuOffloadBytes: (cpuOffloadGB ?? 0) * 1_073_741_824, seed: seed ?? 0,
            withoutEffect: withoutEffect)
    }

    /// What `set` checks, for values that were set otherwise.
    private func checkRanges() throws {
        let counts: [(String, Int?)] = [
            ("--tensor-parallel-size", tensorParallelSize), ("--data-parallel-size", dataParallelSize),
            ("--max-num-batched-tokens", maxNumBatchedTokens), ("--max-num-seqs", maxNumSeqs),
            ("--max-num-active-seqs", maxNumActiveSeqs),
            ("--max-num-scheduled-tokens", maxNumScheduledTokens),
            ("--num-gpu-blocks-override", numGPUBlocksOverride),
            ("--kv-cache-memory-bytes", kvCacheMemoryBytes),
            ("--block-size", blockSize),
        ]
        for (name, value) in counts {
            guard let value, value < 1 || value > 1 << 50 else { continue }
            throw InvalidInput(
                .usage, field: name, value: "\(value)", "is out of range",
                accepted: "a whole number of at least 1")
        }
        if case .tokens(let tokens)? = maxModelLen, tokens < 1 {
            throw InvalidInput(
                .usage, field: "--max-model-len", value: "\(tokens)", "is out of range",
                accepted: "at least 1, or auto")
        }
        if let share = gpuMemoryUtilization, !(share > 0 && share <= 1) {
            throw InvalidInput(
                .usage, field: "--gpu-memory-utilization", value: "\(share)",
                "is not a share of the GPU's memory",
                accepted: "more than 0, at most 1")
        }
        if let parallel = tensorParallelSize, parallel > 4096 {
            throw InvalidInput(.usage, field: "--tensor-parallel-size", value: "\(parallel)", "is too large")
        }
        if let parallel = dataParallelSize, parallel > 4096 {
            throw InvalidInput(.usage, field: "--data-parallel-size", value: "\(parallel)", "is too large")
        }
    }

    private static func checkDivisible(_ model: ModelArchitecture, _ layout: ParallelLayout) throws {
        let tp = layout.tensorParallelSize
        guard tp > 1 else { return }
        func refuse(_ problem: String) -> InvalidInput {
            InvalidInput(.usage, field: "--tensor-parallel-size", value: "\(tp)", problem)
        }
        guard model.attentionHeads % tp == 0 else {
            throw refuse(
                "does not fit: total number of attention heads (\(model.attentionHeads)) must be divisible by tensor parallel size (\(tp))."
            )
        }
        for layer in model.layers {
            if case .attention(let attention) = layer.mixer {
                let heads = attention.keyValueHeads
                guard heads % tp == 0 || tp % heads == 0, attention.queryHeads % tp == 0 else {
                    throw refuse(
                        "does not fit: \(heads) key-value heads are neither a multiple nor a divisor of it")
                }
            }
            if case .recurrence(let recurrence) = layer.mixer, recurrence.heads % tp != 0 {
                throw refuse("does not fit: \(recurrence.heads) recurrent heads are not divisible by it")
            }
            if case .dense(let perceptron) = layer.feedForward, perceptron.width % tp != 0 {
                throw refuse(
                    "does not fit: \(perceptron.width) is not divisible by \(tp) (intermediate_size)")
            }
            if case .experts(let mixture) = layer.feedForward {
                let ranks = tp.multipliedReportingOverflow(by: layout.dataParallelSize).partialValue
                if !layout.expertParallel, mixture.expert.width % ranks != 0 {
                    throw refuse(
                        "does not fit: the experts' \(mixture.expert.width) is not divisible by \(ranks) (intermediate_size); expert parallelism would keep them whole"
                    )
                }
            }
        }
    }

    private func resolvedLength(_ model: ModelArchitecture, _ accelerator: Accelerator) throws -> (Int, Bool)
    {
        var derived = model.maxPositionEmbeddings
        if disableSlidingWindow == true {
            for layer in model.layers {
                if case .attention(let attention) = layer.mixer, let window = attention.span.window {
                    derived = min(derived, window)
                }
            }
        }
        switch maxModelLen {
        case nil: return (derived, false)
        case .auto?: return (derived, true)
        case .tokens(let tokens)?:
            guard tokens <= derived else {
                throw InvalidInput(
                    .usage, field: "--max-model-len", value: "\(tokens)",
                    "is refused: User-specified max_model_len (\(tokens)) is greater than the derived max_model_len (max_position_embeddings=\(derived)) of the model's config",
                    accepted: "at most \(derived)")
            }
            return (tokens, false)
        }
    }

    /// `max_num_batched_tokens` and `max_num_seqs`.
    private func batchLimits(
        _ model: ModelArchitecture, _ accelerator: Accelerator, _ version: EngineVersion,
        _ layout: ParallelLayout,
        maxModelLen: Int, fits: Bool, chunked: Bool
    ) throws -> (tokens: Int, sequences: Int) {
        let gibibytes = accelerator.memoryBytes / 1_073_741_824
        var defaults: (tokens: Int, sequences: Int)
        if version.hasLargeMemoryDefaults, gibibytes >= 160 {
            defaults = (16384, 1024)
        } else if gibibytes >= 70, !accelerator.isA100 {
            defaults = (8192, 1024)
        } else {
            defaults = (2048, 256)
        }
        if performanceMode == .throughput {
            defaults.tokens *= 2
            defaults.sequences *= 2
        }
        var tokens = maxNumBatchedTokens ?? defaults.tokens
        if maxNumBatchedTokens == nil {
            if !chunked { tokens = max(tokens, maxModelLen) }
            let all = (maxNumSeqs ?? defaults.sequences).multipliedReportingOverflow(by: maxModelLen)
            if !all.overflow { tokens = min(tokens, max(1, all.partialValue)) }
        }
        let sequences = maxNumSeqs ?? min(defaults.sequences, tokens)
        if tokens < sequences {
            if maxNumBatchedTokens == nil, maxNumSeqs != nil {
                tokens = sequences
            } else {
                throw InvalidInput(
                    .usage, field: "--max-num-batched-tokens", value: "\(tokens)",
                    "is refused: max_num_batched_tokens (\(tokens)) must be greater than or equal to max_num_seqs (\(sequences))."
                )
            }
        }
        if !chunked, tokens < maxModelLen, !fits {
            throw InvalidInput(
                .usage, field: "--max-num-batched-tokens", value: "\(tokens)",
                "is refused: max_num_batched_tokens (\(tokens)) is smaller than max_model_len (\(maxModelLen)). This effectively limits the maximum sequence length to max_num_batched_tokens and makes vLLM reject longer sequences. Please increase max_num_batched_tokens or decrease max_model_len."
            )
        }
        if let scheduled = maxNumScheduledTokens, scheduled > tokens {
            throw InvalidInput(
                .usage, field: "--max-num-scheduled-tokens", value: "\(scheduled)",
                "is more than max_num_batched_tokens (\(tokens))")
        }
        return (tokens, sequences)
    }

    private func resolvedDtype(_ model: ModelArchitecture) throws -> String {
        switch dtype ?? "auto" {
        case "half", "float16": "float16"
        case "float", "float32": "float32"
        case "bfloat16": "bfloat16"
        // vLLM halves a single-precision checkpoint.
        default: model.dtype == "float32" ? "bfloat16" : model.dtype
        }
    }

    private func cacheType(_ model: ModelArchitecture, dtype: String) -> (String, Double) {
        var name = kvCacheDtype ?? "auto"
        if name == "auto" {
            let asksForFP8 =
                model.quantization.map { $0.fp8KeyValueCache && $0.method.hasPrefix("modelopt") } ?? false
            name = asksForFP8 ? "fp8" : dtype
        }
        if name.hasPrefix("fp8") { return (name, 1) }
        return (name, name == "float32" ? 4 : 2)
    }

    /// 16 unless the attention kernels want another, or a recurrent state has to fit into one block.
    private func resolvedBlockSize(
        _ model: ModelArchitecture, _ accelerator: Accelerator, _ layout: ParallelLayout, _ cacheBytes: Double
    ) throws -> Int {
        var size = blockSize ?? 16
        if blockSize == nil, model.usesLatentAttention {
            let isSparse = model.layers.contains {
                if case .latentAttention(let attention) = $0.mixer { attention.indexer != nil } else { false }
            }
            if isSparse || accelerator.smVersion >= 100 { size = 64 }
        }
        guard model.isRecurrentHybrid else { return size }
        // `HybridAttentionMambaModelConfig.verify_and_update_config`: attention pages no smaller than a state.
        let ranked = RankedModel(model, layout: layout, cacheElementBytes: cacheBytes)
        let state = ranked.cacheLayers.filter(\.isState).map(\.bytes).max() ?? 0
        let token = ranked.cacheLayers.filter { !$0.isState }.map(\.bytes).max() ?? 1
        let needed = (state / (16 * token)).rounded(.up) * 16
        guard needed < 1e9 else {
            throw InvalidInput(
                field: "model", value: model.name, "has a recurrent state too large for a KV block")
        }
        return max(size, Int(needed))
    }

    /// `config/vllm.py: _set_cudagraph_sizes`.
    private func captureSizes(
        _ accelerator: Accelerator, _ version: EngineVersion, tokens: Int, sequences: Int
    ) -> [Int] {
        guard enforceEager != true else { return [] }
        if let sizes = cudagraphCaptureSizes {
            return Array(Set(sizes.filter { $0 <= tokens })).sorted()
        }
        let ceiling = version > .v015 && accelerator.isDataCenterBlackwell ? 1024 : 512
        let largest = min(
            maxCudagraphCaptureSize ?? (sequences < ceiling ? min(2 * sequences, ceiling) : ceiling), tokens)
        var sizes = [1, 2, 4] + stride(from: 8, to: 256, by: 8)
        if performanceMode == .interactivity { sizes += 1...32 }
        if largest >= 256 { sizes += stride(from: 256, through: largest, by: 16) }
        if version > .v015 { sizes += [tokens, sequences] }
        return Array(Set(sizes.filter { $0 <= largest })).sorted()
    }

    private func refuseNewerArguments(_ version: EngineVersion) throws {
        guard !version.hasWatermarkAndAdaptiveThreshold else { return }
        let newer: [(String, Bool)] = [
            ("--watermark", (watermark ?? 0) > 0),
            ("--scheduler-reserve-full-isl", schedulerReserveFullISL == true),
            ("--long-prefill-token-threshold-adaptive", longPrefillTokenThresholdAdaptive == true),
            ("--max-num-active-seqs", maxNumActiveSeqs != nil),
        ]
        if let (name, _) = newer.first(where: \.1) {
            throw InvalidInput(
                .usage, field: name, "is unknown to vLLM \(version.rawValue)",
                accepted: "a later --engine-version")
        }
    }
}
