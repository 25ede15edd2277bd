import ServingCore

extension ModelConfigReader {
    /// Nemotron-H and Nemotron 3: each layer is one block, `M`amba-2, `*` attention, `-` perceptron or `E`xperts.
    func nemotronHybridLayers() throws -> [DecoderLayer] {
        let field: String
        let kinds: [String]
        if let pattern = try text.string("hybrid_override_pattern") {
            field = "hybrid_override_pattern"
            kinds = pattern.map(String.init)
        } else {
            field = "layers_block_type"
            guard let types = try text.strings(field) else { throw text.error(field, nil, "is missing") }
            kinds = types
        }
        let size = try headSize()
        let attention = Attention(
            queryHeads: heads, keyValueHeads: try text.count("num_key_value_heads", in: 1...65536) ?? heads,
            headSize: size, valueHeadSize: size)
        guard attention.queryHeads % attention.keyValueHeads == 0 else {
            throw text.error(
                "num_key_value_heads", .integer(attention.keyValueHeads),
                "does not divide the \(heads) query heads")
        }
        var mamba: Recurrence?
        var mixture: MixtureOfExperts?
        let norms = Double(hiddenSize)
        return try kinds.map { kind in
            switch kind {
            case "M", "mamba":
                if mamba == nil { mamba = try mamba2() }
                return DecoderLayer(mixer: .recurrence(mamba!), feedForward: .none, normParameters: norms)
            case "*", "attention":
                return DecoderLayer(mixer: .attention(attention), feedForward: .none, normParameters: norms)
            case "-", "mlp":
                let width = try text.requiredCount("intermediate_size")
                return DecoderLayer(
                    mixer: .none, feedForward: .dense(Perceptron(width: width, gated: false)),
                    normParameters: norms)
            case "E", "moe":
                if mixture == nil { mixture = try nemotronExperts() }
                return DecoderLayer(mixer: .none, feedForward: .experts(mixture!), normParameters: norms)
            default:
                throw text.error(
                    field, .string(kind), "is not supported",
                    accepted: "M, *, - or E (mamba, attention, mlp, moe)")
            }
        }
    }

    private func nemotronExperts() throws -> MixtureOfExperts {
        let experts = try text.requiredCount("n_routed_experts", "num_experts", in: 1...65536)
        let perToken = try text.requiredCount("num_experts_per_tok", in: 1...65536)
        guard perToken <= experts else {
            throw text.error("num_experts_per_tok", .integer(perToken), "is more than the \(experts) experts")
        }
        let width = try text.requiredCount("moe_intermediate_size", "intermediate_size")
        var mixture = MixtureOfExperts(
            experts: experts, expertsPerToken: perToken, expert: Perceptron(width: width, gated: false))
        mixture.latentSize = try text.count("moe_latent_size", in: 1...ConfigReader.largestDimension)
        let shared = try text.count("n_shared_experts", in: 0...65536) ?? 0
        if shared > 0, let sharedWidth = try text.count("moe_shared_expert_intermediate_size"),
            sharedWidth > 0
        {
            mixture.shared = Perceptron(width: sharedWidth, gated: false)
        }
        return mixture
    }

    private func mamba2() throws -> Recurrence {
        let heads = try text.requiredCount("mamba_num_heads", in: 1...65536)
        let headSize = Double(try text.requiredCount("mamba_head_dim", in: 1...65536))
        let groups = Double(try text.count("n_groups", in: 1...65536) ?? 1)
        let state = Double(try text.requiredCount("ssm_state_size", in: 1...65536))
        let kernel = Double(try text.count("conv_kernel", in: 1...65536) ?? 4)
        let hidden = Double(hiddenSize)
        let inner = Double(heads) * headSize
        let channels = inner + 2 * groups * state
        return Recurrence(
            matrixParameters: hidden * (inner + channels + Double(heads)) + inner * hidden,
            smallParameters: channels * (kernel + 1) + inner + 3 * Double(heads),
            stateElements: inner * state, stateElementBytes: try stateElementBytes(),
            convolutionElements: channels * (kernel - 1), heads: heads)
    }

    /// Models pruned by architecture search (Llama-Nemotron): `block_configs` says what is left of each layer.
    func prunedLayers(_ value: ConfigValue) throws -> [DecoderLayer] {
        guard case .array(let blocks) = value, blocks.count == layerCount else {
            throw text.error(
                "block_configs", value, "does not list one block for each of the \(layerCount) layers")
        }
        let size = try headSize()
        return try blocks.enumerated().map { index, block in
            let block = try ConfigReader(
                block, source: text.source, path: "\(text.path)block_configs.\(index).")
            return DecoderLayer(
                mixer: try prunedMixer(block, headSize: size), feedForward: try prunedFeedForward(block),
                normParameters: 2 * Double(hiddenSize))
        }
    }

    private func prunedMixer(_ block: ConfigReader, headSize: Int) throws -> TokenMixer {
        guard let attention = try block.object("attention") else {
            throw block.error("attention", nil, "is missing")
        }
        if try attention.bool("no_op") == true { return .none }
        if try attention.bool("replace_with_linear") == true { return .linear }
        let perGroup = try attention.requiredCount("n_heads_in_group", in: 1...65536)
        guard heads % perGroup == 0 else {
            throw attention.error(
                "n_heads_in_group", .integer(perGroup), "does not divide the \(heads) query heads")
        }
        var result = Attention(
            queryHeads: heads, keyValueHeads: heads / perGroup, headSize: headSize, valueHeadSize: headSize)
        if let window = try attention.count("window_length"), window > 0 { result.span = .sliding(window) }
        return .attention(result)
    }

    private func prunedFeedForward(_ block: ConfigReader) throws -> FeedForward {
        guard let ffn = try block.object("ffn") else { throw block.error("ffn", nil, "is missing") }
        if try ffn.bool("no_op") == true { return .none }
        if try ffn.bool("replace_with_linear") == true { return .linear }
        let width: Int
        if let stated = try ffn.count("intermediate_size", in: 1...ConfigReader.largestDimension) {
            width = stated
        } else {
            guard let factor = try ffn.number("ffn_mult", in: 1e-6...1e4) else {
                throw ffn.error("ffn_mult", nil, "is missing")
            }
            // Two thirds of the multiple, rounded up to 256, as `modeling_decilm` does.
            let raw = Int(2 * factor * Double(hiddenSize) / 3)
            width = max(256, (raw + 255) / 256 * 256)
        }
        return .dense(Perceptron(width: width, gated: true))
    }
}
