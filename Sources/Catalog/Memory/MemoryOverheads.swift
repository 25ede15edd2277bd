/// The constants of the memory formula and where they come from.
public enum MemoryOverheads {
    /// NCCL communicator buffers per GPU by ranks, bytes: measured by aiconfigurator (Apache-2.0, system files, `nccl_mem`).
    public static func nccl(ranks: Int) -> Double {
        ranks <= 1 ? 0 : ranks <= 2 ? 358_612_992 : 411_041_792
    }

    /// Custom all-reduce's two 8 MiB buffers and a 64 MiB symmetric-memory buffer (`custom_all_reduce.py`,
    /// `all_reduce_utils.py`), with more than one tensor-parallel rank.
    public static let customAllReduce = 80.0 * 1_048_576

    /// cuBLAS workspace (32 MiB on Hopper), modules of loaded kernels and persistent inputs: 208 MiB, the common remainder of
    /// five real capacities (vLLM 0.15.1 on H100 at TP 1, 2 and 4; vLLM 0.19 on RTX 4090), which scatter by 50 MiB about it.
    public static let runtime = 208.0 * 1_048_576

    /// Bytes per logit at the peak of sampling by sorting: the model's own (2), float32 (4), sorted values (4) and
    /// indices (8), and the sort's second buffers of both (12) (`topk_topp_sampler.py: apply_top_k_top_p`).
    public static let sortedSamplingBytesPerLogit = 30.0

    /// Bytes per logit with FlashInfer's sampler: the model's own (2), float32 (4), probabilities (4) and noise (4).
    public static let fusedSamplingBytesPerLogit = 14.0

    /// One captured graph keeps its kernel nodes and arguments: 128 KiB per layer, in line with logged captures
    /// ("Graph capturing finished … took 0.11 GiB" for 30 graphs of a small model, 0.5-0.7 GiB for 100 of an 8B).
    public static let graphBytesPerLayer = 131_072.0
}

extension ModelArchitecture {
    /// Bytes of activations alive at once, per token, in the widest layer on a rank: the residual stream and its
    /// normalised copy, and the layer's own widest pair of intermediates.
    func activationBytesPerToken(_ layout: ParallelLayout) -> Double {
        let tp = Double(layout.tensorParallelSize)
        let bytes = dtype == "float32" ? 4.0 : 2.0
        let hidden = Double(hiddenSize)
        var widest = 0.0
        for layer in layers {
            widest = max(widest, Self.mixerElements(layer.mixer, tp: tp))
            switch layer.feedForward {
            case .none, .linear: break
            case .dense(let perceptron):
                widest = max(widest, Double(perceptron.width) * (perceptron.gated ? 3 : 2) / tp)
            case .experts(let mixture):
                let size = mixture.latentSize.map(Double.init) ?? hidden
                let chosen = Double(mixture.expertsPerToken)
                // Per token and chosen expert: gate and up, their product, and the expert's output before the sum. With
                // experts dealt out, a rank computes a share of the pairs of all data-parallel ranks' tokens.
                let ranks = tp * Double(layout.dataParallelSize)
                let pairs =
                    layout.expertParallel
                    ? chosen * Double(layout.dataParallelSize) / ranks
                    : chosen * Double(layout.dataParallelSize)
                let width = Double(mixture.expert.width) / (layout.expertParallel ? 1 : ranks)
                let first = width * (mixture.expert.gated ? 2 : 1)
                // vLLM reuses the first buffer for the outputs.
                var elements = pairs * (max(first, size) + width)
                elements += hidden
                if let shared = mixture.shared { elements += Double(shared.width) / tp }
                widest = max(widest, elements)
            }
        }
        return bytes * (2 * hidden + widest)
    }

    private static func mixerElements(_ mixer: TokenMixer, tp: Double) -> Double {
        switch mixer {
        case .attention(let attention):
            let queries = Double(attention.queryHeads) * Double(attention.headSize) / tp
            let keyValues =
                max(1, Double(attention.keyValueHeads) / tp)
                * Double(attention.headSize + attention.valueHeadSize)
            return queries * (attention.gatedOutput ? 3 : 2) + keyValues
        case .latentAttention(let attention):
            let heads = Double(attention.queryHeads) / tp
            let head = Double(attention.unrotatedHeadSize + attention.rotaryHeadSize)
            // Prefill expands keys and values of all heads.
            return heads
                * (2 * head + 2 * Double(attention.valueHeadSize) + Double(attention.unrotatedHeadSize))
        case .recurrence(let recurrence):
            return 2 * recurrence.convolutionElements / tp
        case .linear, .none: return 0
        }
    }
}
