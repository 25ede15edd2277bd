import Engine
import LatencyOracle
import ServingCore

/// Which value of a step's distribution the clock takes: `--latency`.
public enum LatencyMode: Equatable, Sendable {
    /// The mean, in every step.
    case mean
    /// The median, in every step.
    case median
    /// A draw, new in every step.
    case sample
    /// The quantile at this probability, in every step.
    case quantile(Double)
}

/// Everything that a run needs beside its requests.
public struct SimulationConfiguration: Sendable {
    /// Limits and policies of each engine.
    public var scheduler: SchedulerConfiguration
    /// Moves the clock.
    public var oracle: CompiledOracle
    /// How it is asked.
    public var latency = LatencyMode.mean
    /// Engines in all: those of every replica, which share the replica's requests by vLLM's internal load balancer.
    public var engines = 1
    /// Whether the engines of a replica step in lockstep, as those of a mixture of experts do under data parallelism.
    public var isLockstep = false
    /// Servers behind a router; divides `engines`.
    public var replicas = 1
    /// How the router chooses a replica.
    public var router = RoutingPolicy.roundRobin
    /// What copies to and from host memory take; read only if the scheduler has `offload`. Nil: no time at all.
    public var hostLink: HostLinkConfiguration?
    /// Seed of every random stream.
    public var seed: UInt64 = 0
    /// Nothing happens after this moment; requests still alive then are reported as unfinished.
    public var horizon: Ticks = .max
    /// What to measure.
    public var metrics = MetricsConfiguration()
    /// Whether records of requests are handed out.
    public var collectsRecords = false
    /// Whether steps are handed out.
    public var collectsSteps = false
    /// Whether a sample of the steps is held against the oracle's training domain.
    public var checksDomain = false

    /// One engine asked for mean step times.
    public init(scheduler: SchedulerConfiguration, oracle: CompiledOracle) {
        self.scheduler = scheduler
        self.oracle = oracle
    }
}

/// One engine step of a run.
public struct StepRecord: Equatable, Sendable {
    /// Data-parallel engine.
    public var engine = 0
    /// Number of the step in its engine, from 0; steps without tokens have none.
    public var index = 0
    /// When `schedule()` was called for it.
    public var scheduled: Ticks = 0
    /// When the accelerators began it.
    public var start: Ticks = 0
    /// When they had finished it.
    public var end: Ticks = 0
    /// What the oracle said it takes, before rounding to ticks.
    public var seconds = 0.0
    /// What it computed.
    public var state = StepState()
    /// Whether copies to or from host memory were asked for in it.
    var beganTransfers = false

    /// An empty step.
    public init() {}

    /// Takes the place of the step that was here before.
    @inline(__always)
    mutating func launch(
        _ state: borrowing StepState, engine: Int, index: Int, scheduled: Ticks, start: Ticks, end: Ticks,
        seconds: Double,
        beganTransfers: Bool
    ) {
        self.engine = engine
        self.index = index
        self.seconds = seconds
        self.state = copy state
        launch(scheduled: scheduled, start: start, end: end, beganTransfers: beganTransfers)
    }

    /// The same for a step without tokens, which nobody sees.
    @inline(__always)
    mutating func launch(scheduled: Ticks, start: Ticks, end: Ticks, beganTransfers: Bool) {
        self.scheduled = scheduled
        self.start = start
        self.end = end
        self.beganTransfers = beganTransfers
    }
}
