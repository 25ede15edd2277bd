import ServingCore

extension EngineConfiguration {
    /// Whether vLLM has an argument of this name, written with dashes or underscores, or one of its short forms.
    public static func isArgument(_ name: String) -> Bool {
        let canonical = String(name.drop { $0 == "-" }.prefix { $0 != "." }.map { $0 == "-" ? "_" : $0 })
        return EngineFlag.named(EngineFlag.abbreviations[canonical] ?? canonical) != nil
    }

    /// vLLM's arguments as written on a command line.
    public static var argumentNames: [String] { EngineFlag.knownNames }

    /// Sets one of vLLM's arguments by its name, with dashes or underscores, with or without leading dashes.
    ///
    /// Arguments that concern serving only are noted in `withoutEffect`. A name with a dot sets one key of a JSON
    /// argument (`kv_transfer_config.kv_connector`).
    /// - Parameters:
    ///   - value: what it is set to; text is read as vLLM's command line would (`32k`, JSON).
    ///   - source: file or line for messages.
    /// - Throws: `InvalidInput` for an unknown name (naming the nearest), a value vLLM wouldn't take, or an
    ///   argument that changes behaviour in a way that isn't modelled.
    public mutating func set(_ name: String, to value: ConfigValue, source: String? = nil) throws {
        var canonical = String(name.drop { $0 == "-" }.map { $0 == "-" ? "_" : $0 })
        var keys: [Substring] = []
        if let dot = canonical.firstIndex(of: ".") {
            keys = canonical[canonical.index(after: dot)...].split(
                separator: ".", omittingEmptySubsequences: false)
            canonical = String(canonical[..<dot])
        }
        if let long = EngineFlag.abbreviations[canonical] { canonical = long }
        let shown = "--" + String(canonical.map { $0 == "_" ? "-" : $0 })
        guard let flag = EngineFlag.named(canonical) else {
            let nearest = nearestName(to: shown, among: EngineFlag.knownNames)
            throw InvalidInput(
                .usage, source: source, field: shown,
                "is not an argument of vLLM" + (nearest.map { "; did you mean \($0)?" } ?? ""))
        }
        if value == .null { return }
        let setter = ArgumentSetter(name: shown, source: source, value: value)
        switch flag.role {
        case .withoutEffect:
            withoutEffect.append(shown)
        case .refused(let neutral):
            let isNeutral =
                flag.arity == .none ? value == .bool(false) : neutral.contains(value.text.lowercased())
            guard isNeutral else {
                throw setter.error(
                    "changes how the engine behaves and is not modelled",
                    accepted: neutral.isEmpty ? "leaving it out" : neutral.joined(separator: ", "))
            }
        case .modelled:
            if keys.isEmpty {
                try apply(canonical, setter)
            } else {
                try apply(canonical, nested: keys.map(String.init), setter)
            }
        }
    }

    private mutating func apply(_ name: String, nested keys: [String], _ setter: ArgumentSetter) throws {
        let path: WritableKeyPath<EngineConfiguration, ConfigValue?>
        switch name {
        case "kv_transfer_config": path = \.kvTransferConfig
        case "hf_overrides": path = \.hfOverrides
        case "compilation_config", "optimization_level":
            try applyCompilation(keys.joined(separator: "."), setter.value, setter)
            return
        default: throw setter.error("is not a JSON argument")
        }
        self[keyPath: path] = Self.insert(
            setter.json ?? setter.value, at: keys[...], into: self[keyPath: path])
    }

    private static func insert(_ value: ConfigValue, at keys: ArraySlice<String>, into old: ConfigValue?)
        -> ConfigValue
    {
        guard let first = keys.first, keys.count <= 16 else { return value }
        var fields: [String: ConfigValue] = [:]
        if case .object(let existing)? = old { fields = existing }
        fields[first] = insert(value, at: keys.dropFirst(), into: fields[first])
        return .object(fields)
    }

    private mutating func apply(_ name: String, _ setter: ArgumentSetter) throws {
        switch name {
        case "model": model = try setter.string()
        case "hf_overrides": hfOverrides = try setter.object()
        case "dtype":
            dtype = try setter.oneOf(["auto", "half", "float16", "bfloat16", "float", "float32"])
        case "quantization": quantization = try setter.string()
        case "kv_cache_dtype":
            kvCacheDtype = try setter.oneOf([
                "auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla",
            ])
        case "max_model_len":
            if setter.value == .string("auto") || setter.value.text == "-1" {
                maxModelLen = .auto
            } else {
                maxModelLen = .tokens(try setter.count(1...(1 << 40)))
            }
        case "tensor_parallel_size": tensorParallelSize = try setter.count(1...4096)
        case "data_parallel_size": dataParallelSize = try setter.count(1...4096)
        case "enable_expert_parallel": enableExpertParallel = try setter.bool()
        case "max_num_batched_tokens": maxNumBatchedTokens = try setter.count(1...(1 << 30))
        case "max_num_seqs": maxNumSeqs = try setter.count(1...(1 << 24))
        case "max_num_active_seqs": maxNumActiveSeqs = try setter.count(1...(1 << 24))
        case "max_num_scheduled_tokens": maxNumScheduledTokens = try setter.count(1...(1 << 30))
        case "gpu_memory_utilization":
            let value = try setter.number()
            guard value > 0, value <= 1 else {
                throw setter.error("is not a share of the GPU's memory", accepted: "more than 0, at most 1")
            }
            gpuMemoryUtilization = value
        case "num_gpu_blocks_override": numGPUBlocksOverride = try setter.count(1...(1 << 40))
        case "kv_cache_memory_bytes": kvCacheMemoryBytes = try setter.count(1...(1 << 50))
        case "block_size":
            let size = try setter.count(1...65536)
            guard size & (size - 1) == 0 || size % 16 == 0 else {
                throw setter.error("is not a block size", accepted: "a power of two or a multiple of 16")
            }
            blockSize = size
        case "enable_prefix_caching": enablePrefixCaching = try setter.bool()
        case "enable_chunked_prefill": enableChunkedPrefill = try setter.bool()
        case "async_scheduling": asyncScheduling = try setter.bool()
        case "scheduling_policy":
            schedulingPolicy = SchedulingPolicy(
                rawValue: try setter.oneOf(SchedulingPolicy.allCases.map(\.rawValue)))
        case "long_prefill_token_threshold": longPrefillTokenThreshold = try setter.count(0...(1 << 30))
        case "long_prefill_token_threshold_adaptive": longPrefillTokenThresholdAdaptive = try setter.bool()
        case "watermark":
            let value = try setter.number()
            guard value >= 0, value < 1 else {
                throw setter.error("is not a share of the KV cache", accepted: "at least 0, less than 1")
            }
            watermark = value
        case "scheduler_reserve_full_isl": schedulerReserveFullISL = try setter.bool()
        case "enforce_eager": enforceEager = try setter.bool()
        case "cudagraph_capture_sizes", "cuda_graph_sizes":
            cudagraphCaptureSizes = try setter.counts(1...(1 << 24))
        case "max_cudagraph_capture_size": maxCudagraphCaptureSize = try setter.count(0...(1 << 24))
        case "performance_mode":
            performanceMode = PerformanceMode(
                rawValue: try setter.oneOf(PerformanceMode.allCases.map(\.rawValue)))
        case "disable_hybrid_kv_cache_manager": disableHybridKVCacheManager = try setter.bool()
        case "disable_sliding_window": disableSlidingWindow = try setter.bool()
        case "kv_offloading_size":
            let value = try setter.number()
            guard value >= 0, value <= 1e9 else {
                throw setter.error("is not a size in GiB", accepted: "0 (no offload) to 1000000000")
            }
            kvOffloadingSize = value
        case "kv_transfer_config": kvTransferConfig = try setter.object()
        case "cpu_offload_gb":
            let value = try setter.number()
            guard value >= 0, value <= 1e9 else {
                throw setter.error("is not a size in GiB", accepted: "at least 0")
            }
            cpuOffloadGB = value
        case "seed": seed = try setter.count(0...Int.max)
        case "optimization_level":
            let level = try setter.count(0...3)
            // -O0 compiles nothing and captures no graphs.
            if level == 0 { enforceEager = true }
        case "compilation_config":
            if case .integer = setter.json ?? setter.value {
                withoutEffect.append(setter.name)
                return
            }
            guard case .object(let fields) = try setter.object() else { return }
            for key in fields.keys.sorted() { try applyCompilation(key, fields[key]!, setter) }
        default: throw setter.error("is not modelled")
        }
    }

    /// One key of `--compilation-config`: what concerns CUDA graphs counts, kernel choices don't.
    private mutating func applyCompilation(_ key: String, _ value: ConfigValue, _ setter: ArgumentSetter)
        throws
    {
        let inner = ArgumentSetter(name: setter.name + "." + key, source: setter.source, value: value)
        switch key {
        case "cudagraph_capture_sizes": cudagraphCaptureSizes = try inner.counts(1...(1 << 24))
        case "max_cudagraph_capture_size", "max_capture_size":
            maxCudagraphCaptureSize = try inner.count(0...(1 << 24))
        case "cudagraph_mode":
            let mode = try inner.string().uppercased()
            switch mode {
            case "NONE": enforceEager = true
            case "FULL_AND_PIECEWISE": break
            default: throw inner.error("is not modelled", accepted: "FULL_AND_PIECEWISE or NONE")
            }
        default: withoutEffect.append(inner.name)
        }
    }
}
