import Catalog
import ServingCore
import StepTraces

/// Finds the feature inputs of a trace's deployment: those that the trace carries, else what the catalog says of
/// its model, accelerator and flags.
public struct DeploymentResolution: Sendable {
    private let shipped: ShippedFiles
    private let accelerators: AcceleratorCatalog

    /// Resolves against the shipped models and accelerators.
    /// - Throws: `InvalidInput` when the accelerator table is damaged.
    public init(_ shipped: ShippedFiles) throws {
        self.shipped = shipped
        accelerators = try AcceleratorCatalog(shipped)
    }

    /// Facts of the deployment of a group of rows.
    /// - Throws: `InvalidInput` naming the model, accelerator or flag that is missing or unknown.
    public func facts(of group: TraceGroup) throws -> DeploymentFacts {
        if let facts = group.facts { return facts }
        let configuration = group.configuration
        let model = try architecture(configuration, group: group.name)
        let accelerator = try hardware(configuration, group: group.name)
        var engine = EngineConfiguration()
        engine.model = configuration.model
        engine.tensorParallelSize = configuration.tensorParallelSize
        engine.dataParallelSize = configuration.dataParallelSize
        engine.enableExpertParallel = configuration.expertParallelSize.map { $0 > 1 }
        engine.maxModelLen = configuration.maxModelLen.map { .tokens($0) }
        engine.maxNumBatchedTokens = configuration.maxNumBatchedTokens
        engine.maxNumSeqs = configuration.maxNumSeqs
        engine.blockSize = configuration.blockSize
        engine.enablePrefixCaching = configuration.prefixCaching
        engine.enableChunkedPrefill = configuration.chunkedPrefill
        engine.asyncScheduling = configuration.asyncScheduling
        engine.enforceEager = configuration.enforceEager
        if configuration.weightFormat == "fp8", model.quantization == nil { engine.quantization = "fp8" }
        let version =
            try configuration.engineVersion.map { try EngineVersion(parsing: $0) } ?? EngineVersion.latest
        var facts = try resolve(engine, model, accelerator, version)
        facts.memoryBytes = accelerator.memoryBytes
        facts.kvBlocks = configuration.kvBlocks ?? facts.kvBlocks
        if configuration.measuredHardware != nil { facts.cudaGraphSizes = [] }
        return facts
    }

    /// Rows may come from a deployment that the memory plan thinks too large (other memory settings, weights that are
    /// not all loaded): step times need no plan, so memory is no reason to refuse them.
    private func resolve(
        _ engine: EngineConfiguration, _ model: ModelArchitecture, _ accelerator: Accelerator,
        _ version: EngineVersion
    ) throws -> DeploymentFacts {
        if let deployment = try? Deployment(engine, model: model, accelerator: accelerator, version: version)
        {
            return deployment.facts()
        }
        var roomy = accelerator
        roomy.memoryBytes = 1e14
        let deployment = try Deployment(engine, model: model, accelerator: roomy, version: version)
        var facts = deployment.facts()
        facts.kvBlocks = 0
        return facts
    }

    private func architecture(_ configuration: TraceConfiguration, group: String) throws -> ModelArchitecture
    {
        if let json = configuration.modelConfigJSON {
            let config = try ConfigValue.parse(json: Array(json.utf8), source: group)
            return try ModelArchitecture(config: config, source: group, name: configuration.model ?? group)
        }
        guard let name = configuration.model else {
            throw InvalidInput(
                source: group, field: "model", "is not named by the trace", accepted: "--model NAME")
        }
        return try ModelCatalog(shipped).architecture(name)
    }

    private func hardware(_ configuration: TraceConfiguration, group: String) throws -> Accelerator {
        if let measured = configuration.measuredHardware, var machine = accelerators.accelerators.first {
            // The same machine with more threads is another accelerator.
            let gigaflops = Int((measured.peakFlops / 1e9).rounded())
            machine.name = "\(configuration.accelerator ?? group)-\(gigaflops)gflops"
            machine.bf16Flops = measured.peakFlops
            machine.fp8Flops = nil
            machine.fp4Flops = nil
            machine.int8Ops = nil
            machine.memoryBandwidth = measured.memoryBandwidth
            machine.memoryBytes = max(measured.memoryBytes, 1e9)
            // Workers on one machine talk through its memory.
            machine.interconnectBandwidth = measured.memoryBandwidth
            machine.hostLinkBandwidth = measured.memoryBandwidth
            return machine
        }
        guard let name = configuration.accelerator else {
            throw InvalidInput(
                source: group, field: "gpu", "is not named by the trace", accepted: "--gpu NAME")
        }
        return try accelerators.accelerator(name)
    }
}
