import LatencyOracle
import ServingCore

/// A part of the forecast that can be left out, to see how much worse it gets.
public enum Ingredient: String, Sendable, CaseIterable {
    /// Composing a step while the one before runs.
    case asyncScheduling = "async-scheduling"
    /// Finding prompts in the KV cache.
    case prefixCaching = "prefix-caching"
    /// The engine's own work on the CPU.
    case hostTime = "host-time"
    /// Rounding batches up to a captured CUDA graph.
    case cudaGraphPadding = "cuda-graph-padding"
    /// Reading only the experts that a batch needs; without it every step reads all of them.
    case activeExperts = "active-experts"
    /// The API server's work before a request is queued.
    case arrival = "alpha"
    /// The way of tokens back to the client.
    case post = "post"
}

extension StepTimeOracle {
    /// The oracle without some ingredients, for the deployment of these facts.
    /// - Throws: `InvalidInput` when what is left is not a valid oracle.
    func without(_ ingredients: Set<Ingredient>, _ facts: DeploymentFacts) throws -> StepTimeOracle {
        var artifact = artifact
        if ingredients.contains(.arrival) { artifact.arrival = nil }
        if ingredients.contains(.post) { artifact.post = nil }
        var model = artifact.step.specialised(for: facts).model
        func remove(_ feature: String) -> Double {
            guard let index = model.coefficients.firstIndex(where: { $0.feature == feature }) else {
                return 0
            }
            return model.coefficients.remove(at: index).value
        }
        if ingredients.contains(.hostTime) {
            artifact.host = nil
            for feature in ["constant", "running_requests"] { _ = remove(feature) }
        }
        if ingredients.contains(.activeExperts), facts.memoryBandwidth > 0 {
            let bytes = facts.expertWeightBytesPerRank * facts.expertsPerRank * Double(facts.expertLayers)
            let seconds = remove("expert_weight_read") * bytes / facts.memoryBandwidth + remove("constant")
            model.coefficients.append(Coefficient(feature: "constant", value: seconds))
        }
        model.specialised = nil
        artifact.step = model
        return try StepTimeOracle(artifact: artifact)
    }
}
