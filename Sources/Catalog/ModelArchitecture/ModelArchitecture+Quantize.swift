extension ModelArchitecture {
    /// Marks the matrices that `scheme` quantises, by the module paths of the checkpoints that have them.
    ///
    /// A module goes by different names in different models; it stays as it is if any of them is excluded.
    mutating func quantize(_ scheme: Quantization?) {
        quantization = scheme
        quantizesOutput = false
        let matcher = scheme?.exclusions.matcher()
        func isQuantized(_ names: [String]) -> Bool {
            guard let matcher else { return false }
            return !names.contains(where: matcher.matches)
        }
        for index in layers.indices {
            var parts: QuantizedParts = []
            if isQuantized(layers[index].mixerModules(index)) { parts.insert(.mixer) }
            if isQuantized(layers[index].feedForwardModules(index)) { parts.insert(.feedForward) }
            if isQuantized(layers[index].expertModules(index)) { parts.insert(.experts) }
            layers[index].quantized = parts
        }
        quantizesOutput = isQuantized(["lm_head"])
    }
}

extension DecoderLayer {
    /// Module paths of the token mixer in the checkpoints that have it.
    fileprivate func mixerModules(_ index: Int) -> [String] {
        switch mixer {
        case .recurrence:
            ["model.layers.\(index).linear_attn.in_proj", "backbone.layers.\(index).mixer.in_proj"]
        case .latentAttention: ["model.layers.\(index).self_attn.q_b_proj"]
        default: ["model.layers.\(index).self_attn.q_proj"]
        }
    }

    fileprivate func feedForwardModules(_ index: Int) -> [String] {
        let base = "model.layers.\(index)."
        if case .experts = feedForward {
            return [
                base + "mlp.shared_experts.gate_proj", base + "mlp.shared_expert.gate_proj",
                base + "feed_forward.shared_expert.gate_proj",
                "backbone.layers.\(index).mixer.shared_experts.up_proj",
            ]
        }
        return [
            base + "mlp.gate_proj", base + "feed_forward.gate_proj", "backbone.layers.\(index).mixer.up_proj",
        ]
    }

    fileprivate func expertModules(_ index: Int) -> [String] {
        let base = "model.layers.\(index)."
        return [
            base + "mlp.experts.0.gate_proj", base + "block_sparse_moe.experts.0.w1",
            base + "feed_forward.experts.0.gate_proj", "backbone.layers.\(index).mixer.experts.0.up_proj",
        ]
    }
}
