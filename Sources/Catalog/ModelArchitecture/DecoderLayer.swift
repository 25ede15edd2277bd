/// One layer of a decoder: how it mixes tokens and how it transforms each of them.
public struct DecoderLayer: Sendable, Equatable {
    /// How tokens see each other.
    public var mixer: TokenMixer
    /// What happens to each token by itself.
    public var feedForward: FeedForward
    /// Scale vectors of normalisation layers and the like: parameters outside any matrix product.
    public var normParameters: Double
    /// Which of its matrices the checkpoint stores quantised.
    public var quantized: QuantizedParts = []
}

/// The matrices of a layer that a checkpoint stores quantised.
public struct QuantizedParts: OptionSet, Sendable {
    /// Bits.
    public let rawValue: UInt8
    /// The parts whose bits are set.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Token mixing.
    public static let mixer = QuantizedParts(rawValue: 1)
    /// Dense perceptrons and shared experts.
    public static let feedForward = QuantizedParts(rawValue: 2)
    /// Routed experts.
    public static let experts = QuantizedParts(rawValue: 4)
}

/// How a layer mixes tokens.
public enum TokenMixer: Sendable, Equatable {
    /// Softmax attention with a key and a value vector per cached token and key-value head.
    case attention(Attention)
    /// Multi-head latent attention (DeepSeek-V2): one latent vector per token, shared by all heads.
    case latentAttention(LatentAttention)
    /// A recurrence with a state of fixed size per sequence (Mamba-2, gated delta net).
    case recurrence(Recurrence)
    /// One matrix in place of attention (pruned models).
    case linear
    /// Nothing.
    case none
}

/// Which earlier tokens an attention layer reads.
public enum AttentionSpan: Sendable, Equatable {
    /// All of them.
    case full
    /// The last so many.
    case sliding(Int)
    /// Those of the current chunk of so many (Llama 4).
    case chunked(Int)

    /// Most tokens that one query can read; nil for all.
    public var window: Int? {
        switch self {
        case .full: nil
        case .sliding(let tokens), .chunked(let tokens): tokens
        }
    }
}

/// Dimensions of multi-head, grouped-query or multi-query attention.
public struct Attention: Sendable, Equatable {
    /// Query heads.
    public var queryHeads: Int
    /// Key-value heads.
    public var keyValueHeads: Int
    /// Size of a query or key vector.
    public var headSize: Int
    /// Size of a value vector.
    public var valueHeadSize: Int
    /// Which tokens it reads.
    public var span = AttentionSpan.full
    /// Whether queries, keys and values have a bias.
    public var inputBias = false
    /// Whether the output projection has a bias.
    public var outputBias = false
    /// Whether the output is gated by a second projection as wide as the queries (Qwen3.5).
    public var gatedOutput = false
    /// Whether values are the keys, so that there is no value projection (Gemma 4's full layers).
    public var valuesAreKeys = false
    /// Whether it reads the cache of an earlier layer instead of its own.
    public var sharesCache = false
}

/// Dimensions of multi-head latent attention.
public struct LatentAttention: Sendable, Equatable {
    /// Query heads.
    public var queryHeads: Int
    /// Rank of the query projection; nil when it is not factored.
    public var queryRank: Int?
    /// Size of the cached latent vector, without its rotary part.
    public var latentSize: Int
    /// Size of the head without rotary embedding.
    public var unrotatedHeadSize: Int
    /// Size of the rotary part, shared by all heads and cached beside the latent vector.
    public var rotaryHeadSize: Int
    /// Size of a value vector.
    public var valueHeadSize: Int
    /// The indexer that picks the tokens to read (DeepSeek-V3.2); nil when all are read.
    public var indexer: SparseIndexer?
}

/// The indexer of DeepSeek's sparse attention: it scores every cached token and attention reads the best.
public struct SparseIndexer: Sendable, Equatable {
    /// Heads of the indexer.
    public var heads: Int
    /// Size of one; the cache keeps one key of this size per token, in FP8 with a float32 scale per 128 values.
    public var headSize: Int
    /// Tokens that attention reads at most.
    public var topTokens: Int

    /// Bytes of the indexer's key cache per token.
    var cacheBytesPerToken: Double { Double(headSize) + 4 * (Double(headSize) / 128).rounded(.up) }
}

/// Sizes of a recurrent layer.
public struct Recurrence: Sendable, Equatable {
    /// Parameters of its input and output projections: what is multiplied with each token.
    public var matrixParameters: Double
    /// Other parameters (convolution, decay, norms).
    public var smallParameters: Double
    /// Elements of the recurrent state of one sequence.
    public var stateElements: Double
    /// Bytes of one such element.
    public var stateElementBytes: Double
    /// Elements of the convolution state of one sequence, in the model's dtype.
    public var convolutionElements: Double
    /// Heads that tensor parallelism divides.
    public var heads: Int
}

/// What happens to each token by itself.
public enum FeedForward: Sendable, Equatable {
    /// Nothing.
    case none
    /// One matrix (pruned models).
    case linear
    /// A dense multi-layer perceptron.
    case dense(Perceptron)
    /// Routed experts, possibly beside dense ones.
    case experts(MixtureOfExperts)
}

/// A two-layer perceptron.
public struct Perceptron: Sendable, Equatable {
    /// Width of its hidden layer.
    public var width: Int
    /// Whether a gate doubles the first matrix (SwiGLU).
    public var gated: Bool
    /// Whether both matrices have a bias.
    public var bias = false

    /// Parameters of the matrices between vectors of `size` elements.
    func matrixParameters(size: Double) -> Double { (gated ? 3 : 2) * size * Double(width) }
    /// Parameters of the biases.
    func biasParameters(size: Double) -> Double { bias ? (gated ? 2 : 1) * Double(width) + size : 0 }
}

/// A mixture of experts.
public struct MixtureOfExperts: Sendable, Equatable {
    /// Routed experts.
    public var experts: Int
    /// Routed experts that each token uses.
    public var expertsPerToken: Int
    /// One routed expert.
    public var expert: Perceptron
    /// Size of the vectors that experts see; nil when it is the hidden size (Nemotron 3 projects down first).
    public var latentSize: Int?
    /// What every token passes besides: shared experts as one perceptron.
    public var shared: Perceptron?
    /// Whether the shared expert has a gate of its own (Qwen2-MoE).
    public var sharedGate = false
    /// A dense perceptron beside the experts (Gemma 4).
    public var parallelDense: Perceptron?
}
