import ServingCore

/// A decoder-only language model as its Hugging Face config.json describes it: dimensions, layer by layer, and how
/// its weights are stored. Nothing here depends on the GPU or the parallel layout; see `RankedModel` for that.
public struct ModelArchitecture: Sendable, Equatable {
    /// Name the person used, or the file's.
    public var name: String
    /// Name on Hugging Face, where known.
    public var repository: String?
    /// `architectures[0]`, such as `LlamaForCausalLM`; empty when the file has none.
    public var architectureClass: String
    /// `model_type`.
    public var modelType: String
    /// Width of the residual stream.
    public var hiddenSize: Int
    /// Tokens in the vocabulary.
    public var vocabularySize: Int
    /// Query heads of the attention layers.
    public var attentionHeads: Int
    /// Key-value heads of the full-attention layers (1 for latent attention).
    public var keyValueHeads: Int
    /// Size of a query or key vector (the latent and rotary parts for latent attention).
    public var headSize: Int
    /// Every layer, in order.
    public var layers: [DecoderLayer]
    /// Whether the output projection is the input embedding.
    public var tiedEmbeddings: Bool
    /// Rows of a learned position table; 0 with rotary or no position embedding.
    public var positionTableRows: Int
    /// Longest context the model is made for, rope scaling included: vLLM's derived `max_model_len`.
    public var maxPositionEmbeddings: Int
    /// Rows of the rotary table that vLLM keeps on the GPU; 0 without rotary embedding.
    public var rotaryTableRows: Int
    /// `torch_dtype` or `dtype`: `bfloat16`, `float16` or `float32`.
    public var dtype: String
    /// How the checkpoint is quantised; nil when it isn't.
    public var quantization: Quantization?
    /// Whether the output projection is quantised too.
    var quantizesOutput = false
    /// Estimated parameters of a vision or audio tower, which vLLM loads with the decoder.
    public var encoderParameters: Double

    /// Layers with softmax attention of any kind.
    public var attentionLayers: Int {
        layers.count {
            if case .attention = $0.mixer {
                true
            } else if case .latentAttention = $0.mixer {
                true
            } else {
                false
            }
        }
    }

    /// Whether attention is multi-head latent attention.
    public var usesLatentAttention: Bool {
        layers.contains { if case .latentAttention = $0.mixer { true } else { false } }
    }

    /// Whether some layers are recurrent, with a state per sequence instead of a cache per token.
    public var isRecurrentHybrid: Bool {
        layers.contains { if case .recurrence = $0.mixer { true } else { false } }
    }

    /// The widest mixture of experts of the model; nil for a dense model.
    public var mixtureOfExperts: MixtureOfExperts? {
        for layer in layers { if case .experts(let mixture) = layer.feedForward { return mixture } }
        return nil
    }

    /// Layers that route tokens to experts.
    public var expertLayers: Int {
        layers.count { if case .experts = $0.feedForward { true } else { false } }
    }

    /// Parameters of the whole model, embeddings and (estimated) vision tower included.
    public var totalParameters: Double { parameters.total + encoderParameters }

    /// Parameters that one token is multiplied with: all but the experts it isn't routed to, output projection
    /// included, input embedding left out when there is a separate one.
    public var activeParameters: Double { parameters.active }

    /// Format of most of the weights.
    public var weightFormat: WeightFormat { quantization?.format ?? unquantizedFormat }

    /// Format of everything that isn't quantised.
    var unquantizedFormat: WeightFormat {
        switch dtype {
        case "float32": .fp32
        case "float16": .fp16
        default: .bf16
        }
    }
}

/// Parameters by what becomes of them.
public struct ParameterCounts: Sendable, Equatable {
    /// All.
    public var total = 0.0
    /// Those one token is multiplied with.
    public var active = 0.0
    /// Routed experts alone.
    public var routedExperts = 0.0
    /// Input embedding.
    public var embedding = 0.0
}

extension ModelArchitecture {
    /// Counts the decoder's parameters by summing every layer's matrices, biases and norms.
    public var parameters: ParameterCounts {
        var counts = ParameterCounts()
        let hidden = Double(hiddenSize)
        for layer in layers {
            let sizes = LayerParameters(layer, hiddenSize: hidden)
            let routed = sizes.routedExperts
            counts.total += sizes.mixer + sizes.feedForward + sizes.router + sizes.norms + routed.all
            counts.active += sizes.mixer + sizes.feedForward + sizes.router + sizes.norms + routed.perToken
            counts.routedExperts += routed.all
        }
        let table = Double(vocabularySize) * hidden
        counts.embedding = table
        let positions = Double(positionTableRows) * hidden
        counts.total += table * (tiedEmbeddings ? 1 : 2) + positions + hidden
        counts.active += table + hidden
        return counts
    }
}

/// Parameters of one layer, by role.
struct LayerParameters {
    /// Token mixing: attention or recurrence.
    var mixer = 0.0
    /// Part of `mixer` that every tensor-parallel rank holds whole (latent down-projections, indexer).
    var replicatedMixer = 0.0
    /// Part of `mixer` in key and value projections, which divide by key-value heads only.
    var keyValueProjections = 0.0
    /// Dense perceptrons and shared experts.
    var feedForward = 0.0
    /// Router, replicated.
    var router = 0.0
    /// Norms and other small vectors, replicated.
    var norms = 0.0
    /// Routed experts: all of them and those of one token.
    var routedExperts = (all: 0.0, perToken: 0.0)

    init(_ layer: DecoderLayer, hiddenSize hidden: Double) {
        norms = layer.normParameters
        switch layer.mixer {
        case .none: break
        case .linear: mixer = hidden * hidden
        case .recurrence(let recurrence): mixer = recurrence.matrixParameters + recurrence.smallParameters
        case .attention(let attention):
            let queries = Double(attention.queryHeads) * Double(attention.headSize)
            let keys = Double(attention.keyValueHeads) * Double(attention.headSize)
            let values =
                attention.valuesAreKeys
                ? 0 : Double(attention.keyValueHeads) * Double(attention.valueHeadSize)
            let output = Double(attention.queryHeads) * Double(attention.valueHeadSize)
            if !attention.sharesCache { keyValueProjections = hidden * (keys + values) }
            mixer = hidden * queries * (attention.gatedOutput ? 2 : 1) + keyValueProjections + output * hidden
            if attention.inputBias { norms += queries + keys + values }
            if attention.outputBias { norms += hidden }
        case .latentAttention(let attention):
            let heads = Double(attention.queryHeads)
            let rotary = Double(attention.rotaryHeadSize)
            let latent = Double(attention.latentSize)
            let queryHead = Double(attention.unrotatedHeadSize) + rotary
            var replicated = hidden * (latent + rotary)
            var divided =
                latent * heads * (Double(attention.unrotatedHeadSize) + Double(attention.valueHeadSize))
            divided += heads * Double(attention.valueHeadSize) * hidden
            if let rank = attention.queryRank {
                replicated += hidden * Double(rank)
                divided += Double(rank) * heads * queryHead
                norms += Double(rank)
            } else {
                divided += hidden * heads * queryHead
            }
            norms += latent
            if let indexer = attention.indexer {
                let width = Double(indexer.heads) * Double(indexer.headSize)
                replicated += (attention.queryRank.map(Double.init) ?? hidden) * width
                replicated += hidden * (Double(indexer.headSize) + Double(indexer.heads))
                norms += 2 * Double(indexer.headSize)
            }
            replicatedMixer = replicated
            mixer = replicated + divided
        }
        switch layer.feedForward {
        case .none: break
        case .linear: feedForward = hidden * hidden
        case .dense(let perceptron):
            feedForward = perceptron.matrixParameters(size: hidden)
            norms += perceptron.biasParameters(size: hidden)
        case .experts(let mixture):
            let size = mixture.latentSize.map(Double.init) ?? hidden
            let one = mixture.expert.matrixParameters(size: size) + mixture.expert.biasParameters(size: size)
            routedExperts = (one * Double(mixture.experts), one * Double(mixture.expertsPerToken))
            router = hidden * Double(mixture.experts)
            if mixture.sharedGate { router += hidden }
            if mixture.latentSize != nil { feedForward += 2 * hidden * size }
            for perceptron in [mixture.shared, mixture.parallelDense].compactMap({ $0 }) {
                feedForward += perceptron.matrixParameters(size: hidden)
                norms += perceptron.biasParameters(size: hidden)
            }
        }
    }
}
