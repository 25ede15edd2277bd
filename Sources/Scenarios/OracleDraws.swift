import LatencyOracle
import ServingCore

/// Oracles that the training data allow for a scenario besides the one that they make likeliest.
///
/// Draw `k` depends on the scenario's seed, on its deployment and on `k`: scenarios of one deployment are off together, those
/// of two deployments each by themselves, except for coefficients that both share.
public struct OracleDraws: Sendable {
    private let scores: [DiscrepancyScores]
    private let seed: UInt64

    /// So many draws for a scenario and others of its deployment.
    public init(count: Int, for prepared: PreparedScenario) {
        seed = prepared.scenario.seed
        scores = DiscrepancyScores.latinHypercube(count: count, seed: seed, deployment: prepared.facts)
    }

    /// Draws.
    public var count: Int { scores.count }

    /// The oracle of a draw, folded into the scenario's deployment.
    /// - Throws: as compiling the oracle does.
    /// - Precondition: `index` is below `count`.
    public func oracle(_ index: Int, for prepared: PreparedScenario) throws -> CompiledOracle {
        var stream = RandomStream(seed: seed, purpose: "oracle", index: UInt64(index))
        return try prepared.oracle.compileDraw(
            for: prepared.facts, scores: scores[index], using: &stream)
    }
}
