import ServingCore

/// Queueing candidates of the `physics` set: what has to happen before a request is scheduled.
enum PhysicsQueueFeatures {
    static let all: [QueueFeature] = [
        QueueFeature("constant", "fixed wait") { _, _ in 1 },
        QueueFeature("waiting_requests", "requests ahead in the queue") { state, _ in state.depth },
        QueueFeature("running_requests", "requests in the running list: the step under way is that long") {
            state, _ in Double(state.runningRequests)
        },
        QueueFeature("sequence_slots_full", "1 when the running list is at its limit") {
            indicator($1.maxNumSeqs > 0 && $0.runningRequests >= $1.maxNumSeqs)
        },
        QueueFeature("waiting_while_slots_full", "requests ahead while the running list is at its limit") {
            indicator($1.maxNumSeqs > 0 && $0.runningRequests >= $1.maxNumSeqs) * $0.depth
        },
        QueueFeature("kv_usage", "share of KV blocks in use") { state, _ in state.kvUsageRatio },
        QueueFeature("kv_shortfall", "share of the pool that the prompt needs beyond what is free") {
            state, facts in
            let needed = ratio(Double(state.promptTokens), Double(facts.blockSize)).rounded(.up)
            let free = Double(state.kvBlocksTotal - state.kvBlocksUsed)
            return ratio(max(0, needed - free), Double(state.kvBlocksTotal))
        },
        QueueFeature("waiting_times_kv_usage", "requests ahead under KV pressure") { state, _ in
            state.depth * state.kvUsageRatio
        },
        QueueFeature("prompt_steps", "prompt tokens / tokens that fit in a step") {
            ratio(Double($0.promptTokens), $1.maxTokens)
        },
        QueueFeature("waiting_prompt_steps", "the same for everybody ahead, were they like this request") {
            $0.depth * ratio(Double($0.promptTokens), $1.maxTokens)
        },
        QueueFeature("weight_read", "seconds to read the dense weights: the least that a step takes") {
            ratio($1.denseWeightBytesPerRank, $1.memoryBandwidth)
        },
        QueueFeature("prompt_compute", "seconds of matrix work in the prompt at peak") {
            ratio(Double($0.promptTokens) * $1.flopsPerTokenPerRank, $1.peakFlops)
        },
        QueueFeature("waiting_prompt_compute", "the same for everybody ahead, were they like this request") {
            $0.depth * ratio(Double($0.promptTokens) * $1.flopsPerTokenPerRank, $1.peakFlops)
        },
    ]
}

extension FeatureSet {
    /// Physical candidates in consistent units: the default.
    public static let physics = FeatureSet(
        name: "physics", summary: "physical terms in consistent units, per tensor-parallel rank",
        step: PhysicsStepFeatures.all, queue: PhysicsQueueFeatures.all, engine: PhysicsStepFeatures.engine)

    /// The 18 + 18 candidates of BSR-ARD as written.
    public static let bsrARD = FeatureSet(
        name: "bsr-ard", summary: "the 18 alpha and 18 beta candidates of BSR-ARD, as written",
        step: BSRARDFeatures.step, queue: BSRARDFeatures.queue)

    /// The 16 + 20 candidates of RECE as written.
    public static let rece = FeatureSet(
        name: "rece", summary: "the 16 alpha and 20 beta candidates of RECE, as written",
        step: RECEFeatures.step, queue: RECEFeatures.queue)
}
