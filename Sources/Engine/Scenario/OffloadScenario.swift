import ServingCore

/// The `offload` object of a scenario's configuration.
public struct OffloadScenario: Codable, Sendable {
    var cpuChunks: Int
    var blocksPerChunk: Int
    var evictionPolicy: OffloadConfiguration.EvictionPolicy
    var storeThreshold: Int
    var offloadPromptOnly: Bool
    /// Steps after which a load is complete, and a store after the step that begins it.
    var loadDelay: Int
    var storeDelay: Int

    enum CodingKeys: String, CodingKey {
        case cpuChunks = "cpu_chunks"
        case blocksPerChunk = "blocks_per_chunk"
        case evictionPolicy = "eviction_policy"
        case storeThreshold = "store_threshold"
        case offloadPromptOnly = "offload_prompt_only"
        case loadDelay = "load_delay"
        case storeDelay = "store_delay"
    }

    /// The engine's part of it.
    var configuration: OffloadConfiguration {
        var result = OffloadConfiguration(cpuChunks: cpuChunks)
        result.blocksPerChunk = blocksPerChunk
        result.evictionPolicy = evictionPolicy
        result.offloadPromptOnly = offloadPromptOnly
        return result
    }

    /// Checks every value with `check(field, value, range)`.
    func validate(_ check: (String, Int, ClosedRange<Int>) throws -> Void) throws {
        let limit = SchedulerScenario.limit
        try check("config.offload.cpu_chunks", cpuChunks, 0...limit)
        try check("config.offload.blocks_per_chunk", blocksPerChunk, 1...(1 << 16))
        try check("config.offload.store_threshold", storeThreshold, 0...0)
        try check("config.offload.load_delay", loadDelay, 0...limit)
        try check("config.offload.store_delay", storeDelay, 0...limit)
    }
}

/// Completes the transfers of a replay after the number of steps that the scenario names.
struct TransferDelays {
    private let loadDelay: Int
    private let storeDelay: Int
    /// Step at whose update each job under way is reported.
    private var due: [Int: Int] = [:]

    init(_ scenario: OffloadScenario) {
        loadDelay = scenario.loadDelay
        storeDelay = scenario.storeDelay
    }

    var isEmpty: Bool { due.isEmpty }

    /// Takes in the jobs of a step; a store begins with the step after it, a flushed job ends in this step.
    mutating func begin(_ plan: TransferPlan, step: Int) {
        for job in plan.loads { due[job.id] = step + loadDelay }
        for job in plan.stores { due[job.id] = step + 1 + storeDelay }
        for id in plan.flush { if let end = due[id] { due[id] = min(end, step) } }
    }

    /// The jobs that are complete when the output of `step` is processed, ascending.
    mutating func complete(by step: Int) -> [Int] {
        let done = due.filter { $0.value <= step }.keys.sorted()
        for id in done { due[id] = nil }
        return done
    }
}
