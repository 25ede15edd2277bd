import ServingCore

/// How a model is spread over GPUs.
public struct ParallelLayout: Sendable, Equatable {
    /// `--tensor-parallel-size`.
    public var tensorParallelSize: Int
    /// `--data-parallel-size`.
    public var dataParallelSize: Int
    /// `--enable-expert-parallel`: whole experts are dealt out over TP x DP ranks.
    public var expertParallel: Bool

    /// A layout; sizes below 1 count as 1.
    public init(tensorParallelSize: Int = 1, dataParallelSize: Int = 1, expertParallel: Bool = false) {
        self.tensorParallelSize = max(1, tensorParallelSize)
        self.dataParallelSize = max(1, dataParallelSize)
        self.expertParallel = expertParallel
    }

    /// GPUs of the deployment.
    public var gpus: Int { tensorParallelSize.multipliedReportingOverflow(by: dataParallelSize).partialValue }
}

/// One rank's share of a model: bytes it stores and reads, FLOPs it does, KV bytes it caches.
///
/// vLLM's rules: attention and perceptrons divide by TP (key-value heads no further than one per rank); latent
/// down-projections, routers and norms are replicated; routed experts divide over TP x DP, by whole experts under
/// expert parallelism and by width otherwise; everything else is replicated over DP.
public struct RankedModel: Sendable, Equatable {
    /// Bytes of all weights on a rank, a vision tower included.
    public private(set) var weightBytes = 0.0
    /// Bytes every step reads: all but routed experts and an input embedding that isn't the output projection too.
    public private(set) var denseBytes = 0.0
    /// Bytes of one routed expert in one layer on a rank; 0 for a dense model.
    public private(set) var expertBytes = 0.0
    /// Routed experts of a layer on a rank.
    public private(set) var expertsPerRank = 0.0
    /// FLOPs per token in matrix products, attention scores and output projection left out.
    public private(set) var flopsPerToken = 0.0
    /// FLOPs of the output projection per sampled token.
    public private(set) var outputFlopsPerToken = 0.0
    /// FLOPs per query-key pair, summed over layers that see the whole context (all, where none does).
    public private(set) var attentionFlopsPerPair = 0.0
    /// What each kind of layer caches.
    public private(set) var cacheLayers: [CacheLayerKind] = []
    /// Bytes of recurrent state per sequence, summed over layers.
    public private(set) var stateBytesPerSequence = 0.0
    /// Bytes that vLLM adds to the checkpoint's: absorbed latent projections kept beside the original ones.
    public private(set) var absorbedBytes = 0.0

    /// Layers that cache alike.
    public struct CacheLayerKind: Sendable, Equatable {
        /// Bytes of one token in one such layer on a rank; for a recurrent layer the bytes of its whole state.
        public var bytes: Double
        /// Number of such layers.
        public var layers: Int
        /// Which tokens are read, and so must stay cached.
        public var span: AttentionSpan
        /// Whether `bytes` is a state per sequence.
        public var isState: Bool
    }

    /// KV bytes per token on a rank, summed over all layers that cache tokens.
    public var keyValueBytesPerToken: Double {
        cacheLayers.reduce(0) { $1.isState ? $0 : $0 + $1.bytes * Double($1.layers) }
    }

    /// The share of a rank under a layout.
    /// - Parameter cacheElementBytes: bytes of one cached key or value element: 2, or 1 with an FP8 cache.
    public init(_ model: ModelArchitecture, layout: ParallelLayout, cacheElementBytes: Double) {
        let tp = Double(layout.tensorParallelSize)
        let expertRanks = tp * Double(layout.dataParallelSize)
        let plain = model.unquantizedFormat.bytesPerParameter
        let hidden = Double(model.hiddenSize)
        let packed = model.weightFormat.bytesPerParameter
        for layer in model.layers {
            let sizes = LayerParameters(layer, hiddenSize: hidden)
            var divided = sizes.mixer - sizes.replicatedMixer
            if case .attention(let attention) = layer.mixer {
                let stored = max(1, Double(attention.keyValueHeads) / tp)
                let share = stored / Double(attention.keyValueHeads) * sizes.keyValueProjections
                divided = (divided - sizes.keyValueProjections) / tp + share
            } else {
                divided /= tp
            }
            let mixer = divided + sizes.replicatedMixer
            denseBytes += mixer * (layer.quantized.contains(.mixer) ? packed : plain)
            denseBytes += sizes.feedForward / tp * (layer.quantized.contains(.feedForward) ? packed : plain)
            denseBytes += (sizes.router + sizes.norms) * plain
            flopsPerToken += 2 * (mixer + sizes.feedForward / tp + sizes.router)
            if case .experts(let mixture) = layer.feedForward {
                let one = sizes.routedExperts.all / Double(mixture.experts)
                let format = layer.quantized.contains(.experts) ? packed : plain
                let perRank: Double
                if layout.expertParallel {
                    perRank = (Double(mixture.experts) / expertRanks).rounded(.up)
                    expertBytes = one * format
                } else {
                    perRank = Double(mixture.experts)
                    expertBytes = one * format / expertRanks
                }
                expertsPerRank = perRank
                weightBytes += perRank * expertBytes
                // Tokens of all DP ranks meet the experts, which are spread as far: per own token it comes to 1 / TP.
                flopsPerToken += 2 * sizes.routedExperts.perToken / tp
            }
            addCache(layer, tp: tp, elementBytes: cacheElementBytes, plain: plain)
        }
        let rows = (Double(model.vocabularySize) / 64).rounded(.up) * 64 / tp
        let table = rows * hidden * plain
        let head = (model.quantizesOutput ? packed : plain) * rows * hidden
        denseBytes += (model.tiedEmbeddings ? table : head) + hidden * plain
        weightBytes += denseBytes + (model.tiedEmbeddings ? 0 : table)
        weightBytes += Double(model.positionTableRows) * hidden * plain
        weightBytes += model.encoderParameters * plain / tp + absorbedBytes
        outputFlopsPerToken = 2 * rows * hidden
        attentionFlopsPerPair = Self.attentionFlops(model, tp: tp)
    }

    private static func attentionFlops(_ model: ModelArchitecture, tp: Double) -> Double {
        var full = 0.0
        var windowed = 0.0
        for layer in model.layers {
            switch layer.mixer {
            case .attention(let attention):
                let flops =
                    2 * Double(attention.headSize + attention.valueHeadSize) * Double(attention.queryHeads)
                    / tp
                if attention.span == .full { full += flops } else { windowed += flops }
            case .latentAttention(let attention):
                let size = attention.unrotatedHeadSize + attention.rotaryHeadSize + attention.valueHeadSize
                full += 2 * Double(size) * Double(attention.queryHeads) / tp
            default: break
            }
        }
        return full > 0 ? full : windowed
    }

    private mutating func addCache(_ layer: DecoderLayer, tp: Double, elementBytes: Double, plain: Double) {
        switch layer.mixer {
        case .attention(let attention):
            guard !attention.sharesCache else { return }
            let heads = max(1, (Double(attention.keyValueHeads) / tp).rounded(.down))
            let elements = heads * Double(attention.headSize + attention.valueHeadSize)
            add(
                CacheLayerKind(
                    bytes: elements * elementBytes, layers: 1, span: attention.span, isState: false))
        case .latentAttention(let attention):
            let size = Double(attention.latentSize + attention.rotaryHeadSize)
            if let indexer = attention.indexer {
                // An FP8 cache of sparse latent attention keeps the rotary part and four scales unquantised.
                let bytes =
                    elementBytes < 2
                    ? Double(attention.latentSize) + 16 + 2 * Double(attention.rotaryHeadSize)
                    : size * elementBytes
                add(CacheLayerKind(bytes: bytes, layers: 1, span: .full, isState: false))
                add(CacheLayerKind(bytes: indexer.cacheBytesPerToken, layers: 1, span: .full, isState: false))
            } else {
                add(CacheLayerKind(bytes: size * elementBytes, layers: 1, span: .full, isState: false))
            }
            let headSize = Double(attention.unrotatedHeadSize + attention.valueHeadSize)
            absorbedBytes +=
                Double(attention.latentSize) * Double(attention.queryHeads) * headSize * plain / tp
        case .recurrence(let recurrence):
            let bytes =
                (recurrence.stateElements * recurrence.stateElementBytes + recurrence.convolutionElements
                    * plain) / tp
            stateBytesPerSequence += bytes
            add(CacheLayerKind(bytes: bytes, layers: 1, span: .full, isState: true))
        case .linear, .none: break
        }
    }

    private mutating func add(_ kind: CacheLayerKind) {
        for index in cacheLayers.indices
        where cacheLayers[index].bytes == kind.bytes && cacheLayers[index].span == kind.span
            && cacheLayers[index].isState == kind.isState
        {
            cacheLayers[index].layers += 1
            return
        }
        cacheLayers.append(kind)
    }
}
