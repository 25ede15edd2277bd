import Catalog
import Foundation
import LatencyOracle
import Scenarios
import ServingCore
import Testing

private let files = ShippedFiles(
    home: URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path())

@Suite struct `Shipped oracles` {
    static let names = OracleCatalog(files).names

    /// Random deployments of shipped models on the accelerators that take this oracle, memory no object.
    private func deployments(_ oracle: String, _ count: Int, _ stream: inout RandomStream) throws
        -> [(facts: DeploymentFacts, larger: DeploymentFacts?)]
    {
        let models = ModelCatalog(files)
        let modelNames = try models.entries().map(\.name)
        let catalog = OracleCatalog(files)
        let all = try AcceleratorCatalog(files).accelerators
        let own = all.filter { catalog.name(forAccelerator: $0.name) == oracle }
        let accelerators = own.isEmpty ? all : own
        func pick<T>(_ list: [T]) -> T {
            list[min(list.count - 1, Int(stream.uniform() * Double(list.count)))]
        }
        var found: [(DeploymentFacts, DeploymentFacts?)] = []
        var tries = 0
        while found.count < count, tries < 50 * count {
            tries += 1
            let model = try models.architecture(pick(modelNames))
            var accelerator = pick(accelerators)
            accelerator.memoryBytes = 1e14
            let ranks = pick([1, 2, 4])
            let expertParallel = stream.uniform() < 0.3
            let engines = model.expertLayers > 0 ? pick([1, 2, 4]) : 1
            let format: String? = model.quantization == nil && stream.uniform() < 0.3 ? "fp8" : nil
            func facts(_ ranks: Int) -> DeploymentFacts? {
                var engine = EngineConfiguration()
                engine.tensorParallelSize = ranks
                engine.quantization = format
                engine.maxModelLen = .tokens(2048)
                engine.maxNumBatchedTokens = 2048
                engine.maxNumSeqs = 256
                engine.dataParallelSize = engines
                if model.expertLayers > 0 { engine.enableExpertParallel = expertParallel }
                return try? Deployment(engine, model: model, accelerator: accelerator).facts()
            }
            if let smaller = facts(ranks) { found.append((smaller, facts(2 * ranks))) }
        }
        #expect(found.count == count)
        return found
    }

    private func step(_ stream: inout RandomStream) -> StepState {
        var state = StepState()
        for _ in 0..<Int(stream.uniform() * 4) {
            state.addPrefill(
                newTokens: 1 + Int(stream.uniform() * 500), computedTokens: Int(stream.uniform() * 1000))
        }
        for _ in 0..<(1 + Int(stream.uniform() * 60)) {
            state.addDecode(contextTokens: 1 + Int(stream.uniform() * 2000))
        }
        state.runningRequests = state.prefillRequests + state.decodeRequests
        if stream.uniform() < 0.3 { state.peerTokens = Int(stream.uniform() * 3000) }
        return state
    }

    @Test(arguments: names)
    func `take no less time for more work`(_ name: String) throws {
        let oracle = try OracleCatalog(files).oracle(name)
        var stream = RandomStream(seed: 1, purpose: "more work")
        for (facts, _) in try deployments(name, 40, &stream) {
            let compiled = try oracle.compile(for: facts)
            for _ in 0..<20 {
                let state = step(&stream)
                let seconds = compiled.stepSeconds(state)
                #expect(seconds > 0 && seconds < 1000)
                var changes = [StepState](repeating: state, count: 5)
                changes[0].addPrefill(newTokens: 1 + Int(stream.uniform() * 500), computedTokens: 100)
                changes[1].addDecode(contextTokens: 1 + Int(stream.uniform() * 1500))
                changes[2].decodeContextTokens += 1000
                changes[3].runningRequests += 10
                if let peers = state.peerTokens { changes[4].peerTokens = peers + 500 }
                for more in changes { #expect(compiled.stepSeconds(more) >= seconds) }
            }
        }
    }

    @Test(arguments: names)
    func `are never slower with a faster link, faster memory or faster arithmetic`(_ name: String) throws {
        let oracle = try OracleCatalog(files).oracle(name)
        var stream = RandomStream(seed: 2, purpose: "faster")
        for (facts, _) in try deployments(name, 25, &stream) {
            var variants = [facts, facts, facts]
            variants[0].interconnectBandwidth *= 1 + 3 * stream.uniform()
            variants[0].interconnectLatency *= stream.uniform()
            variants[1].memoryBandwidth *= 1 + stream.uniform()
            variants[2].peakFlops *= 1 + stream.uniform()
            variants[2].activationPeakFlops *= 1.5
            let given = try oracle.compile(for: facts)
            let faster = try variants.map { try oracle.compile(for: $0) }
            for _ in 0..<10 {
                let state = step(&stream)
                for other in faster {
                    #expect(other.stepSeconds(state) <= given.stepSeconds(state) * (1 + 1e-12))
                }
            }
        }
    }

    @Test(arguments: names)
    func `gain from tensor parallelism in work and pay for it in communication`(_ name: String) throws {
        let oracle = try OracleCatalog(files).oracle(name)
        var stream = RandomStream(seed: 3, purpose: "ranks")
        func ideal(_ facts: DeploymentFacts) -> DeploymentFacts {
            var facts = facts
            facts.interconnectBandwidth = 1e30
            facts.interconnectLatency = 0
            return facts
        }
        var compared = 0
        for (facts, larger) in try deployments(name, 40, &stream) {
            guard let larger else { continue }
            // A deployment with steps of its own has other factors than its neighbour.
            let scopes = [facts, larger].map { oracle.artifact.step.specialised(for: $0).scope }
            guard scopes[0] == scopes[1] else { continue }
            compared += 1
            let alone = try oracle.compile(for: ideal(facts))
            let split = try oracle.compile(for: ideal(larger))
            let paying = try oracle.compile(for: larger)
            for _ in 0..<10 {
                var state = step(&stream)
                state.addPrefill(newTokens: 1000, computedTokens: 0)
                #expect(split.stepSeconds(state) <= alone.stepSeconds(state) * (1 + 1e-12))
                #expect(paying.stepSeconds(state) > split.stepSeconds(state))
            }
        }
        #expect(compared >= 10)
    }

    @Test(arguments: [
        ("h100-sxm", "h100"), ("h100-pcie", "h100"), ("h200", "h200"), ("a100-sxm-40gb", "a100"),
        ("l40s", "l40s"), ("l4", "generic"), ("b200", "b200"), ("gb200", "generic"), ("rtx-4090", "generic"),
    ])
    func `are chosen by accelerator`(_ accelerator: String, _ oracle: String) {
        #expect(OracleCatalog(files).name(forAccelerator: accelerator) == oracle)
    }

    @Test func `say what they rest on`() throws {
        func notes(_ model: String, _ gpu: String, _ ranks: Int) throws -> String {
            var scenario = Scenario()
            scenario.engine.model = model
            scenario.engine.tensorParallelSize = ranks
            scenario.engine.maxModelLen = .tokens(4096)
            scenario.gpu = gpu
            let prepared = try scenario.prepare(shipped: files)
            #expect(prepared.scenario.oracle != OracleCatalog.automatic)
            return prepared.oracleNotes.joined(separator: "\n")
        }
        #expect(try notes("llama-2-70b", "h100-sxm", 4).contains("calibrated on this deployment"))
        let unseen = try notes("mistral-7b", "h100-sxm", 1)
        #expect(unseen.contains("kernel times of") && unseen.contains("not among them"))
        #expect(try notes("llama-3.1-8b", "l4", 1).contains("extrapolated"))
    }
}
