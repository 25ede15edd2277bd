import ServingCore

/// What is known about the deployment that wrote a trace; nil where nothing says.
public struct TraceConfiguration: Equatable, Sendable, Codable {
    /// Model, as the trace or the person names it.
    public var model: String?
    /// Accelerator, as the trace or the person names it.
    public var accelerator: String?
    /// Weight format: `bf16`, `fp8`, …
    public var weightFormat: String?
    /// `--tensor-parallel-size`.
    public var tensorParallelSize: Int?
    /// `--data-parallel-size`.
    public var dataParallelSize: Int?
    /// Ranks that experts are spread over; 1 without `--enable-expert-parallel`.
    public var expertParallelSize: Int?
    /// `--max-model-len`.
    public var maxModelLen: Int?
    /// `--max-num-batched-tokens`.
    public var maxNumBatchedTokens: Int?
    /// `--max-num-seqs`.
    public var maxNumSeqs: Int?
    /// `--block-size`.
    public var blockSize: Int?
    /// Usable KV blocks, the null block left out.
    public var kvBlocks: Int?
    /// `--enable-prefix-caching`.
    public var prefixCaching: Bool?
    /// `--enable-chunked-prefill`.
    public var chunkedPrefill: Bool?
    /// `--async-scheduling`.
    public var asyncScheduling: Bool?
    /// `--enforce-eager`.
    public var enforceEager: Bool?
    /// vLLM's version.
    public var engineVersion: String?
    /// The model's config.json, as text, when the trace carries it.
    public var modelConfigJSON: String?
    /// Measured rates of the machine, when the trace carries them.
    public var measuredHardware: MeasuredHardware?

    /// Nothing known.
    public init() {}

    /// Rates of a machine measured beside a trace.
    public struct MeasuredHardware: Equatable, Sendable, Codable {
        /// FLOP/s of a large matrix product in the weight format.
        public var peakFlops: Double
        /// Memory read bandwidth, bytes/s.
        public var memoryBandwidth: Double
        /// Memory size, bytes; 0 when unknown.
        public var memoryBytes: Double

        /// Rates as measured.
        public init(peakFlops: Double, memoryBandwidth: Double, memoryBytes: Double = 0) {
            self.peakFlops = peakFlops
            self.memoryBandwidth = memoryBandwidth
            self.memoryBytes = memoryBytes
        }
    }

    /// Adds what another source says.
    /// - Throws: `InvalidInput` when both say something and it differs; the message names both sources.
    public mutating func merge(
        _ other: TraceConfiguration, from source: String, existing: String
    ) throws {
        func join<Value: Equatable>(_ mine: inout Value?, _ theirs: Value?, _ field: String) throws {
            guard let theirs else { return }
            if let known = mine, known != theirs {
                throw InvalidInput(
                    source: source, field: field, value: "\(theirs)",
                    "contradicts \(existing), which says \(known)")
            }
            mine = theirs
        }
        if let theirs = other.model {
            if let mine = model, !Self.sameName(mine, theirs) {
                throw InvalidInput(
                    source: source, field: "model", value: theirs,
                    "contradicts \(existing), which says \(mine)")
            }
            if model == nil { model = theirs }
        }
        if let theirs = other.accelerator {
            if let mine = accelerator, !Self.sameName(mine, theirs) {
                throw InvalidInput(
                    source: source, field: "gpu", value: theirs, "contradicts \(existing), which says \(mine)"
                )
            }
            if accelerator == nil { accelerator = theirs }
        }
        try join(&weightFormat, other.weightFormat, "dtype")
        try join(&tensorParallelSize, other.tensorParallelSize, "tensor_parallel_size")
        try join(&dataParallelSize, other.dataParallelSize, "data_parallel_size")
        try join(&expertParallelSize, other.expertParallelSize, "expert_parallel_size")
        try join(&maxModelLen, other.maxModelLen, "max_model_len")
        try join(&maxNumBatchedTokens, other.maxNumBatchedTokens, "max_num_batched_tokens")
        try join(&maxNumSeqs, other.maxNumSeqs, "max_num_seqs")
        try join(&blockSize, other.blockSize, "block_size")
        try join(&kvBlocks, other.kvBlocks, "kv_blocks")
        try join(&prefixCaching, other.prefixCaching, "enable_prefix_caching")
        try join(&chunkedPrefill, other.chunkedPrefill, "enable_chunked_prefill")
        try join(&asyncScheduling, other.asyncScheduling, "async_scheduling")
        try join(&enforceEager, other.enforceEager, "enforce_eager")
        if engineVersion == nil { engineVersion = other.engineVersion }
        if modelConfigJSON == nil { modelConfigJSON = other.modelConfigJSON }
        if measuredHardware == nil { measuredHardware = other.measuredHardware }
    }

    /// Whether two names of a model or GPU can mean the same: equal without case, separators and owner, or one
    /// the beginning of the other (folder names are shortened).
    static func sameName(_ a: String, _ b: String) -> Bool {
        func plain(_ name: String) -> String {
            let last = name.split(separator: "/").last.map(String.init) ?? name
            return last.lowercased().filter { $0.isLetter || $0.isNumber }
        }
        let (a, b) = (plain(a), plain(b))
        return a == b || a.hasPrefix(b) || b.hasPrefix(a)
    }

    /// In short, for reports: `llama-s on H100, TP 2`.
    public var summary: String {
        var text = model ?? "unknown model"
        if let accelerator { text += " on \(accelerator)" }
        if let tensorParallelSize, tensorParallelSize != 1 { text += ", TP \(tensorParallelSize)" }
        if let dataParallelSize, dataParallelSize != 1 { text += ", DP \(dataParallelSize)" }
        if let expertParallelSize, expertParallelSize != 1 { text += ", EP \(expertParallelSize)" }
        if let weightFormat, weightFormat != "bf16" { text += ", \(weightFormat)" }
        return text
    }
}
