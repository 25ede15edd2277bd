import ArgumentParser
import Scenarios
import ServingCore

/// A scenario: a file, `--set`, and flags that override both. Shared by every command that forecasts one.
struct ScenarioOptions: ParsableArguments {
    @Argument(
        help: "Scenario file in YAML: the same names as the flags, without the dashes.",
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var scenarioFile: String?

    @OptionGroup(title: "Deployment") var engine: EngineOptions
    @OptionGroup(title: "Load") var load: WorkloadOptions

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("Set a value of the scenario; may be repeated.", valueName: "path=value"))
    var assignments: [String] = []

    @Option(
        help:
            "Latency oracle: a name that `stepcast oracles` lists, or a file. (default: the accelerator's own)"
    )
    var oracle: String?

    @Option(help: "Seed of every random stream.")
    var seed: UInt64?

    @Option(help: "GiB of host memory; offloading that needs more is refused.")
    var hostMemory: Double?

    @Option(help: "Seconds after which a client gives up.")
    var clientTimeout: Double?

    /// The scenario that all of them describe.
    /// - Throws: `InvalidInput` for what contradicts itself or is out of range.
    func scenario() throws -> Scenario {
        var file = try scenarioFile.map { try ScenarioFile(contentsOf: $0) } ?? ScenarioFile()
        for assignment in assignments { try file.set(assignment) }
        var scenario = try file.scenario()
        scenario.engine.override(with: try engine.configuration())
        scenario.gpu = engine.gpu ?? scenario.gpu
        if engine.engineVersion != nil { scenario.engineVersion = try engine.version() }
        try load.apply(to: &scenario)
        scenario.oracle = oracle ?? scenario.oracle
        scenario.seed = seed ?? scenario.seed
        if let clientTimeout { scenario.clientTimeout = try atLeastZero(clientTimeout, "--client-timeout") }
        if let hostMemory {
            scenario.hostMemory = try atLeastZero(hostMemory, "--host-memory") * 1_073_741_824
        }
        return scenario
    }
}

/// A value of a flag that is neither negative nor absurd.
func atLeastZero<T: Comparable & Numeric>(_ value: T, _ name: String) throws -> T {
    guard value >= 0, value <= T(exactly: 1_000_000_000)! else {
        throw InvalidInput(
            .usage, field: name, value: "\(value)", "is out of range", accepted: "0 to 1000000000")
    }
    return value
}
