import Scenarios
import ServingCore

extension SweepRun {
    /// Configurations that are run again with other oracles, the best first.
    static let leaders = 10

    /// Numbers of the leaders among outcomes, the best first; none unless other oracles are asked for.
    func leaders(_ outcomes: [SweepOutcome]) -> [Int] {
        guard specification.oracleDraws > 0 else { return [] }
        let standing = Standing(specification: specification)
        return standing.candidates(standing.ranked(outcomes)).prefix(Self.leaders).map(\.index)
    }

    /// Runs the leaders again with other oracles that the training data allow, each with the same draws, so that it shows
    /// whether the ranking depends on the oracle's error.
    func rerunLeaders(of outcomes: [SweepOutcome], _ ledger: OutcomeLedger, _ runner: ConfigurationRunner)
        throws -> [SweepOutcome]
    {
        let leaders = leaders(outcomes)
        guard !leaders.isEmpty else { return [] }
        var draws: [Int: OracleDraws] = [:]
        var rates: [Int: Double] = [:]
        var jobs: [OutcomeLedger.Job] = []
        for index in leaders {
            let configuration = space.configurations[index]
            draws[index] = OracleDraws(
                count: specification.oracleDraws, for: try runner.prepare(configuration))
            rates[index] = outcomes.first { $0.index == index }?.values["max_request_rate"]
            jobs += (0..<specification.oracleDraws).map {
                OutcomeLedger.Job(configuration: configuration, draw: $0)
            }
        }
        return try ledger.outcomes(of: jobs, isRound: false) { [draws, rates] job in
            let index = job.configuration.index
            let oracle = (draws: draws[index]!, index: job.draw!)
            return try guarded(job) {
                kept(try rerun(job.configuration, runner, oracle, found: rates[index]))
            }
        }
    }

    private func rerun(
        _ configuration: SweepConfiguration, _ runner: ConfigurationRunner,
        _ oracle: (draws: OracleDraws, index: Int), found rate: Double?
    ) throws -> SweepOutcome {
        guard case .highestRate(var settings) = specification.search else {
            return try measure(configuration, runner, .init(oracle: oracle))
        }
        // The oracle's error is several percent: one percent will do, from where the search ended.
        if let rate, rate > 0 { settings.from = rate }
        settings.tolerance = max(settings.tolerance, 0.01)
        return try highestRate(
            configuration, runner, RateBisection(settings: settings, confirmations: 0), oracle: oracle)
    }

    /// What of a rerun decides its standing.
    private func kept(_ outcome: SweepOutcome) -> SweepOutcome {
        let names = Set(
            ([specification.objective.metric] + specification.constraints.map(\.metric)).map(\.name))
        var outcome = outcome
        outcome.values = outcome.values.filter { names.contains($0.key) }
        outcome.intervals = outcome.intervals.filter { names.contains($0.key) }
        outcome.deviations = []
        outcome.trials = []
        outcome.reason = outcome.status == .completed ? "" : outcome.reason
        return outcome
    }
}
