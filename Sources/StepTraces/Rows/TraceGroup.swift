import ServingCore

/// One deployment that rows come from: same model, GPU, parallel layout and engine flags.
public struct TraceGroup: Equatable, Sendable {
    /// What reports call it: the configuration in short, or the folder's name.
    public var name: String
    /// What the trace, the files beside it, its folder's name and the flags say.
    public var configuration: TraceConfiguration
    /// Inputs of configuration features, when the trace carries them (native traces do).
    public var facts: DeploymentFacts?

    /// A deployment called `name`.
    public init(name: String, configuration: TraceConfiguration = .init(), facts: DeploymentFacts? = nil) {
        self.name = name
        self.configuration = configuration
        self.facts = facts
    }
}
