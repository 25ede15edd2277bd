import Simulation

/// Whether a ranking survives the oracle's error: how the leaders fare when all of them are run again with other oracles
/// that the training data allow.
public struct LeaderUncertainty: Sendable, Equatable {
    /// One of the leaders.
    public struct Leader: Sendable, Equatable {
        /// The configuration's number.
        public var index: Int
        /// Spread of the objective over the oracles.
        public var objective: UncertaintyBands.Band
        /// Oracles with which it is the best of the leaders, by the rules of the ranking.
        public var best: Int
        /// Oracles with which it holds the constraints.
        public var holds: Int
    }

    /// Other oracles.
    public var draws: Int
    /// The leaders, in the order of the ranking.
    public var leaders: [Leader]

    /// Compares leaders over the same draws; nil without reruns.
    init?(_ leaders: some Collection<SweepOutcome>, _ reruns: [SweepOutcome], _ standing: Standing) {
        let byDraw = Dictionary(grouping: reruns) { $0.draw ?? 0 }
        guard !leaders.isEmpty, !byDraw.isEmpty else { return nil }
        let metric = standing.specification.objective.metric.name
        // What completes nothing is as bad as can be.
        let worst = standing.specification.objective.isMaximized ? 0 : Double.infinity
        var wins: [Int: Int] = [:]
        for outcomes in byDraw.values {
            guard let winner = standing.candidates(standing.ranked(outcomes)).first else { continue }
            wins[winner.index, default: 0] += 1
        }
        draws = byDraw.count
        self.leaders = leaders.map { leader in
            let own = reruns.filter { $0.index == leader.index }
            let figures = own.map { outcome in
                [SimulationMetrics.Figure(name: metric, value: standing.objective(outcome) ?? worst)]
            }
            return Leader(
                index: leader.index, objective: UncertaintyBands.bands(of: figures)[0],
                best: wins[leader.index] ?? 0,
                holds: own.count { $0.status == .completed && standing.verdict($0).verdict == .holds })
        }
    }

    /// How a leader fares; nil for other configurations.
    public subscript(index: Int) -> Leader? { leaders.first { $0.index == index } }

    /// The leader that is the best with most oracles; of several the first in the ranking.
    public var mostOftenBest: Leader { leaders.reduce(leaders[0]) { $1.best > $0.best ? $1 : $0 } }

    /// What the ends of a band are.
    var bandName: String {
        draws < UncertaintyBands.fewestReruns
            ? "range" : "\(Int(UncertaintyBands.level * 100)) % band"
    }
}
