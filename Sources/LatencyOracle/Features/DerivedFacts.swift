import ServingCore

/// Quantities that several features derive from a deployment's facts.
extension DeploymentFacts {
    /// Bytes of one weight in the weight format, block scales included (OCP MX: 32 values share 8 bits, NVFP4:
    /// 16 values share 8 bits, 4-bit integers: 128 share 16 bits).
    var bytesPerWeight: Double {
        switch weightFormat.lowercased() {
        case "fp8", "int8": 1
        case "int4", "awq", "gptq": 0.5 + 2.0 / 128
        case "mxfp4": 0.5 + 1.0 / 32
        case "nvfp4": 0.5 + 1.0 / 16
        case "fp32", "float32": 4
        default: 2
        }
    }

    /// FLOPs of one token in one routed expert, its share on a rank where experts are split.
    var expertFlopsPerTokenPerRank: Double { 2 * expertWeightBytesPerRank / bytesPerWeight }

    /// FLOPs of a token, of whatever data-parallel engine, in all of its routed experts, averaged over the ranks that share
    /// them.
    var routedFlopsPerTokenPerRank: Double {
        guard experts > 0 else { return 0 }
        let ofRank = expertsPerRank / Double(experts)
        return Double(expertsPerToken) * ofRank * expertFlopsPerTokenPerRank * Double(expertLayers)
    }

    /// Matrix FLOPs per token and rank outside the routed experts.
    var denseMatrixFlopsPerTokenPerRank: Double {
        // What a rank computes per own token holds the experts' work for the tokens of all data-parallel engines.
        max(0, flopsPerTokenPerRank - Double(max(1, dataParallelSize)) * routedFlopsPerTokenPerRank)
    }

    /// Peak of attention and the output projection.
    var attentionPeakFlops: Double { activationPeakFlops > 0 ? activationPeakFlops : peakFlops }

    /// 1 for a mixture of experts, else 0.
    var mixtureOfExperts: Double { indicator(experts > 0) }

    /// Bytes that one rank sends for one all-reduce of one token's activations: 2 (tp - 1) / tp x hidden size
    /// (ring; Thakur, Rabenseifner & Gropp, 2005).
    var allReduceBytesPerToken: Double {
        let ranks = Double(max(1, tensorParallelSize))
        return 2 * (ranks - 1) / ranks * Double(hiddenSize) * activationBytes
    }
}
