import Engine
import LatencyOracle
import ServingCore
import Simulation
import Workload

/// Random deployments and loads, and everything that anybody can see of their simulation.
///
/// `Benchmarks` has a link to this file: there they run in a release build, by the thousand.
enum RandomScenarios {
    struct Outcome: Equatable {
        var result: SimulationResult
        var records: [RequestRecord]
        var steps: [StepRecord]
    }

    static func facts() -> DeploymentFacts {
        var facts = DeploymentFacts()
        facts.hiddenSize = 4096
        facts.layers = 32
        facts.attentionHeads = 32
        facts.keyValueHeads = 8
        facts.headSize = 128
        facts.vocabularySize = 128_256
        facts.totalParameters = 8e9
        facts.activeParameters = 8e9
        facts.denseWeightBytesPerRank = 15e9
        facts.flopsPerTokenPerRank = 14e9
        facts.outputFlopsPerTokenPerRank = 1e9
        facts.attentionFlopsPerPairPerRank = 524_288
        facts.kvBytesPerTokenPerRank = 131_072
        facts.peakFlops = 989e12
        facts.memoryBandwidth = 3.35e12
        facts.memoryBytes = 80e9
        facts.interconnectBandwidth = 450e9
        facts.interconnectLatency = 1e-5
        facts.hostLinkBandwidth = 64e9
        return facts
    }

    static func run(_ configuration: SimulationConfiguration, _ load: WorkloadSpecification, timeout: Double?)
        throws -> Outcome
    {
        var configuration = configuration
        configuration.collectsRecords = true
        configuration.collectsSteps = true
        var load = load
        load.clientTimeout = timeout
        var run = try SimulationRun(configuration, requests: RequestStream(load, seed: configuration.seed))
        while try run.advance(events: 10_000) {}
        let result = run.finish()
        return Outcome(result: result, records: run.takeRecords(), steps: run.takeSteps())
    }

    /// A random deployment and load, with every feature on at some seed.
    static func scenario(_ seed: UInt64) throws -> (SimulationConfiguration, WorkloadSpecification, Double?) {
        var random = RandomStream(seed: seed, purpose: "scenario")
        func pick<T>(_ values: [T]) -> T { values[Int(random.uniform() * Double(values.count))] }
        let length = pick([256, 512, 1024])
        var scheduler = SchedulerConfiguration(
            maxNumBatchedTokens: pick([64, 256, 2048]), maxNumSeqs: pick([4, 16, 64]),
            blockSize: pick([16, 32]),
            numBlocks: length / 16 + 2 + pick([0, 20, 200, 5000]), maxModelLen: length)
        scheduler.enableChunkedPrefill = pick([true, true, false])
        if !scheduler.enableChunkedPrefill { scheduler.maxNumBatchedTokens = max(2048, length) }
        scheduler.enablePrefixCaching = pick([true, true, false])
        scheduler.longPrefillTokenThreshold = pick([0, 0, 40])
        scheduler.policy = pick([.fcfs, .fcfs, .priority])
        scheduler.asyncScheduling = pick([true, false])
        scheduler.schedulerReserveFullISL = pick([true, false])
        scheduler.version = pick([.v032, .v032, .v015])
        scheduler.watermark = pick([0, 0.05])
        scheduler.checksInvariants = seed % 8 == 0
        var configuration = SimulationConfiguration(
            scheduler: scheduler, oracle: try StepTimeOracle.roofline.compile(for: facts()))
        configuration.seed = seed
        // The slowest take some minutes of simulated time.
        configuration.horizon = Ticks(seconds: 600)
        configuration.latency = pick([.mean, .median, .sample, .quantile(0.9)])
        configuration.engines = pick([1, 1, 1, 3])
        if pick([true, false, false, false, false]) {
            var offload = OffloadConfiguration(cpuChunks: pick([8, 200]))
            offload.evictionPolicy = pick([.lru, .arc])
            configuration.scheduler.offload = offload
            configuration.hostLink = HostLinkConfiguration(bandwidth: 2e9, bytesPerBlock: 2_097_152)
        }

        var load = WorkloadSpecification()
        load.arrivals = ArrivalProcess(rate: pick([.steady(2), .steady(40), .infinite]))
        load.numPrompts = 80
        load.maxConcurrency = pick([nil, nil, 5])
        var requests = RequestClass()
        requests.inputLength = Distribution(.uniform(low: 1, high: Double(length) * 0.6))
        requests.outputLength = Distribution(.uniform(low: 1, high: Double(length) * 0.3))
        requests.priorities = pick([[:], [0: 1, 5: 1]])
        if pick([true, false]) {
            var prefix = SharedPrefix()
            prefix.groups = 3
            prefix.length = .constant(pick([16, 45]))
            requests.sharedPrefix = prefix
        }
        if pick([true, false]) {
            var turns = MultiTurn()
            turns.turns = Distribution(.uniform(low: 1, high: 4))
            turns.thinkTime = Distribution(.constant(0.1), minimum: 0, maximum: 10)
            requests.multiTurn = turns
            requests.inputLength = Distribution(.uniform(low: 1, high: 60))
        }
        load.classes = [requests]
        return (configuration, load, pick([nil, nil, 0.5]))
    }
}
