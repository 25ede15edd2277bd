import ArgumentParser
import Catalog
import ServingCore

/// vLLM's flags by vLLM's names, the accelerator and the release. Shared by every command that needs a deployment.
struct EngineOptions: ParsableArguments {
    @Option(
        help: "Model: a name that `stepcast models` lists, a Hugging Face id, or a path to a config.json.")
    var model: String?

    @Option(help: "Accelerator: a name that `stepcast gpus` lists, or a path to a file of its facts.")
    var gpu: String?

    @Option(help: "vLLM release whose rules apply: 0.15, 0.19, 0.23 or 0.32.")
    var engineVersion: String?

    @Option(
        help: ArgumentHelp(
            "A `vllm serve …` line, quoted; flags given here override it.", valueName: "command"))
    var vllmServe: String?

    @Option(
        name: [.customLong("vllm-config")],
        help: ArgumentHelp(
            "YAML file of `vllm serve --config`; flags given here override it.", valueName: "file"))
    var vllmConfig: String?

    @Option(
        name: [.long, .customLong("tp", withSingleDash: true)], help: "GPUs that each layer is split over.")
    var tensorParallelSize: String?

    @Option(name: [.long, .customLong("dp", withSingleDash: true)], help: "Engines that share the requests.")
    var dataParallelSize: String?

    @Flag(
        name: [.long, .customLong("ep", withSingleDash: true)], inversion: .prefixedNo,
        help: "Deal whole experts out over all GPUs.")
    var enableExpertParallel: Bool?

    @Option(help: "Longest sequence; 32k means 32,000, 32K means 32,768, auto the longest that fits.")
    var maxModelLen: String?

    @Option(help: "Tokens of one step at most.")
    var maxNumBatchedTokens: String?

    @Option(help: "Running requests at most.")
    var maxNumSeqs: String?

    @Option(help: ArgumentHelp("Tokens scheduled in one step at most.", visibility: .hidden))
    var maxNumScheduledTokens: String?

    @Option(help: ArgumentHelp("Running requests at which admission stops.", visibility: .hidden))
    var maxNumActiveSeqs: String?

    @Option(help: "Share of the GPU's memory that the engine takes.")
    var gpuMemoryUtilization: String?

    @Option(help: "KV blocks, instead of those that the memory plan finds.")
    var numGpuBlocksOverride: String?

    @Option(help: "Bytes for the KV cache per GPU, instead of those that the memory plan finds.")
    var kvCacheMemoryBytes: String?

    @Option(help: "Tokens per KV block.")
    var blockSize: String?

    @Flag(inversion: .prefixedNo, help: "Reuse KV blocks of equal prefixes.")
    var enablePrefixCaching: Bool?

    @Flag(inversion: .prefixedNo, help: "Compute long prompts over several steps.")
    var enableChunkedPrefill: Bool?

    @Flag(inversion: .prefixedNo, help: "Schedule a step while the one before it runs.")
    var asyncScheduling: Bool?

    @Option(help: "fcfs or priority.")
    var schedulingPolicy: String?

    @Option(help: "Tokens of one prompt in one step at most.")
    var longPrefillTokenThreshold: String?

    @Flag(
        inversion: .prefixedNo,
        help: ArgumentHelp("Raise that limit when few requests compete.", visibility: .hidden))
    var longPrefillTokenThresholdAdaptive: Bool?

    @Option(help: "Share of the KV blocks that admission leaves free.")
    var watermark: String?

    @Flag(inversion: .prefixedNo, help: "Admit a request only if its whole prompt fits.")
    var schedulerReserveFullIsl: Bool?

    @Option(help: "auto, bfloat16, float16 or float32.")
    var dtype: String?

    @Option(help: "auto, fp8 or another type of cached keys and values.")
    var kvCacheDtype: String?

    @Option(
        name: [.long, .customShort("q")], help: "Quantise an unquantised checkpoint at loading: fp8, int8, …."
    )
    var quantization: String?

    @Option(help: "JSON that replaces fields of the model's config.")
    var hfOverrides: String?

    @Flag(inversion: .prefixedNo, help: "Run without CUDA graphs.")
    var enforceEager: Bool?

    @Option(parsing: .upToNextOption, help: "Token counts to capture CUDA graphs for.")
    var cudagraphCaptureSizes: [String] = []

    @Option(help: ArgumentHelp("Largest captured token count.", visibility: .hidden))
    var maxCudagraphCaptureSize: String?

    @Option(help: "balanced, interactivity or throughput.")
    var performanceMode: String?

    @Option(
        help:
            "GiB of CPU memory, over all tensor-parallel ranks, as a second tier of the KV cache; 0 for none."
    )
    var kvOffloadingSize: String?

    @Option(help: "JSON of an OffloadingConnector.")
    var kvTransferConfig: String?

    @Option(help: "GiB of weights per GPU kept in CPU memory.")
    var cpuOffloadGb: String?

    // Named so that they are refused with a reason instead of being unknown.
    @Option(name: [.long, .customLong("pp", withSingleDash: true)], help: .hidden)
    var pipelineParallelSize: String?
    @Option(name: [.long, .customLong("dcp", withSingleDash: true)], help: .hidden)
    var decodeContextParallelSize: String?
    @Option(help: .hidden) var speculativeConfig: String?
    @Option(help: .hidden) var compilationConfig: String?
    @Flag(help: .hidden) var enableLora = false
    @Flag(help: .hidden) var enableDbo = false
    @Flag(help: .hidden) var enableEplb = false
    @Flag(help: .hidden) var disableHybridKvCacheManager = false

    /// What the flags say, over what `--vllm-config` and `--vllm-serve` say.
    /// - Throws: `InvalidInput` for values vLLM wouldn't take and for flags that aren't modelled.
    func configuration() throws -> EngineConfiguration {
        var result = EngineConfiguration()
        if let vllmConfig { result = try EngineConfiguration(yamlFile: vllmConfig) }
        if let vllmServe { result.override(with: try EngineConfiguration(serveCommand: vllmServe)) }
        var flags = EngineConfiguration()
        for (name, value) in options { if let value { try flags.set(name, to: .string(value)) } }
        for (name, value) in switches { if let value { try flags.set(name, to: .bool(value)) } }
        if !cudagraphCaptureSizes.isEmpty {
            try flags.set(
                "cudagraph-capture-sizes", to: .string(cudagraphCaptureSizes.joined(separator: " ")))
        }
        result.override(with: flags)
        return result
    }

    /// The release, the latest without `--engine-version`.
    func version() throws -> EngineVersion {
        try engineVersion.map { try EngineVersion(parsing: $0) } ?? .latest
    }

    /// The deployment that the flags name, over what a scenario says.
    /// - Throws: `InvalidInput` for a missing model or accelerator and for whatever vLLM would refuse.
    func deployment(shipped: ShippedFiles) throws -> Deployment {
        guard let gpu else {
            throw InvalidInput(
                .usage, field: "--gpu", "is missing", accepted: "a name that `stepcast gpus` lists, or a path"
            )
        }
        return try Deployment(configuration(), gpu: gpu, version: version(), shipped: shipped)
    }

    private var options: [(String, String?)] {
        [
            ("model", model), ("tensor-parallel-size", tensorParallelSize),
            ("data-parallel-size", dataParallelSize),
            ("max-model-len", maxModelLen), ("max-num-batched-tokens", maxNumBatchedTokens),
            ("max-num-seqs", maxNumSeqs),
            ("max-num-scheduled-tokens", maxNumScheduledTokens), ("max-num-active-seqs", maxNumActiveSeqs),
            ("gpu-memory-utilization", gpuMemoryUtilization),
            ("num-gpu-blocks-override", numGpuBlocksOverride),
            ("kv-cache-memory-bytes", kvCacheMemoryBytes), ("block-size", blockSize),
            ("scheduling-policy", schedulingPolicy),
            ("long-prefill-token-threshold", longPrefillTokenThreshold),
            ("watermark", watermark), ("dtype", dtype), ("kv-cache-dtype", kvCacheDtype),
            ("quantization", quantization),
            ("hf-overrides", hfOverrides), ("max-cudagraph-capture-size", maxCudagraphCaptureSize),
            ("performance-mode", performanceMode), ("kv-offloading-size", kvOffloadingSize),
            ("kv-transfer-config", kvTransferConfig), ("cpu-offload-gb", cpuOffloadGb),
            ("pipeline-parallel-size", pipelineParallelSize),
            ("decode-context-parallel-size", decodeContextParallelSize),
            ("speculative-config", speculativeConfig),
            ("compilation-config", compilationConfig),
        ]
    }

    private var switches: [(String, Bool?)] {
        [
            ("enable-expert-parallel", enableExpertParallel), ("enable-prefix-caching", enablePrefixCaching),
            ("enable-chunked-prefill", enableChunkedPrefill), ("async-scheduling", asyncScheduling),
            ("long-prefill-token-threshold-adaptive", longPrefillTokenThresholdAdaptive),
            ("scheduler-reserve-full-isl", schedulerReserveFullIsl), ("enforce-eager", enforceEager),
            ("enable-lora", enableLora ? true : nil), ("enable-dbo", enableDbo ? true : nil),
            ("enable-eplb", enableEplb ? true : nil),
            ("disable-hybrid-kv-cache-manager", disableHybridKvCacheManager ? true : nil),
        ]
    }
}
