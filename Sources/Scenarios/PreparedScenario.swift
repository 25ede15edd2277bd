import Catalog
import Engine
import LatencyOracle
import ServingCore
import Simulation
import Workload

/// A scenario whose every name is resolved: ready to run, as often as wanted.
public struct PreparedScenario: Sendable {
    /// What it was prepared from.
    public var scenario: Scenario
    /// Model, accelerator, engine and memory.
    public var deployment: Deployment
    /// What the features read.
    public var facts: DeploymentFacts
    /// The oracle before it was compiled for this deployment.
    public var oracle: StepTimeOracle
    /// What the simulation is given.
    public var configuration: SimulationConfiguration
    /// The requests, from the first.
    public var requests: RequestStream
    /// How far the oracle may be trusted for this deployment, a line each.
    public var oracleNotes: [String]

    /// A run from the start.
    /// - Throws: `InvalidInput` if the first request cannot be drawn.
    public func makeRun() throws -> SimulationRun { try SimulationRun(configuration, requests: requests) }

    /// Runs to the end.
    /// - Throws: `InvalidInput` when a request cannot be drawn.
    public func run() throws -> SimulationResult {
        var run = try makeRun()
        while try run.advance(events: 1 << 20) {}
        return describe(run.finish())
    }

    /// Adds to a result what only the scenario knows: names, settings, warnings.
    public func describe(_ result: SimulationResult) -> SimulationResult {
        var result = result
        let engine = deployment.engine
        result.modelID = deployment.model.name
        result.accelerator = deployment.accelerator.name
        result.engineVersion = engine.version.rawValue
        result.accelerators = engine.layout.gpus * scenario.replicas
        result.maxConcurrency = requests.maxConcurrency
        result.requestRate = scenario.loadRequest.requestRate
        result.burstiness = scenario.loadRequest.burstiness ?? 1
        result.oracle = scenario.oracle
        result.oracleNotes = oracleNotes
        result.engine = [
            .init("tensor-parallel-size", String(engine.layout.tensorParallelSize)),
            .init("data-parallel-size", String(engine.layout.dataParallelSize)),
            .init("enable-expert-parallel", String(engine.layout.expertParallel)),
            .init("dtype", engine.dtype),
            .init("kv-cache-dtype", engine.kvCacheDtype),
            .init("max-model-len", String(engine.maxModelLen)),
            .init("max-num-batched-tokens", String(engine.maxNumBatchedTokens)),
            .init("max-num-seqs", String(engine.maxNumSeqs)),
            .init("block-size", String(engine.blockSize)),
            .init("enable-prefix-caching", String(engine.enablePrefixCaching)),
            .init("enable-chunked-prefill", String(engine.enableChunkedPrefill)),
            .init("async-scheduling", String(engine.asyncScheduling)),
            .init("scheduling-policy", engine.schedulingPolicy.rawValue),
        ]
        if scenario.replicas > 1 {
            result.engine.append(.init("replicas", String(scenario.replicas)))
            result.engine.append(.init("router", scenario.router.rawValue))
        }
        if let offload = engine.kvOffload {
            result.engine.append(.init("kv-offloading-size", "\(offload.cpuBytes / 1_073_741_824)"))
            result.offload?.cpuBytes = offload.cpuBytes
            result.warnings += deployment.offloadWarnings
        }
        result.warnings += requests.warnings
        if !engine.withoutEffect.isEmpty {
            result.warnings.append(
                "without effect on the forecast: " + engine.withoutEffect.joined(separator: ", "))
        }
        return result
    }
}

extension ResolvedEngine {
    /// The scheduler's part of the engine, with a pool of `numBlocks` blocks, the null block included.
    func schedulerConfiguration(numBlocks: Int) -> SchedulerConfiguration {
        var result = SchedulerConfiguration(
            maxNumBatchedTokens: maxNumBatchedTokens, maxNumSeqs: maxNumSeqs, blockSize: blockSize,
            numBlocks: numBlocks, maxModelLen: maxModelLen)
        result.maxNumScheduledTokens = maxNumScheduledTokens
        result.maxNumActiveSeqs = maxNumActiveSeqs
        result.enableChunkedPrefill = enableChunkedPrefill
        result.enablePrefixCaching = enablePrefixCaching
        result.longPrefillTokenThreshold = longPrefillTokenThreshold
        result.longPrefillTokenThresholdAdaptive = longPrefillTokenThresholdAdaptive
        result.policy = schedulingPolicy == .priority ? .priority : .fcfs
        result.asyncScheduling = asyncScheduling
        result.schedulerReserveFullISL = schedulerReserveFullISL
        result.watermark = watermark
        result.version = version == .v015 ? .v015 : .v032
        return result
    }
}
