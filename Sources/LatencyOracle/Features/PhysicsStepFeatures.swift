import ServingCore

/// Step-time candidates with physical units: most are seconds at data-sheet rates, so that a coefficient is
/// the inverse of an efficiency; the rest are counts, whose coefficients are seconds each. All are non-negative
/// and never fall when a step does more.
enum PhysicsStepFeatures {
    static let all: [StepFeature] =
        host + weights + matrices + attention + traffic + expertTraffic + communication + transfers

    /// What measured engines take beyond their kernels, apart from a fixed time.
    static let engine: [StepFeature] = [
        StepFeature(
            "queued_weight_read", unit: "requests x s",
            "all weights of a rank / memory bandwidth, once for each request waiting, at most 256, under tensor parallelism"
        ) {
            let expertBytes = $0.expertWeightBytesPerRank * $0.expertsPerRank * Double($0.expertLayers)
            return [
                .queuedRequests: indicator($0.tensorParallelSize > 1)
                    * ratio($0.denseWeightBytesPerRank + expertBytes, $0.memoryBandwidth)
            ]
        },
        StepFeature(
            "prefill_beside_decodes", unit: "s",
            "matrix FLOPs of prefill tokens / peak, once for each decode beside them, at most 16"
        ) {
            [.prefillBesideDecodes: ratio($0.denseMatrixFlopsPerTokenPerRank, $0.peakFlops)]
        },
        StepFeature(
            "sustained_prefill", unit: "s",
            "matrix FLOPs of prefill tokens beyond 1,024 / peak: what a GPU at work for longer than a burst loses"
        ) {
            [.sustainedPrefillTokens: ratio($0.denseMatrixFlopsPerTokenPerRank, $0.peakFlops)]
        },
    ]

    private static let host: [StepFeature] = [
        StepFeature("constant", unit: "1", "fixed time of a step") { _ in [.one: 1] },
        StepFeature("running_requests", unit: "requests", "scheduler and runner work per running request") {
            _ in [.runningRequests: 1]
        },
        StepFeature("layer_launches", unit: "layers", "fixed kernel time of every layer") {
            [.one: Double($0.layers)]
        },
        StepFeature("expert_layer_launches", unit: "layers", "routing and permutation, every expert layer") {
            [.one: Double($0.expertLayers)]
        },
        StepFeature("mixed_step_layers", unit: "layers", "prefill attention kernels and piecewise graphs") {
            [.hasPrefill: Double($0.layers)]
        },
        StepFeature(
            "decode_request_layers", unit: "requests x layers", "per-request work of decode attention"
        ) {
            [.decodeRequests: Double($0.layers)]
        },
        StepFeature(
            "prefill_request_layers", unit: "requests x layers", "per-request work of prefill attention"
        ) {
            [.prefillRequests: Double($0.layers)]
        },
    ]

    private static let weights: [StepFeature] = [
        StepFeature("dense_weight_read", unit: "s", "weights outside routed experts / memory bandwidth") {
            [.one: ratio($0.denseWeightBytesPerRank, $0.memoryBandwidth)]
        },
        StepFeature("expert_weight_read", unit: "s", "weights of distinct routed experts / memory bandwidth")
        {
            [
                .distinctExperts: ratio(
                    $0.expertWeightBytesPerRank * Double($0.expertLayers), $0.memoryBandwidth)
            ]
        },
    ]

    private static let matrices: [StepFeature] = [
        StepFeature("matrix_flops", unit: "s", "matrix FLOPs of padded tokens outside routed experts / peak")
        {
            [.paddedTokens: ratio($0.denseMatrixFlopsPerTokenPerRank, $0.peakFlops)]
        },
        StepFeature("matrix_flops_above_128", unit: "s", "the same, of tokens beyond 128") {
            [.tokensAbove128: ratio($0.denseMatrixFlopsPerTokenPerRank, $0.peakFlops)]
        },
        StepFeature("matrix_flops_above_512", unit: "s", "the same, of tokens beyond 512") {
            [.tokensAbove512: ratio($0.denseMatrixFlopsPerTokenPerRank, $0.peakFlops)]
        },
        StepFeature("matrix_roofline", unit: "s", "the longer of dense weight reads and dense matrix FLOPs") {
            _ in
            [.matrixRoofline: 1]
        },
        StepFeature("expert_flops", unit: "s", "matrix FLOPs in routed experts / peak") {
            let seconds = ratio($0.routedFlopsPerTokenPerRank, $0.peakFlops)
            return [.paddedTokens: seconds, .peerTokens: seconds]
        },
        StepFeature(
            "expert_concentration", unit: "s",
            "matrix FLOPs in experts of other ranks / peak: what a rank gets more when routing favours it"
        ) {
            let seconds =
                ratio($0.routedFlopsPerTokenPerRank, $0.peakFlops)
                * Double(max(0, $0.expertParallelSize - 1))
            return [.paddedTokens: seconds, .peerTokens: seconds]
        },
        StepFeature("expert_load_spread", unit: "s", "excess FLOPs of the busiest expert / peak") {
            [
                .expertLoadSpread: ratio(
                    $0.expertFlopsPerTokenPerRank * Double($0.expertLayers), $0.peakFlops)
            ]
        },
        StepFeature("rank_load_spread", unit: "s", "excess FLOPs of the busiest expert-parallel rank / peak")
        {
            [
                .rankLoadSpread: ratio(
                    $0.expertFlopsPerTokenPerRank * Double($0.expertLayers), $0.peakFlops)
            ]
        },
        StepFeature(
            "output_projection", unit: "s", "FLOPs of the output projection of scheduled requests / peak"
        ) {
            let seconds = ratio($0.outputFlopsPerTokenPerRank, $0.attentionPeakFlops)
            return [.prefillRequests: seconds, .decodeRequests: seconds]
        },
    ]

    private static let attention: [StepFeature] = [
        StepFeature("prefill_attention", unit: "s", "attention FLOPs of prefill, windows honoured / peak") {
            split(
                .prefillAttentionPairs, .windowedPrefillPairs,
                ratio($0.attentionFlopsPerPairPerRank, $0.attentionPeakFlops), $0)
        },
        StepFeature(
            "prefill_kv_read", unit: "s", "KV bytes that prefill requests read once / memory bandwidth"
        ) {
            let seconds = ratio($0.kvBytesPerTokenPerRank, $0.memoryBandwidth)
            return [.prefillContextTokens: seconds, .prefillTokens: seconds]
        },
        StepFeature("decode_kv_read", unit: "s", "KV bytes that decode requests read / memory bandwidth") {
            split(
                .decodeContextTokens, .windowedDecodeContext,
                ratio($0.kvBytesPerTokenPerRank, $0.memoryBandwidth), $0)
        },
        StepFeature("decode_attention", unit: "s", "attention FLOPs of decode, windows honoured / peak") {
            split(
                .decodeContextTokens, .windowedDecodeContext,
                ratio($0.attentionFlopsPerPairPerRank, $0.attentionPeakFlops), $0)
        },
    ]

    private static let traffic: [StepFeature] = [
        StepFeature("residual_traffic", unit: "s", "residual stream once a layer / memory bandwidth") {
            let bytes = Double($0.layers) * Double($0.hiddenSize) * $0.activationBytes
            let seconds = ratio(bytes, $0.memoryBandwidth)
            return [.prefillTokens: seconds, .decodeRequests: seconds]
        },
        StepFeature("activation_traffic", unit: "s", "inputs and outputs of the matrices / memory bandwidth")
        {
            let widths = ratio($0.flopsPerTokenPerRank, 2 * Double($0.hiddenSize))
            let seconds = ratio(widths * $0.activationBytes, $0.memoryBandwidth)
            return [.prefillTokens: seconds, .decodeRequests: seconds]
        },
    ]

    private static let expertTraffic: [StepFeature] = [
        StepFeature(
            "expert_activation_traffic", unit: "s",
            "inputs, intermediates and outputs of routed tokens / memory bandwidth"
        ) {
            // Per routed token: gate, up and down projections read or write 3 x their width; gathering, writing and
            // adding up read or write the residual stream three times.
            guard $0.experts > 0, $0.hiddenSize > 0 else { return LinearForm() }
            let hidden = Double($0.hiddenSize)
            let widths = $0.expertFlopsPerTokenPerRank / (2 * hidden) + 3 * hidden
            let routed = Double($0.expertsPerToken) * $0.expertsPerRank / Double($0.experts)
            let bytes = routed * Double($0.expertLayers) * widths * $0.activationBytes
            let seconds = ratio(bytes, $0.memoryBandwidth)
            return [.prefillTokens: seconds, .decodeRequests: seconds, .peerTokens: seconds]
        }
    ]

    private static let communication: [StepFeature] = [
        StepFeature("all_reduce_volume", unit: "s", "two all-reduces a layer / link bandwidth") {
            let bytes = 2 * Double($0.layers) * $0.allReduceBytesPerToken
            let seconds = ratio(bytes, $0.interconnectBandwidth)
            return [.prefillTokens: seconds, .decodeRequests: seconds]
        },
        StepFeature(
            "all_reduce_beyond_pair", unit: "s",
            "all-reduce bytes of every rank beyond a pair that share host bridges"
        ) {
            // A link no faster than the host link is the host link: PCIe, not NVLink.
            let isHostLink = indicator($0.interconnectBandwidth <= 1.01 * $0.hostLinkBandwidth)
            let ranks = isHostLink * Double(max(0, $0.tensorParallelSize - 2))
            let bytes = 2 * Double($0.layers) * ranks * Double($0.hiddenSize) * $0.activationBytes
            let seconds = ratio(bytes, $0.interconnectBandwidth)
            return [.prefillTokens: seconds, .decodeRequests: seconds]
        },
        StepFeature("all_reduce_latency", unit: "s", "link latency of two all-reduces a layer") {
            [.one: indicator($0.tensorParallelSize > 1) * 2 * Double($0.layers) * $0.interconnectLatency]
        },
        StepFeature("all_reduce_hops", unit: "s", "the same, once for every further rank") {
            [.one: Double(max(0, $0.tensorParallelSize - 1)) * 2 * Double($0.layers) * $0.interconnectLatency]
        },
        StepFeature(
            "expert_all_to_all", unit: "s", "tokens sent to and from experts of other ranks / link bandwidth"
        ) {
            let ranks = Double(max(1, $0.expertParallelSize))
            let engines = Double(max(1, $0.dataParallelSize))
            // Where experts are not dealt out, every data-parallel engine gathers the tokens of all and scatters the sums.
            let sent =
                $0.expertParallelSize > 1
                ? 2 * Double($0.expertsPerToken) * (ranks - 1) / (ranks * ranks)
                : 2 * (engines - 1) / engines
            let bytes = sent * Double($0.expertLayers) * Double($0.hiddenSize) * $0.activationBytes
            let seconds = ratio(bytes, $0.interconnectBandwidth)
            return [.prefillTokens: seconds, .decodeRequests: seconds, .peerTokens: seconds]
        },
    ]

    private static let transfers: [StepFeature] = [
        StepFeature(
            "host_link_transfer", unit: "s", "KV blocks moved to and from CPU memory / host link bandwidth"
        ) {
            let seconds = ratio(
                Double($0.blockSize) * $0.kvBytesPerTokenPerRank, $0.hostLinkBandwidth)
            return [.blocksToOffload: seconds, .blocksToRestore: seconds]
        },
        StepFeature("offloaded_weight_read", unit: "s", "weights kept in CPU memory / host link bandwidth") {
            [.one: ratio($0.offloadedWeightBytesPerRank, $0.hostLinkBandwidth)]
        },
    ]

    /// `perToken` shared out between layers that attend to everything and layers with a sliding window.
    private static func split(
        _ full: StepTerm, _ windowed: StepTerm, _ perToken: Double, _ facts: DeploymentFacts
    ) -> LinearForm {
        let share = facts.slidingWindow > 0 ? min(max(facts.fullAttentionShare, 0), 1) : 1
        return [full: perToken * share, windowed: perToken * (1 - share)]
    }
}
