import ServingCore

/// Which deployments a specialised model serves; nil matches anything.
public struct ModelScope: Codable, Hashable, Sendable, CustomStringConvertible {
    /// Model name.
    public var model: String?
    /// Accelerator name.
    public var accelerator: String?
    /// Weight format.
    public var weightFormat: String?
    /// Tensor-parallel ranks.
    public var tensorParallelSize: Int?
    /// Expert-parallel ranks.
    public var expertParallelSize: Int?
    /// Whether the model is a mixture of experts.
    public var mixtureOfExperts: Bool?

    /// Any deployment.
    public init() {}

    /// Deployments of dense models, or of mixtures of experts, on one accelerator in one weight format.
    public init(accelerator facts: DeploymentFacts) {
        accelerator = facts.acceleratorName
        weightFormat = Self.arithmetic(facts.weightFormat)
        mixtureOfExperts = facts.experts > 0
    }

    /// Both 16-bit formats run the same kernels at the same rate.
    private static func arithmetic(_ format: String) -> String { format == "fp16" ? "bf16" : format }

    /// Deployments of one model under one parallel layout, whatever the engine's limits.
    public init(configuration facts: DeploymentFacts) {
        self.init(accelerator: facts)
        mixtureOfExperts = nil
        model = facts.modelName
        tensorParallelSize = facts.tensorParallelSize
        expertParallelSize = facts.expertParallelSize
    }

    enum CodingKeys: String, CodingKey {
        case model, accelerator
        case weightFormat = "weight_format"
        case tensorParallelSize = "tensor_parallel_size"
        case expertParallelSize = "expert_parallel_size"
        case mixtureOfExperts = "mixture_of_experts"
    }

    /// Whether a deployment is among them.
    public func matches(_ facts: DeploymentFacts) -> Bool {
        (model == nil || model == facts.modelName)
            && (accelerator == nil || accelerator == facts.acceleratorName)
            && (weightFormat == nil || weightFormat == Self.arithmetic(facts.weightFormat))
            && (tensorParallelSize == nil || tensorParallelSize == facts.tensorParallelSize)
            && (expertParallelSize == nil || expertParallelSize == facts.expertParallelSize)
            && (mixtureOfExperts == nil || mixtureOfExperts == (facts.experts > 0))
    }

    /// How many conditions it sets.
    var conditions: Int {
        [
            model != nil, accelerator != nil, weightFormat != nil, tensorParallelSize != nil,
            expertParallelSize != nil, mixtureOfExperts != nil,
        ].count { $0 }
    }

    /// The conditions that are set, in short.
    public var description: String {
        var parts: [String] = []
        if let model { parts.append(model) }
        if let accelerator { parts.append(accelerator) }
        if let tensorParallelSize { parts.append("tp\(tensorParallelSize)") }
        if let expertParallelSize, expertParallelSize > 1 { parts.append("ep\(expertParallelSize)") }
        if let weightFormat { parts.append(weightFormat) }
        if let mixtureOfExperts { parts.append(mixtureOfExperts ? "mixture of experts" : "dense") }
        return parts.isEmpty ? "any deployment" : parts.joined(separator: "/")
    }
}

/// A model of its own for some deployments.
public struct ScopedStepModel: Codable, Equatable, Sendable {
    /// Which.
    public var scope: ModelScope
    /// Their model.
    public var model: StepModel

    /// A model for a scope.
    public init(scope: ModelScope, model: StepModel) {
        self.scope = scope
        self.model = model
    }
}

extension StepModel {
    /// The most specific model for a deployment, and its scope; this model itself where no scope matches. A model that does
    /// not say where its training data lay takes the domain of the next less specific one that does.
    public func specialised(for facts: DeploymentFacts) -> (model: StepModel, scope: ModelScope?) {
        var best: ScopedStepModel?
        var domain: (conditions: Int, value: TrainingDomain)?
        for candidate in specialised ?? [] where candidate.scope.matches(facts) {
            let conditions = candidate.scope.conditions
            if conditions > best?.scope.conditions ?? -1 { best = candidate }
            if let own = candidate.model.domain, conditions > domain?.conditions ?? -1 {
                domain = (conditions, own)
            }
        }
        guard let best else { return (self, nil) }
        var model = best.model
        model.domain = model.domain ?? domain?.value ?? self.domain
        return (model, best.scope)
    }
}
