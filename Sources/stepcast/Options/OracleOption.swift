import ArgumentParser
import Catalog
import LatencyOracle
import Scenarios

/// The oracle a command works on.
struct OracleOption: ParsableArguments {
    @Option(help: "Latency oracle: a name that ships, or an artifact's path.")
    var oracle: String

    /// Loads it.
    func load(_ shipped: ShippedFiles) throws -> StepTimeOracle { try OracleCatalog(shipped).oracle(oracle) }
}
