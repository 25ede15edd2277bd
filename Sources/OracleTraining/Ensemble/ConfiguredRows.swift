import LatencyOracle
import ServingCore

/// Training rows that know the configuration they were measured on.
package struct ConfiguredRows: Sendable {
    /// Names of the columns; the constant is not among them.
    package var features: [String]
    /// Feature values in natural units, and seconds; in order of time within a configuration.
    package var rows: DesignRows
    /// Configuration of each row.
    package var configuration: [Int]
    /// Facts of each configuration.
    package var facts: [DeploymentFacts]
    /// Name of each configuration.
    package var names: [String]
    /// Rows of each configuration.
    package let members: [[Int]]

    /// Groups rows by configuration.
    /// - Throws: `InvalidInput` without rows, or when a target is not a positive finite number.
    package init(
        features: [String], rows: DesignRows, configuration: [Int], facts: [DeploymentFacts], names: [String]
    ) throws(InvalidInput) {
        precondition(rows.count == configuration.count && facts.count == names.count)
        precondition(features.count == rows.columns)
        guard rows.count > 0 else {
            throw InvalidInput(field: "rows", "are none", accepted: "at least one step")
        }
        for (i, y) in rows.targets.enumerated() where !(y > 0 && y.isFinite) {
            throw InvalidInput(
                line: i + 1, field: "step time", value: "\(y)", "can't be learned from",
                accepted: "a positive number of seconds")
        }
        self.init(
            accepted: rows, features: features, configuration: configuration, facts: facts, names: names)
    }

    /// Groups rows that are known to be usable.
    private init(
        accepted rows: DesignRows, features: [String], configuration: [Int], facts: [DeploymentFacts],
        names: [String]
    ) {
        var members = [[Int]](repeating: [], count: facts.count)
        for (i, c) in configuration.enumerated() { members[c].append(i) }
        self.features = features
        self.rows = rows
        self.configuration = configuration
        self.facts = facts
        self.names = names
        self.members = members
    }

    /// Weights that make the loss relative and give every configuration among `chosen` the same say.
    func weights(_ chosen: [Int], configurations: [Int]) -> [Double] {
        var counts = [Double](repeating: 0, count: facts.count)
        for i in chosen { counts[configuration[i]] += 1 }
        let share = Double(chosen.count) / Double(max(configurations.count, 1))
        return chosen.map { share / (counts[configuration[$0]] * rows.targets[$0]) }
    }

    /// At most `most` rows of each configuration, evenly spread over its time.
    package func thinned(to most: Int) -> ConfiguredRows {
        var kept: [Int] = []
        for rows in members {
            let n = min(rows.count, most)
            for k in 0..<n { kept.append(rows[k * rows.count / n]) }
        }
        kept.sort()
        return ConfiguredRows(
            accepted: rows.selecting(kept), features: features,
            configuration: kept.map { configuration[$0] }, facts: facts, names: names)
    }
}
