import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Where a configuration stands among others: the 14 numbers of the RECE design, as written or made comparable.
public struct ConfigurationEmbedding: Codable, Equatable, Sendable {
    /// How the numbers are compared.
    public enum Similarity: String, Codable, Sendable, CaseIterable {
        /// Distance between standardised vectors; ratio-scale entries as logarithms.
        case euclidean
        /// Cosine of the vectors as written.
        case cosine
    }

    /// How the numbers are compared.
    public var similarity: Similarity
    /// Subtracted from every entry.
    public var means: [Double]
    /// Every entry is divided by this; 0 leaves the entry out.
    public var scales: [Double]

    /// An embedding with its standardisation.
    public init(similarity: Similarity, means: [Double], scales: [Double]) {
        self.similarity = similarity
        self.means = means
        self.scales = scales
    }

    /// Names of the entries.
    public static let names = [
        "hidden_size", "num_layers", "kv_heads_per_head", "is_moe", "num_experts", "tflops", "bandwidth",
        "memory", "max_batch_tokens", "max_num_seqs", "inverse_tp_degree", "chunked_prefill",
        "prefix_caching",
        "cpu_offload",
    ]

    /// The vector exactly as the design writes it.
    public static func asWritten(_ facts: DeploymentFacts) -> [Double] {
        [
            Double(facts.hiddenSize) / 4096, Double(facts.layers) / 32,
            ratio(Double(facts.keyValueHeads), Double(facts.attentionHeads)), facts.mixtureOfExperts,
            Double(facts.experts) / 8, facts.teraflops / 1000, facts.gigabytesPerSecond / 3000,
            facts.memoryBytes / 1e9 / 80, Double(facts.maxNumBatchedTokens) / 8192,
            Double(facts.maxNumSeqs) / 256, ratio(1, Double(facts.tensorParallelSize)),
            indicator(facts.chunkedPrefill), indicator(facts.prefixCaching), facts.cpuOffload,
        ]
    }

    /// The same entries with those on a ratio scale as natural logarithms, with 0.001 added because 0 can occur.
    public static func logarithmic(_ facts: DeploymentFacts) -> [Double] {
        zip(names, asWritten(facts)).map { name, value in
            switch name {
            case "is_moe", "chunked_prefill", "prefix_caching", "cpu_offload": value
            default: log(max(value, 0) + 1e-3)
            }
        }
    }

    /// The vector of a configuration in this embedding.
    public func vector(_ facts: DeploymentFacts) -> [Double] {
        guard similarity == .euclidean else { return Self.asWritten(facts) }
        return zip(Self.logarithmic(facts), zip(means, scales)).map { value, standard in
            standard.1 > 0 ? (value - standard.0) / standard.1 : 0
        }
    }

    /// Unnormalised logarithm of the weight of something at `centroid` for a configuration at `vector`.
    public func logWeight(_ vector: [Double], _ centroid: [Double], temperature: Double) -> Double {
        let pairs = zip(vector, centroid)
        switch similarity {
        case .euclidean:
            let squared = pairs.reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            return -ratio(squared, 2 * temperature * temperature)
        case .cosine:
            let dot = pairs.reduce(0) { $0 + $1.0 * $1.1 }
            let lengths = (vector.reduce(0) { $0 + $1 * $1 } * centroid.reduce(0) { $0 + $1 * $1 })
                .squareRoot()
            return ratio(ratio(dot, lengths), temperature)
        }
    }
}
