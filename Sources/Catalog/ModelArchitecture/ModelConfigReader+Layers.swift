import ServingCore

extension ModelConfigReader {
    /// Every layer in order.
    func decoderLayers() throws -> [DecoderLayer] {
        if modelType == "nemotron_h" { return try nemotronHybridLayers() }
        if let blocks = text.fields["block_configs"] { return try prunedLayers(blocks) }
        let mixers = try tokenMixers()
        let feedForwards = try feedForwards()
        return (0..<layerCount).map { index in
            var norms = 2.0 * Double(hiddenSize)
            if case .attention(let attention) = mixers[index] {
                if Self.normalisesHeads.contains(modelType) {
                    norms += Double(2 * attention.headSize)
                } else if modelType == "minimax_m2" {
                    norms += Double((attention.queryHeads + attention.keyValueHeads) * attention.headSize)
                }
            }
            return DecoderLayer(mixer: mixers[index], feedForward: feedForwards[index], normParameters: norms)
        }
    }

    private static let normalisesHeads: Set<String> = [
        "qwen3", "qwen3_moe", "qwen3_vl_text", "qwen3_vl_moe_text", "qwen3_next", "qwen3_5_text",
        "qwen3_5_moe_text",
        "gemma3", "gemma3_text", "gemma4_text", "glm4_moe",
    ]
    private static let biasedInputs: Set<String> = [
        "qwen", "qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "gpt2",
    ]
    private static let ungated: Set<String> = [
        "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "gpt_neo", "falcon", "RefinedWeb", "RefinedWebModel",
        "bloom",
        "mpt", "opt", "phi", "starcoder2", "nemotron", "stablelm_epoch", "codegen",
    ]
    private static let biasedPerceptron: Set<String> = [
        "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "bloom", "opt", "phi", "starcoder2", "codegen",
    ]

    // MARK: Token mixing

    private func tokenMixers() throws -> [TokenMixer] {
        if let latent = try latentAttention() {
            return Array(repeating: .latentAttention(latent), count: layerCount)
        }
        let plain = try plainAttention()
        let spans = try attentionSpans()
        let shared = min(try text.count("num_kv_shared_layers") ?? 0, layerCount)
        let recurrence = spans.contains { $0 == nil } ? try gatedDeltaNet() : nil
        return try spans.enumerated().map { index, span in
            guard let span else { return .recurrence(recurrence!) }
            var attention = plain
            attention.span = span
            if span == .full {
                // Gemma 4: full layers have heads of their own size.
                if let size = try text.count("global_head_dim", in: 1...65536) {
                    attention.headSize = size
                    attention.valueHeadSize = size
                }
                if let count = try text.count("num_global_key_value_heads", in: 1...65536) {
                    attention.keyValueHeads = count
                }
                if try text.bool("attention_k_eq_v") == true { attention.valuesAreKeys = true }
            } else {
                // MiMo-V2: windowed layers have.
                attention.queryHeads =
                    try text.count("swa_num_attention_heads", in: 1...65536) ?? attention.queryHeads
                attention.keyValueHeads =
                    try text.count("swa_num_key_value_heads", in: 1...65536) ?? attention.keyValueHeads
                attention.headSize = try text.count("swa_head_dim", in: 1...65536) ?? attention.headSize
                attention.valueHeadSize =
                    try text.count("swa_v_head_dim", "swa_head_dim", in: 1...65536) ?? attention.valueHeadSize
            }
            attention.sharesCache = index >= layerCount - shared && shared < layerCount
            try check(attention)
            return .attention(attention)
        }
    }

    private func check(_ attention: Attention) throws {
        guard attention.queryHeads % attention.keyValueHeads == 0 else {
            throw text.error(
                "num_key_value_heads", .integer(attention.keyValueHeads),
                "does not divide the \(attention.queryHeads) query heads")
        }
    }

    func headSize() throws -> Int {
        if let size = try text.count(
            "head_dim", "attention_head_dim", "kv_channels", "head_size", in: 1...65536)
        {
            return size
        }
        guard hiddenSize % heads == 0 else {
            throw text.error(
                "head_dim", nil,
                "is missing and hidden_size \(hiddenSize) is not a multiple of the \(heads) heads")
        }
        let size = hiddenSize / heads
        guard size <= 65536 else { throw text.error("head_dim", .integer(size), "is too large") }
        return size
    }

    private func plainAttention() throws -> Attention {
        let size = try headSize()
        var keyValueHeads: Int
        if Self.falcon.contains(modelType) {
            if try text.bool("new_decoder_architecture") == true {
                keyValueHeads = try text.count("num_kv_heads", "n_head_kv", in: 1...65536) ?? heads
            } else {
                keyValueHeads = try text.bool("multi_query") ?? true ? 1 : heads
            }
        } else {
            let stated = try text.count(
                "num_key_value_heads", "n_head_kv", "num_kv_heads", "multi_query_group_num",
                "num_query_groups",
                in: 1...65536)
            let single = stated == nil ? try text.bool("multi_query") : nil
            keyValueHeads =
                stated ?? (single == true || (single == nil && modelType == "gpt_bigcode") ? 1 : heads)
        }
        var attention = Attention(
            queryHeads: heads, keyValueHeads: keyValueHeads, headSize: size,
            valueHeadSize: try text.count("v_head_dim", in: 1...65536) ?? size)
        let bias = try text.bool("attention_bias", "qkv_bias", "add_qkv_bias", "bias", "use_bias")
        attention.inputBias = bias ?? Self.biasedInputs.contains(modelType)
        attention.outputBias =
            modelType == "gpt2" || (bias == true && ["gpt_oss", "falcon", "starcoder2"].contains(modelType))
        attention.gatedOutput = try text.bool("attn_output_gate") ?? (modelType == "qwen3_next")
        return attention
    }

    private static let falcon: Set<String> = ["falcon", "RefinedWeb", "RefinedWebModel"]

    private func latentAttention() throws -> LatentAttention? {
        guard let latent = try text.count("kv_lora_rank", in: 1...1_000_000) else { return nil }
        var attention = LatentAttention(
            queryHeads: heads, queryRank: try text.count("q_lora_rank", in: 1...1_000_000),
            latentSize: latent,
            unrotatedHeadSize: try text.requiredCount("qk_nope_head_dim", in: 1...65536),
            rotaryHeadSize: try text.requiredCount("qk_rope_head_dim", in: 0...65536),
            valueHeadSize: try text.requiredCount("v_head_dim", in: 1...65536), indexer: nil)
        if text.has("index_topk") {
            attention.indexer = SparseIndexer(
                heads: try text.requiredCount("index_n_heads", in: 1...65536),
                headSize: try text.requiredCount("index_head_dim", in: 1...65536),
                topTokens: try text.requiredCount("index_topk"))
        }
        return attention
    }

    /// Gated delta net (Qwen3-Next, Qwen3.5): the layers called `linear_attention`.
    private func gatedDeltaNet() throws -> Recurrence {
        let valueHeads = try text.requiredCount("linear_num_value_heads", in: 1...65536)
        let keys = Double(try text.requiredCount("linear_num_key_heads", in: 1...65536))
        let keySize = Double(try text.requiredCount("linear_key_head_dim", in: 1...65536))
        let valueSize = Double(try text.requiredCount("linear_value_head_dim", in: 1...65536))
        let kernel = Double(try text.count("linear_conv_kernel_dim", in: 1...65536) ?? 4)
        let hidden = Double(hiddenSize)
        let keyWidth = keys * keySize
        let valueWidth = Double(valueHeads) * valueSize
        let channels = 2 * keyWidth + valueWidth
        return Recurrence(
            matrixParameters: hidden * (2 * keyWidth + 2 * valueWidth + 2 * Double(valueHeads)) + valueWidth
                * hidden,
            smallParameters: channels * kernel + 2 * Double(valueHeads) + valueSize,
            stateElements: Double(valueHeads) * keySize * valueSize,
            stateElementBytes: try stateElementBytes(), convolutionElements: channels * (kernel - 1),
            heads: valueHeads)
    }

    func stateElementBytes() throws -> Double {
        switch try text.string("mamba_ssm_dtype", "mamba_ssm_cache_dtype") {
        case "float32"?: 4
        default: 2
        }
    }

    /// What each layer reads; nil for a recurrent layer.
    private func attentionSpans() throws -> [AttentionSpan?] {
        let window = try text.count("sliding_window", "sliding_window_size")
        let chunk = try text.count("attention_chunk_size")
        func sliding() throws -> AttentionSpan {
            guard let window, window > 0 else {
                throw text.error(
                    "sliding_window", nil, "is missing where layers have one", accepted: "tokens")
            }
            return .sliding(window)
        }
        if let kinds = try text.counts("attn_type_list") {
            if let other = kinds.first(where: { $0 != 1 }) {
                throw text.error(
                    "attn_type_list", .integer(other), "lightning attention is not supported", accepted: "1")
            }
        }
        if let pattern = try text.counts("hybrid_layer_pattern") {
            try checkLength(pattern.count, "hybrid_layer_pattern")
            return try pattern.map { $0 == 0 ? .full : try sliding() }
        }
        if let types = try text.strings("layer_types") {
            try checkLength(types.count, "layer_types")
            return try types.map { type in
                switch type {
                case "full_attention", "attention", "global": .full
                case "sliding_attention", "local": try sliding()
                case "chunked_attention":
                    .chunked(max(1, try text.requiredCount("attention_chunk_size")))
                case "linear_attention": nil
                default:
                    throw text.error(
                        "layer_types", .string(type), "is not supported",
                        accepted: "full_attention, sliding_attention, chunked_attention or linear_attention")
                }
            }
        }
        if modelType.hasPrefix("llama4"), let chunk, chunk > 0 {
            // A layer without rotary embedding reads everything; every fourth unless the file says which.
            let rotary = try text.counts("no_rope_layers") ?? []
            let interval = max(1, try text.count("no_rope_layer_interval") ?? 4)
            if !rotary.isEmpty { try checkLength(rotary.count, "no_rope_layers") }
            return (0..<layerCount).map { index in
                let isRotary = rotary.isEmpty ? (index + 1) % interval != 0 : rotary[index] != 0
                return isRotary ? .chunked(chunk) : .full
            }
        }
        if let interval = try text.count("full_attention_interval", in: 1...65536) {
            return (0..<layerCount).map { ($0 + 1) % interval == 0 ? .full : nil }
        }
        guard let window, window > 0, try text.bool("use_sliding_window") ?? true else {
            return Array(repeating: .full, count: layerCount)
        }
        let defaultPattern =
            modelType.hasPrefix("gemma3") ? 6 : modelType == "gemma2" ? 2 : modelType == "cohere2" ? 4 : nil
        if let pattern = try text.count("sliding_window_pattern", "_sliding_window_pattern", in: 1...65536)
            ?? defaultPattern
        {
            return (0..<layerCount).map { ($0 + 1) % pattern == 0 ? .full : .sliding(window) }
        }
        if modelType.hasPrefix("qwen") {
            // Qwen2: layers from max_window_layers on have the window.
            let first = try text.count("max_window_layers") ?? layerCount
            return (0..<layerCount).map { $0 >= first ? .sliding(window) : .full }
        }
        return Array(repeating: .sliding(window), count: layerCount)
    }

    private func checkLength(_ count: Int, _ name: String) throws {
        guard count == layerCount else {
            throw text.error(name, nil, "has \(count) entries for \(layerCount) layers")
        }
    }

    // MARK: Feed-forward

    private func feedForwards() throws -> [FeedForward] {
        let gated = !Self.ungated.contains(modelType)
        let bias = try text.bool("mlp_bias") ?? Self.biasedPerceptron.contains(modelType)
        guard let experts = try expertCount(), experts > 1 else {
            let width = try text.count(
                "intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim",
                in: 1...ConfigReader.largestDimension)
            guard let width = width ?? (gated ? nil : hiddenSize * 4) else {
                throw text.error(
                    "intermediate_size", nil, "is missing", accepted: "a whole number of at least 1")
            }
            // Qwen 1 counts both halves of the gated matrix.
            let perceptron = Perceptron(
                width: modelType == "qwen" ? max(1, width / 2) : width, gated: gated, bias: bias)
            return Array(repeating: .dense(perceptron), count: layerCount)
        }
        let mixture = try mixtureOfExperts(experts)
        let isExpertLayer = try expertLayers()
        let denseWidth =
            try text.count(
                "intermediate_size_mlp", "dense_intermediate_size", "intermediate_size",
                in: 1...ConfigReader.largestDimension)
        return try isExpertLayer.map { isExpert in
            if isExpert { return .experts(mixture) }
            guard let denseWidth else {
                throw text.error("intermediate_size", nil, "is missing for the dense layers")
            }
            return .dense(Perceptron(width: denseWidth, gated: gated, bias: bias))
        }
    }

    func expertCount() throws -> Int? {
        try text.count(
            "num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts",
            in: 0...65536)
    }

    private func mixtureOfExperts(_ experts: Int) throws -> MixtureOfExperts {
        let perToken = try text.requiredCount(
            "num_experts_per_tok", "num_experts_per_token", "experts_per_token", "top_k_experts", "moe_topk",
            "moe_top_k",
            "moe_k", in: 1...65536)
        guard perToken <= experts else {
            throw text.error(
                "num_experts_per_tok", .integer(perToken), "is more than the \(experts) experts")
        }
        let width = try text.requiredCount(
            "moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")
        let bias = modelType == "gpt_oss"
        var mixture = MixtureOfExperts(
            experts: experts, expertsPerToken: perToken,
            expert: Perceptron(width: width, gated: true, bias: bias))
        if let shared = try text.count(
            "n_shared_experts", "num_shared_experts", "moe_num_shared_experts", in: 0...65536),
            shared > 0
        {
            let sharedWidth =
                try text.count("shared_expert_intermediate_size", "shared_intermediate_size") ?? width
                * shared
            if sharedWidth > 0 { mixture.shared = Perceptron(width: sharedWidth, gated: true) }
        } else if let sharedWidth = try text.count(
            "shared_expert_intermediate_size", "shared_intermediate_size"), sharedWidth > 0
        {
            mixture.shared = Perceptron(width: sharedWidth, gated: true)
            mixture.sharedGate = modelType.hasPrefix("qwen")
        } else if modelType.hasPrefix("llama4") {
            mixture.shared = Perceptron(width: width, gated: true)
        }
        if try text.bool("enable_moe_block") == true,
            let dense = try text.count("intermediate_size", in: 1...ConfigReader.largestDimension)
        {
            mixture.parallelDense = Perceptron(width: dense, gated: true)
        }
        return mixture
    }

    private func expertLayers() throws -> [Bool] {
        var result = [Bool](repeating: true, count: layerCount)
        if let value = text.fields["moe_layer_freq"], case .array = value {
            let list = try text.counts("moe_layer_freq") ?? []
            try checkLength(list.count, "moe_layer_freq")
            return list.map { $0 != 0 }
        }
        if let listed = try text.counts("moe_layers") {
            let chosen = Set(listed)
            return (0..<layerCount).map { chosen.contains($0) }
        }
        let firstDense = try text.count("first_k_dense_replace", "moe_layer_start_index") ?? 0
        let frequency = try text.count("moe_layer_freq", in: 1...65536) ?? 1
        let step =
            try text.count(
                "decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval", in: 1...65536) ?? 1
        let denseOnly = Set(try text.counts("mlp_only_layers") ?? [])
        for index in 0..<layerCount {
            result[index] =
                index >= firstDense && index % frequency == 0 && (index + 1) % step == 0
                && !denseOnly.contains(index)
        }
        return result
    }
}
