/// Everything that a report of one simulation needs.
public struct SimulationResult: Equatable, Sendable {
    /// The metrics.
    public var metrics = SimulationMetrics()

    // What was offered, as `vllm bench serve` names it.
    /// Model as the person named it.
    public var modelID = ""
    /// Requests of the workload, warm-up included.
    public var requests = 0
    /// Mean requests per second asked for; nil when arrivals come from a trace or all at once.
    public var requestRate: Double?
    /// Shape of the gamma-distributed gaps; 1 is Poisson.
    public var burstiness = 1.0
    /// Most requests in flight at the client; nil for no limit.
    public var maxConcurrency: Int?

    // The deployment.
    /// Accelerator as the table names it.
    public var accelerator = ""
    /// The settings that make the engine what it is, in order.
    public var engine: [Setting] = []
    /// Version of vLLM whose rules were followed.
    public var engineVersion = ""
    /// Usable KV blocks of one engine.
    public var kvBlocks = 0
    /// Tokens in a KV block.
    public var blockSize = 16
    /// Data-parallel engines.
    public var engines = 1
    /// Accelerators in all.
    public var accelerators = 1

    // What the engines did.
    /// Engine steps.
    public var steps = 0
    /// Simulated time from 0 to the last event, seconds.
    public var simulatedSeconds = 0.0
    /// Tokens that the prefix cache was asked for (vLLM's `prefix_cache_queries`); 0 when it is off.
    public var prefixCacheQueries = 0
    /// Tokens that it had (vLLM's `prefix_cache_hits`).
    public var prefixCacheHits = 0
    /// Preemptions, all requests.
    public var preemptions = 0
    /// The CPU tier of the KV cache; nil without one.
    public var offload: OffloadMetrics?
    /// Seed of every random stream.
    public var seed: UInt64 = 0

    // The oracle.
    /// Name or file of the latency model.
    public var oracle = ""
    /// How far it may be trusted for this deployment, a line each.
    public var oracleNotes: [String] = []
    /// How much of the run lay inside the oracle's training domain; nil when it has none.
    public var domain: DomainCoverage?
    /// Spread over reruns with other oracles that the training data allow; nil when not asked for.
    public var uncertainty: UncertaintyBands?
    /// What the person should know, a line each.
    public var warnings: [String] = []

    /// A result of nothing.
    public init() {}

    /// Share of steps inside the oracle's training domain; nil when it has none.
    public var inDomainShare: Double? { domain?.share }

    /// Share of the tokens asked for that the prefix cache had, 0 when it was asked for none.
    public var prefixCacheHitRate: Double {
        prefixCacheQueries > 0 ? Double(prefixCacheHits) / Double(prefixCacheQueries) : 0
    }

    /// One setting of the engine.
    public struct Setting: Equatable, Sendable {
        /// vLLM's flag without its dashes.
        public var name: String
        /// Its value as vLLM would be given it.
        public var value: String

        /// The setting `name` with `value`.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }
}
