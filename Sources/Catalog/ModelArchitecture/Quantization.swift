import ServingCore

/// The `quantization_config` of a checkpoint: a format, and the modules that keep the model's dtype.
public struct Quantization: Sendable, Equatable {
    /// `quant_method`, such as `fp8` or `compressed-tensors`.
    public var method: String
    /// How the quantised matrices are stored.
    public var format: WeightFormat
    /// Whether the checkpoint asks for an FP8 KV cache.
    public var fp8KeyValueCache = false
    /// Modules left as they are.
    var exclusions = ModulePatterns([])

    /// Whether `--quantization` names this checkpoint's method, possibly by the kernels that run it (`awq_marlin`).
    func answers(to name: String) -> Bool {
        let wanted = name.lowercased()
        let own = method.lowercased()
        return wanted == own || wanted.hasPrefix(own + "_") || own.hasPrefix(wanted + "_")
    }

    /// The default of `--quantization` for a checkpoint without `quantization_config`.
    /// - Throws: `InvalidInput` for methods that need a prepared checkpoint or aren't supported.
    static func online(_ method: String) throws -> Quantization {
        switch method.lowercased() {
        case "fp8", "ptpc_fp8", "fp8_per_tensor", "fp8_per_block":
            Quantization(method: "fp8", format: .fp8(), exclusions: ModulePatterns(["lm_head"]))
        case "int8", "experts_int8", "int8_per_channel_weight_only":
            Quantization(method: "int8", format: .int8, exclusions: ModulePatterns(["lm_head"]))
        case "bitsandbytes":
            Quantization(
                method: "bitsandbytes", format: .grouped(bits: 4, group: 64, zeroPoint: false),
                exclusions: ModulePatterns(["lm_head"]))
        case "mxfp4":
            Quantization(method: "mxfp4", format: .mxfp4, exclusions: ModulePatterns(["lm_head"]))
        default:
            throw InvalidInput(
                .usage, field: "--quantization", value: method,
                "needs a checkpoint that was quantised so, and this model has no quantization_config",
                accepted: "fp8, int8, bitsandbytes, mxfp4")
        }
    }

    /// Reads `quantization_config` (or `hf_quant_config.json`'s `quantization`).
    init(_ reader: ConfigReader) throws {
        let algorithm = try reader.string("quant_algo", "quant_method") ?? ""
        let method = try reader.string("quant_method") ?? (reader.has("quant_algo") ? "modelopt" : "")
        var ignored =
            try reader.strings("modules_to_not_convert", "ignore", "exclude_modules", "ignored_layers") ?? []
        // Every method leaves the output projection alone unless it says otherwise.
        if try reader.bool("lm_head") != true { ignored.append("lm_head") }
        self.method = method
        let bits = try reader.count("bits", "w_bit", "num_bits", in: 1...32)
        let group = try Self.groupSize(reader)
        switch method.lowercased() {
        case "fp8", "fbgemm_fp8", "ptpc_fp8":
            let block = try reader.counts("weight_block_size", in: 1...1_000_000)
            format = .fp8(group: block.map { $0.reduce(1) { $0 > 1 << 40 ? $0 : $0 * $1 } } ?? 0)
        case "awq", "awq_marlin", "gptq", "gptq_marlin", "auto-round", "autoround", "inc":
            let symmetric = try reader.bool("sym") ?? false
            let bits = bits ?? 4
            guard [2, 3, 4, 8].contains(bits) else {
                throw reader.error("bits", .integer(bits), "is not supported", accepted: "2, 3, 4 or 8")
            }
            format = .grouped(
                bits: bits, group: group, zeroPoint: method.hasPrefix("awq") || !symmetric)
        case "mxfp4", "gpt_oss_mxfp4":
            format = .mxfp4
        case "bitsandbytes":
            if try reader.bool("load_in_8bit", "_load_in_8bit") == true {
                format = .int8
            } else {
                format = .grouped(bits: 4, group: 64, zeroPoint: false)
            }
        case "compressed-tensors", "modelopt", "modelopt_fp4", "modelopt_mixed":
            let kvScheme = try Self.wantsFP8Cache(reader)
            fp8KeyValueCache = kvScheme
            if let groups = try reader.object("config_groups"), let first = groups.fields.keys.sorted().first,
                let weights = try groups.object(first)?.object("weights")
            {
                format = try Self.compressed(
                    weights,
                    packed: try reader.string("format")?.contains("nvfp4") == true
                        || algorithm.uppercased().contains("NVFP4"))
            } else {
                format = try Self.modelOptimizer(algorithm, reader)
            }
        default:
            throw reader.error(
                "quant_method", .string(method), "is not supported",
                accepted: "fp8, awq, gptq, compressed-tensors, mxfp4, modelopt, bitsandbytes")
        }
        if method.hasPrefix("mxfp4") || method == "gpt_oss_mxfp4" {
            // vLLM quantises only the experts of such a checkpoint.
            ignored += ["self_attn", "embed_tokens", "router"]
        }
        exclusions = ModulePatterns(ignored)
    }

    private init(method: String, format: WeightFormat, exclusions: ModulePatterns) {
        self.method = method
        self.format = format
        self.exclusions = exclusions
    }

    private static func groupSize(_ reader: ConfigReader) throws -> Int {
        guard let (name, value) = reader.value(["group_size", "q_group_size"]) else { return 128 }
        if value == .integer(-1) { return 0 }
        return try ConfigReader.wholeNumber(value, in: 1...1_000_000) {
            reader.error(name, value, $0, accepted: $1)
        }
    }

    private static func wantsFP8Cache(_ reader: ConfigReader) throws -> Bool {
        switch reader.value(["kv_cache_scheme", "kv_cache_quant_algo"])?.value {
        case .string(let text)?: return text.uppercased() == "FP8"
        case .object(let fields)?: return fields["num_bits"] == .integer(8)
        default: return false
        }
    }

    private static func compressed(_ weights: ConfigReader, packed nvfp4: Bool) throws -> WeightFormat {
        let bits = try weights.requiredCount("num_bits", in: 1...32)
        let isFloat = try weights.string("type") == "float"
        let group = try groupSize(weights)
        switch (isFloat, bits) {
        case (true, 8): return .fp8()
        case (true, 4): return nvfp4 || group == 16 ? .nvfp4 : .mxfp4
        case (false, 8): return .int8
        case (false, 2...7):
            return .grouped(bits: bits, group: group, zeroPoint: try weights.bool("symmetric") == false)
        default:
            throw weights.error("num_bits", .integer(bits), "is not supported", accepted: "4 or 8")
        }
    }

    private static func modelOptimizer(_ algorithm: String, _ reader: ConfigReader) throws -> WeightFormat {
        switch algorithm.uppercased() {
        case "FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO": .fp8()
        case "NVFP4", "NVFP4_AWQ", "MIXED_PRECISION": .nvfp4
        case "MXFP4": .mxfp4
        case "W4A16_AWQ", "W4A8_AWQ": .grouped(bits: 4, group: 128, zeroPoint: false)
        default:
            throw reader.error(
                "quant_algo", .string(algorithm), "is not supported", accepted: "FP8, NVFP4, MXFP4, W4A16_AWQ"
            )
        }
    }
}
