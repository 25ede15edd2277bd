import ServingCore

/// One named input of a step-time model: the single definition that trainer and simulator share.
public struct StepFeature: Sendable {
    /// Name in artifacts and reports.
    public let name: String
    /// Unit of its value.
    public let unit: String
    /// What it stands for, in one line.
    public let summary: String
    /// Its coefficients over the terms of a step, for one deployment.
    public let form: @Sendable (DeploymentFacts) -> LinearForm

    init(
        _ name: String, unit: String, _ summary: String,
        form: @escaping @Sendable (DeploymentFacts) -> LinearForm
    ) {
        self.name = name
        self.unit = unit
        self.summary = summary
        self.form = form
    }
}

/// One named input of a queueing model: a function of what a request finds at arrival.
public struct QueueFeature: Sendable {
    /// Name in artifacts and reports.
    public let name: String
    /// What it stands for, in one line.
    public let summary: String
    /// Its value.
    public let value: @Sendable (QueueState, DeploymentFacts) -> Double

    init(
        _ name: String, _ summary: String, value: @escaping @Sendable (QueueState, DeploymentFacts) -> Double
    ) {
        self.name = name
        self.summary = summary
        self.value = value
    }
}
