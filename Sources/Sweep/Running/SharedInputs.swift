import Catalog
import LatencyOracle
import Scenarios
import ServingCore
import Synchronization
import Workload

/// What configurations have in common, read once: models, accelerators, oracles, workloads and traces.
final class SharedInputs: Sendable {
    private let shipped: ShippedFiles
    private let cache = Mutex(Cache())

    private struct ModelKey: Hashable {
        var name: String
        var overrides: String
    }

    private struct LoadKey: Hashable {
        var path: String
        var options: TraceOptions
    }

    private struct Cache {
        var models: [ModelKey: Result<ModelArchitecture, any Error>] = [:]
        var catalog: Result<AcceleratorCatalog, any Error>?
        var accelerators: [String: Result<Accelerator, any Error>] = [:]
        var oracleNames: [String: String] = [:]
        var oracles: [String: Result<StepTimeOracle, any Error>] = [:]
        var loads: [LoadKey: Result<LoadSource, any Error>] = [:]
        var specifications: [String: Result<LoadSource, any Error>] = [:]
    }

    init(shipped: ShippedFiles) { self.shipped = shipped }

    /// A scenario ready to run; the same as `Scenario.prepare(shipped:)` makes.
    /// - Throws: `InvalidInput` for whatever is missing, unknown, or refused by vLLM.
    func prepare(_ scenario: Scenario) throws -> PreparedScenario {
        guard let gpu = scenario.gpu else {
            throw InvalidInput(
                .usage, field: "gpu", "is missing", accepted: "a name that `stepcast gpus` lists, or a path")
        }
        guard let model = scenario.engine.model else {
            throw InvalidInput(
                .usage, field: "model", "is missing",
                accepted: "a name that `stepcast models` lists, or a path")
        }
        let deployment = try Deployment(
            scenario.engine, model: architecture(model, scenario.engine.hfOverrides),
            accelerator: accelerator(gpu), version: scenario.engineVersion)
        var requests = try requests(of: scenario)
        if let timeout = scenario.clientTimeout { requests.clientTimeout = Ticks(seconds: timeout) }
        var named = scenario
        if named.oracle == OracleCatalog.automatic { named.oracle = oracleName(deployment.accelerator) }
        return try named.prepare(
            deployment: deployment, oracle: oracle(named.oracle), requests: requests)
    }

    /// The name of the oracle that an accelerator takes unless told otherwise.
    func oracleName(_ accelerator: Accelerator) -> String {
        cache.withLock { cache in
            if let known = cache.oracleNames[accelerator.name] { return known }
            let name = OracleCatalog(shipped).name(forAccelerator: accelerator.name)
            cache.oracleNames[accelerator.name] = name
            return name
        }
    }

    /// The accelerator of a name or file.
    func accelerator(_ name: String) throws -> Accelerator {
        try cache.withLock { cache in
            if let known = cache.accelerators[name] { return known }
            let catalog = cache.catalog ?? Result { try AcceleratorCatalog(shipped) }
            cache.catalog = catalog
            let found = Result { try catalog.get().accelerator(name) }
            cache.accelerators[name] = found
            return found
        }.get()
    }

    private func architecture(_ name: String, _ overrides: ConfigValue?) throws -> ModelArchitecture {
        let key = ModelKey(name: name, overrides: overrides?.json ?? "")
        return try cache.withLock { cache in
            if let known = cache.models[key] { return known }
            let found = Result { try ModelCatalog(shipped).architecture(name, overrides: overrides) }
            cache.models[key] = found
            return found
        }.get()
    }

    private func oracle(_ name: String) throws -> StepTimeOracle {
        try cache.withLock { cache in
            if let known = cache.oracles[name] { return known }
            let found = Result { try OracleCatalog(shipped).oracle(name) }
            cache.oracles[name] = found
            return found
        }.get()
    }

    private func requests(of scenario: Scenario) throws -> RequestStream {
        switch scenario.load {
        case .random: return try scenario.requests(shipped: shipped)
        case .workload(let name):
            let path = try WorkloadCatalog(folder: shipped.path("workloads")).path(of: name)
            return try requests(path, TraceOptions(), scenario)
        case .trace(let path, let options): return try requests(path, options, scenario)
        case .specification(let yaml, let source):
            let load = try cache.withLock { cache in
                if let known = cache.specifications[yaml] { return known }
                let found = Result { try LoadSource(specification: yaml, source: source) }
                cache.specifications[yaml] = found
                return found
            }.get()
            return try scenario.loadRequest.stream(load, trace: TraceOptions(), seed: scenario.seed)
        }
    }

    private func requests(_ path: String, _ options: TraceOptions, _ scenario: Scenario) throws
        -> RequestStream
    {
        var key = LoadKey(path: path, options: scenario.loadRequest.applied(to: options))
        // New arrival times don't need the trace read again.
        if scenario.loadRequest.requestRate != nil { key.options.rateScale = 1 }
        let load = try cache.withLock { cache in
            if let known = cache.loads[key] { return known }
            let found = Result { try LoadSource(contentsOf: path, options: key.options) }
            cache.loads[key] = found
            return found
        }.get()
        return try scenario.loadRequest.stream(load, trace: options, seed: scenario.seed)
    }
}
