import ServingCore

/// Turns the fields of a config.json into layers. One per file read; the field names are Hugging Face's, old and new.
struct ModelConfigReader {
    /// The decoder's own fields (the nested text config of a multimodal model).
    let text: ConfigReader
    /// The whole file.
    let top: ConfigReader
    let modelType: String
    let architectureClass: String
    let hiddenSize: Int
    let layerCount: Int
    let heads: Int

    init(_ value: ConfigValue, source: String) throws {
        let top = try ConfigReader(value, source: source)
        self.top = top
        var text = top
        nested: while true {
            for name in ["text_config", "llm_config", "language_config", "thinker_config", "llm"]
            where text.fields[name] != nil {
                if let inner = try text.object(name) {
                    text = inner
                    continue nested
                }
            }
            break
        }
        self.text = text
        modelType = try text.string("model_type") ?? top.string("model_type") ?? ""
        architectureClass =
            try top.strings("architectures")?.first ?? text.strings("architectures")?.first ?? ""
        try Self.refuseUnsupported(text, top, modelType: modelType)
        hiddenSize = try text.requiredCount("hidden_size", "n_embd", "d_model", "model_dim")
        if let pattern = try text.string("hybrid_override_pattern") {
            layerCount = pattern.utf8.count
            if let stated = try text.count("num_hidden_layers", in: 1...Self.maxLayers), stated != layerCount
            {
                throw text.error(
                    "hybrid_override_pattern", .string(pattern),
                    "has \(layerCount) layers where num_hidden_layers is \(stated)")
            }
        } else if let types = try text.strings("layers_block_type"), modelType == "nemotron_h" {
            layerCount = types.count
        } else {
            layerCount = try text.requiredCount(
                "num_hidden_layers", "n_layer", "n_layers", "num_layers", in: 1...Self.maxLayers)
        }
        guard (1...Self.maxLayers).contains(layerCount) else {
            throw text.error(
                "num_hidden_layers", .integer(layerCount), "is out of range",
                accepted: "1 to \(Self.maxLayers)")
        }
        heads = try text.requiredCount("num_attention_heads", "n_head", "n_heads", "num_heads", in: 1...65536)
    }

    private static let maxLayers = 4096

    /// Refuses what changes cost or memory in ways that aren't modelled, by the field that says so.
    private static func refuseUnsupported(_ text: ConfigReader, _ top: ConfigReader, modelType: String) throws
    {
        for reader in [top, text] where try reader.bool("is_encoder_decoder") == true {
            throw reader.error(
                "is_encoder_decoder", .bool(true), "is not supported", accepted: "decoder-only models")
        }
        let encoders = [
            "bert", "roberta", "xlm-roberta", "t5", "whisper", "clip", "modernbert", "nomic_bert",
        ]
        if encoders.contains(modelType) {
            throw text.error(
                "model_type", .string(modelType), "is not supported", accepted: "decoder-only language models"
            )
        }
        let unsupported = [
            "compress_ratios": "compressed sparse attention is not supported",
            "linear_attn_config": "this kind of linear attention is not supported",
            "attn_layer_period": "this kind of Mamba hybrid is not supported",
            "ssm_cfg": "pure state-space models are not supported",
            "cross_attention_layers": "cross-attention layers are not supported",
            "moe_num_shared_experts_list": "is not supported",
        ]
        for name in unsupported.keys.sorted() where text.has(name) {
            throw text.error(name, text.fields[name], unsupported[name]!)
        }
        if let sparse = text.fields["sparse_attention_config"], case .object(let fields) = sparse,
            fields["use_sparse_attention"] != .bool(false)
        {
            throw text.error("sparse_attention_config", nil, "block-sparse attention is not supported")
        }
        if let size = try text.count("hidden_size_per_layer_input"), size > 0 {
            throw text.error(
                "hidden_size_per_layer_input", .integer(size), "per-layer embeddings are not supported",
                accepted: "0")
        }
        if try text.bool("use_double_wide_mlp") == true {
            throw text.error("use_double_wide_mlp", .bool(true), "is not supported", accepted: "false")
        }
    }

    /// Reads everything.
    func architecture(name: String) throws -> ModelArchitecture {
        let vocabulary = try text.requiredCount("vocab_size", "padded_vocab_size")
        let layers = try decoderLayers()
        var architecture = ModelArchitecture(
            name: name, repository: nil, architectureClass: architectureClass, modelType: modelType,
            hiddenSize: hiddenSize, vocabularySize: vocabulary, attentionHeads: heads, keyValueHeads: heads,
            headSize: 0, layers: layers,
            tiedEmbeddings: try text.bool("tie_word_embeddings") ?? top.bool("tie_word_embeddings")
                ?? Self.tiedByDefault.contains(modelType),
            positionTableRows: 0, maxPositionEmbeddings: 0, rotaryTableRows: 0, dtype: try elementType(),
            quantization: nil, encoderParameters: try encoderParameters())
        architecture.quantize(try quantization())
        if Self.learnedPositions.contains(modelType) {
            architecture.positionTableRows = try text.count("n_positions", "max_position_embeddings") ?? 0
        }
        (architecture.maxPositionEmbeddings, architecture.rotaryTableRows) = try contextLength()
        if architecture.positionTableRows > 0 { architecture.rotaryTableRows = 0 }
        // The head counts of the layers that see the whole context speak for the model.
        var described = false
        for layer in layers where !described {
            switch layer.mixer {
            case .attention(let attention):
                if attention.span == .full || architecture.headSize == 0 {
                    architecture.attentionHeads = attention.queryHeads
                    architecture.keyValueHeads = attention.keyValueHeads
                    architecture.headSize = attention.headSize
                }
                described = attention.span == .full
            case .latentAttention(let attention):
                architecture.keyValueHeads = 1
                architecture.headSize = attention.latentSize + attention.rotaryHeadSize
                described = true
            default: break
            }
        }
        guard architecture.attentionLayers > 0 else {
            throw text.error("layer_types", nil, "has no attention layer, which is not supported")
        }
        return architecture
    }

    private static let tiedByDefault: Set<String> = [
        "gpt2", "gpt_bigcode", "falcon", "bloom", "mpt", "opt", "gemma", "gemma2", "gemma3", "gemma3_text",
        "gemma4_text", "cohere", "cohere2", "RefinedWeb", "RefinedWebModel",
    ]
    private static let learnedPositions: Set<String> = ["gpt2", "gpt_bigcode", "opt", "starcoder"]

    private func elementType() throws -> String {
        let name = try text.string("torch_dtype", "dtype") ?? top.string("torch_dtype", "dtype") ?? "bfloat16"
        let plain = name.hasPrefix("torch.") ? String(name.dropFirst(6)) : name
        switch plain {
        case "bfloat16", "float16", "float32": return plain
        case "half": return "float16"
        case "float": return "float32"
        // Checkpoints of FP8 models name the storage; arithmetic is bfloat16.
        case "float8_e4m3fn", "fp8": return "bfloat16"
        default:
            throw text.error(
                "torch_dtype", .string(name), "is not supported", accepted: "bfloat16, float16 or float32")
        }
    }

    private func quantization() throws -> Quantization? {
        for reader in [top, text] {
            if let inner = try reader.object("quantization_config") { return try Quantization(inner) }
            if let inner = try reader.object("quantization") { return try Quantization(inner) }
        }
        return nil
    }

    /// A vision tower's transformer, estimated from its own config: attention and two-matrix perceptron per layer.
    private func encoderParameters() throws -> Double {
        var total = 0.0
        for name in ["vision_config", "audio_config", "vision_tower_config"] {
            guard let value = top.fields[name], case .object(let fields) = value else { continue }
            let tower = ConfigReader(fields: fields, source: top.source, path: name + ".")
            guard
                let depth = try? tower.count(
                    "depth", "num_hidden_layers", "vt_num_hidden_layers", in: 0...4096),
                let size = try? tower.count("hidden_size", "embed_dim", "vt_hidden_size")
            else { continue }
            let width = (try? tower.count("intermediate_size", "vt_intermediate_size")) ?? size * 4
            total += Double(depth) * (4 * Double(size) * Double(size) + 2 * Double(size) * Double(width))
        }
        return total
    }

    /// vLLM's derived `max_model_len` (`config/model.py: _get_and_verify_max_len`) and the rows of its rotary table.
    private func contextLength() throws -> (length: Int, rotaryRows: Int) {
        var derived: Int?
        for name in [
            "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length",
            "max_sequence_length", "max_seq_length", "seq_len",
        ] {
            if let length = try text.count(name, in: 1...ConfigReader.largestDimension) {
                derived = min(derived ?? length, length)
            }
        }
        let plain = derived ?? 2048
        var length = Double(plain)
        let scalings = try ["rope_scaling", "rope_parameters"].compactMap { try text.object($0) }
        for scaling in scalings {
            guard let type = try scaling.string("rope_type", "type") else { continue }
            guard !["su", "longrope", "llama3", "mrope", "default", "proportional"].contains(type) else {
                continue
            }
            let factor = try scaling.number("factor", in: 1e-6...1e6) ?? 1
            let original = try scaling.count(
                "original_max_position_embeddings", in: 1...ConfigReader.largestDimension)
            if type == "yarn" || type == "deepseek_yarn", let original { length = Double(original) }
            length *= factor
            break
        }
        let rows = max(1, min(Int(length), ConfigReader.largestDimension))
        return (rows, max(rows, plain))
    }
}
