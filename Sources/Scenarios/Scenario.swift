import Catalog
import LatencyOracle
import ServingCore
import Simulation
import Workload

/// Everything that a run needs, as a person states it: the deployment, the load, the oracle and what to measure.
public struct Scenario: Sendable {
    /// Where requests come from.
    public enum Load: Sendable {
        /// Prompts and outputs of random length, as `vllm bench serve --dataset-name random` sends them.
        case random(RandomLengths)
        /// A workload by name or path.
        case workload(String)
        /// A specification in YAML, and what messages call it.
        case specification(yaml: String, source: String)
        /// A trace file.
        case trace(path: String, options: TraceOptions)
    }

    /// Lengths of the random load.
    public struct RandomLengths: Sendable, Equatable {
        /// Prompt tokens.
        public var inputLength = 1024
        /// Output tokens.
        public var outputLength = 128
        /// Share by which lengths vary uniformly.
        public var rangeRatio = 0.0
        /// Tokens that all prompts begin with, on top of the others.
        public var prefixLength = 0

        /// Lengths of 1024 and 128.
        public init() {}
    }

    /// vLLM's flags; `engine.model` names the model.
    public var engine = EngineConfiguration()
    /// Accelerator name or file.
    public var gpu: String?
    /// Servers of this deployment behind a router, each on GPUs of its own.
    public var replicas = 1
    /// How the router chooses one.
    public var router = RoutingPolicy.roundRobin
    /// Release whose rules apply.
    public var engineVersion = EngineVersion.latest
    /// Requests to send.
    public var load = Load.random(RandomLengths())
    /// What `vllm bench serve`'s flags change about them.
    public var loadRequest = LoadRequest()
    /// Seconds after sending at which a client gives up; nil for the load's own.
    public var clientTimeout: Double?
    /// Name or file of the latency oracle; `auto` takes the one for the accelerator, and `{model}` in a path stands for
    /// the model's name.
    public var oracle = OracleCatalog.automatic
    /// Ingredients of the forecast that are left out, to see what they buy.
    public var without: Set<Ingredient> = []
    /// Which value of a step's distribution the clock takes.
    public var latency = LatencyMode.mean
    /// Seed of every random stream.
    public var seed: UInt64 = 0
    /// Limits for goodput.
    public var objectives = ServiceLevelObjectives()
    /// What to leave out of the metrics.
    public var warmUp = WarmUp.none
    /// Percentiles to report.
    public var percentiles: [Double] = [50, 90, 95, 99]
    /// Simulated seconds after which the run is cut; nil for none.
    public var horizon: Double?
    /// Bytes of host memory; nil if unknown. Offloading that needs more is refused.
    public var hostMemory: Double?
    /// Whether every request is visited in every step.
    public var exactSteps = false
    /// Reruns with other oracles that the training data allow, for bands; 0 for none.
    public var uncertaintyReruns = 0

    /// More servers than any fleet, few enough to be simulated.
    public static let mostReplicas = 1024

    /// A scenario that lacks a model and an accelerator.
    public init() {}

    /// Resolves names and flags, plans memory and loads what is to be sent.
    /// - Parameter given: takes the place of the oracle that the scenario names.
    /// - Throws: `InvalidInput` for whatever is missing, unknown, or refused by vLLM.
    public func prepare(shipped: ShippedFiles, oracle given: StepTimeOracle? = nil) throws -> PreparedScenario
    {
        guard let gpu else {
            throw InvalidInput(
                .usage, field: "--gpu", "is missing", accepted: "a name that `stepcast gpus` lists, or a path"
            )
        }
        var engine = engine
        if without.contains(.asyncScheduling) { engine.asyncScheduling = false }
        if without.contains(.prefixCaching) { engine.enablePrefixCaching = false }
        let deployment = try Deployment(engine, gpu: gpu, version: engineVersion, shipped: shipped)
        var stream = try requests(shipped: shipped)
        if let clientTimeout { stream.clientTimeout = Ticks(seconds: clientTimeout) }
        var named = self
        let oracle: StepTimeOracle
        if let given {
            oracle = given
        } else {
            let catalog = OracleCatalog(shipped)
            if named.oracle == OracleCatalog.automatic {
                named.oracle = catalog.name(forAccelerator: deployment.accelerator.name)
            }
            named.oracle = named.oracle.replacing("{model}", with: deployment.model.name)
            oracle = try catalog.oracle(named.oracle)
        }
        return try named.prepare(deployment: deployment, oracle: oracle, requests: stream)
    }

    /// The requests from the first.
    /// - Throws: `InvalidInput` for an unknown workload or a damaged file.
    public func requests(shipped: ShippedFiles) throws -> RequestStream {
        switch load {
        case .random(let lengths):
            return try loadRequest.randomStream(
                inputLength: lengths.inputLength, outputLength: lengths.outputLength,
                rangeRatio: lengths.rangeRatio, prefixLength: lengths.prefixLength, seed: seed)
        case .workload(let name):
            let path = try WorkloadCatalog(folder: shipped.path("workloads")).path(of: name)
            return try loadRequest.stream(contentsOf: path, seed: seed)
        case .specification(let yaml, let source):
            return try loadRequest.stream(specification: yaml, source: source, seed: seed)
        case .trace(let path, let options):
            return try loadRequest.stream(contentsOf: path, trace: options, seed: seed)
        }
    }

    /// The rest of `prepare` for a deployment, an oracle and requests already at hand.
    public func prepare(
        deployment: Deployment, oracle: StepTimeOracle, requests: RequestStream
    ) throws -> PreparedScenario {
        let resolved = deployment.engine
        var facts = deployment.facts()
        if without.contains(.cudaGraphPadding) { facts.cudaGraphSizes = [] }
        let used = try without.isEmpty ? oracle : oracle.without(without, facts)
        try deployment.checkHostMemory(hostMemory)
        let enginesPerReplica = resolved.layout.dataParallelSize
        let isLockstep = enginesPerReplica > 1 && facts.experts > 0
        if isLockstep, resolved.kvOffload != nil {
            throw InvalidInput(
                .usage, field: "--data-parallel-size", value: "\(enginesPerReplica)",
                "is not modelled for a mixture of experts with KV offload", accepted: "1")
        }
        guard (1...Self.mostReplicas).contains(replicas), replicas * enginesPerReplica <= 1 << 16 else {
            throw InvalidInput(
                .usage, field: "--replicas", value: "\(replicas)", "is out of range",
                accepted: "1 to \(Self.mostReplicas), and at most 65536 engines in all")
        }
        let engines = replicas * enginesPerReplica
        var configuration = SimulationConfiguration(
            scheduler: resolved.schedulerConfiguration(numBlocks: facts.kvBlocks + 1),
            oracle: try used.compile(for: facts))
        configuration.scheduler.exactSteps = exactSteps
        configuration.scheduler.offload = try deployment.offloadConfiguration(facts)
        if configuration.scheduler.offload != nil { configuration.hostLink = deployment.hostLink(facts) }
        configuration.latency = latency
        configuration.engines = engines
        configuration.isLockstep = isLockstep
        configuration.replicas = replicas
        configuration.router = router
        configuration.seed = seed
        configuration.horizon = horizon.map { Ticks(seconds: $0) } ?? .max
        configuration.metrics.percentiles = percentiles
        configuration.metrics.objectives = objectives
        configuration.metrics.warmUp = warmUp
        configuration.metrics.engines = engines
        configuration.checksDomain = true
        return PreparedScenario(
            scenario: self, deployment: deployment, facts: facts, oracle: used,
            configuration: configuration, requests: requests, oracleNotes: used.notes(for: facts))
    }
}
