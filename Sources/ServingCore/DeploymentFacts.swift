/// Everything about a deployment that a step-time feature may read: one model on one GPU type under one
/// parallel layout and one set of engine limits. Constant during a run.
///
/// `Catalog` derives it from config.json, the accelerator table and vLLM's flags; the trainer reads it from a
/// trace's configuration. "Per rank" means per GPU of the tensor-parallel group.
public struct DeploymentFacts: Equatable, Sendable, Codable {
    // Names, for grouping and messages only: no feature reads them.
    /// Model as the person named it.
    public var modelName = ""
    /// Accelerator as the table names it.
    public var acceleratorName = ""
    /// Arithmetic and weight format: `bf16`, `fp8`, `int4`, `mxfp4`, `nvfp4`.
    public var weightFormat = "bf16"

    // Model.
    /// Width of the residual stream.
    public var hiddenSize = 0
    /// Transformer layers.
    public var layers = 0
    /// Query heads.
    public var attentionHeads = 0
    /// Key-value heads (query heads for multi-head attention, 1 for multi-query and MLA).
    public var keyValueHeads = 0
    /// Size of one attention head.
    public var headSize = 0
    /// Rows of the output projection.
    public var vocabularySize = 0
    /// Routed experts per mixture-of-experts layer; 0 for a dense model.
    public var experts = 0
    /// Routed experts that each token uses; 0 for a dense model.
    public var expertsPerToken = 0
    /// Mixture-of-experts layers; 0 for a dense model.
    public var expertLayers = 0
    /// Parameters of the whole model.
    public var totalParameters = 0.0
    /// Parameters that one token is multiplied with (all of a dense model; shared and chosen experts of a MoE).
    public var activeParameters = 0.0

    // Work and bytes, per rank.
    /// Bytes of weights that every step reads whatever its tokens: all but routed experts and the input embedding.
    public var denseWeightBytesPerRank = 0.0
    /// Bytes of one routed expert in one layer, as stored on a rank.
    public var expertWeightBytesPerRank = 0.0
    /// Routed experts of a layer stored on a rank (all of them under TP, a share under EP).
    public var expertsPerRank = 0.0
    /// Matrix FLOPs per token and rank, attention scores left out, output projection left out.
    public var flopsPerTokenPerRank = 0.0
    /// FLOPs of the output projection per sampled token and rank.
    public var outputFlopsPerTokenPerRank = 0.0
    /// Attention FLOPs per query-key pair and rank, summed over full-attention layers.
    public var attentionFlopsPerPairPerRank = 0.0
    /// KV-cache bytes per token and rank, summed over all layers that cache.
    public var kvBytesPerTokenPerRank = 0.0
    /// Share of those bytes in layers that attend to the whole context (1 without sliding windows).
    public var fullAttentionShare = 1.0
    /// Window of the other layers, in tokens; 0 when there are none.
    public var slidingWindow = 0
    /// Bytes of one activation element, for communication.
    public var activationBytes = 2.0

    // Accelerator, per GPU.
    /// Dense FLOP/s in the weight format's arithmetic.
    public var peakFlops = 0.0
    /// Dense FLOP/s in the 16-bit arithmetic of attention and the output projection; 0 stands for `peakFlops`.
    public var activationPeakFlops = 0.0
    /// Memory bandwidth, bytes/s.
    public var memoryBandwidth = 0.0
    /// Memory size, bytes.
    public var memoryBytes = 0.0
    /// GPU-to-GPU bandwidth in one direction inside a node, bytes/s.
    public var interconnectBandwidth = 0.0
    /// Latency of one GPU-to-GPU message, seconds.
    public var interconnectLatency = 0.0
    /// Host link (PCIe or C2C) bandwidth in one direction, bytes/s.
    public var hostLinkBandwidth = 0.0

    // Parallel layout.
    /// Tensor-parallel ranks.
    public var tensorParallelSize = 1
    /// Data-parallel replicas.
    public var dataParallelSize = 1
    /// Expert-parallel ranks (1 when experts are split by tensor parallelism).
    public var expertParallelSize = 1

    // Engine limits.
    /// `--max-num-batched-tokens`.
    public var maxNumBatchedTokens = 8192
    /// `--max-num-seqs`.
    public var maxNumSeqs = 1024
    /// `--max-model-len`.
    public var maxModelLen = 0
    /// `--block-size`, tokens per KV block.
    public var blockSize = 16
    /// Usable KV blocks (the null block left out); 0 when unknown.
    public var kvBlocks = 0
    /// `--enable-chunked-prefill`.
    public var chunkedPrefill = true
    /// `--enable-prefix-caching`.
    public var prefixCaching = true
    /// `--async-scheduling`.
    public var asyncScheduling = true
    /// Whether KV blocks are offloaded to CPU memory.
    public var kvOffload = false
    /// Bytes of weights kept in host memory and read over the host link in every step, per rank (`--cpu-offload-gb`).
    public var offloadedWeightBytesPerRank = 0.0
    /// Token counts with a captured CUDA graph, ascending; empty with `--enforce-eager`.
    public var cudaGraphSizes: [Int] = []

    /// Facts of nothing in particular; fill in what is known.
    public init() {}
}
