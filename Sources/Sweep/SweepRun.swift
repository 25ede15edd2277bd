import Catalog
import Reports
import Scenarios
import ServingCore

/// One sweep, or one shard of it, in a folder.
///
/// ```swift
/// let sweep = try SweepRun(SweepSpecification(contentsOf: "sweep.yaml"), shipped: .locate())
/// let results = try sweep.run(into: "results", jobs: 8)
/// ```
public struct SweepRun: Sendable {
    /// What is swept.
    public let specification: SweepSpecification
    /// Its configurations.
    public let space: ConfigurationSpace
    /// The part of them that is run.
    public let shard: Shard
    /// The same for the same sweep everywhere.
    public let fingerprint: String
    let shippedFiles: ShippedFiles
    private let inputs: SharedInputs

    /// How far a sweep is.
    public struct Progress: Sendable {
        /// Configurations done in this round, or reruns.
        public var done: Int
        /// Configurations of the round, or reruns.
        public var of: Int
        /// Configurations that this process has run, those of earlier rounds included.
        public var ran: Int
        /// Round of successive halving, from 1; nil without rounds.
        public var round: Int?
        /// Whether these are reruns of the leaders with other oracles.
        public var isRerun: Bool
    }

    /// A sweep that has not begun.
    /// - Throws: `InvalidInput` when it has no configurations, or an input cannot be read.
    public init(_ specification: SweepSpecification, shard: Shard = .whole, shipped: ShippedFiles) throws {
        self.specification = specification
        self.shard = shard
        shippedFiles = shipped
        space = try ConfigurationSpace(specification)
        inputs = SharedInputs(shipped: shipped)
        fingerprint = try Fingerprint.of(specification, inputs: inputs, shipped: shipped)
        try checkNames()
    }

    /// The sweep that a folder holds a part of.
    /// - Throws: `InvalidInput` when it holds none.
    init(heldBy folder: String, shipped: ShippedFiles) throws {
        let manifest = try SweepFolder(path: folder).readManifest()
        specification = try SweepSpecification(
            yaml: manifest.specification, source: folder + "/sweep.json", folder: manifest.folder)
        shard = .whole
        shippedFiles = shipped
        space = try ConfigurationSpace(specification)
        inputs = SharedInputs(shipped: shipped)
        fingerprint = manifest.fingerprint
    }

    /// Checks what would fail in every configuration alike, so that it is said once and at once: names inside a workload
    /// and in prices.
    private func checkNames() throws {
        let first = try scenarioFile(space.configurations[0])
        do {
            let scenario = try first.scenario()
            if case .specification = scenario.load { _ = try scenario.requests(shipped: shippedFiles) }
        } catch var error as InvalidInput {
            if space.configurations.count == 1 || error.problem.contains("known") {
                error.source = specification.source
                throw error
            }
        }
        for name in specification.prices.keys.sorted() {
            do {
                _ = try inputs.accelerator(name)
            } catch var error as InvalidInput {
                error.source = specification.source
                error.field = "prices.\(name)"
                error.kind = .badData
                throw error
            }
        }
    }

    /// The configurations of the shard.
    public var configurations: [SweepConfiguration] {
        space.configurations.filter { shard.holds($0.index, groups: groups) }
    }

    /// Number of groups that compete among themselves; nil without such.
    private var groups: Int? {
        guard case .successiveHalving(let settings) = specification.search else { return nil }
        return (space.configurations.count + settings.groupSize - 1) / settings.groupSize
    }

    var manifest: SweepFolder.Manifest {
        SweepFolder.Manifest(
            name: specification.name, fingerprint: fingerprint,
            folder: absolutePath(specification.folder) + "/",
            specification: specification.selfContained, shard: shard, configurations: configurations.count,
            finishedRuns: nil)
    }

    /// Runs what isn't in the folder yet, and writes the results.
    /// - Parameters:
    ///   - folder: made if it isn't there; every finished configuration is in it at once.
    ///   - jobs: simulations at a time.
    ///   - progress: told of every finished configuration, one call at a time.
    ///   - shouldStop: asked often; a true answer ends the run.
    /// - Returns: nil when it was stopped: what has finished is in the folder, and the same call goes on from there.
    /// - Throws: `InvalidInput` when the folder holds another sweep or cannot be written.
    public func run(
        into folder: String, jobs: Int, progress: @escaping @Sendable (Progress) -> Void = { _ in },
        shouldStop: @escaping @Sendable () -> Bool = { false }
    ) throws -> SweepResults? {
        let place = SweepFolder(path: folder)
        try place.claim(for: manifest)
        let journal = try Journal(path: place.journalPath)
        let runner = ConfigurationRunner(specification: specification, inputs: inputs, shouldStop: shouldStop)
        let ledger = OutcomeLedger(
            known: try place.readJournal(), journal: journal, threads: jobs, report: progress)
        do {
            let outcomes = try search(ledger, runner)
            let reruns = try rerunLeaders(of: outcomes, ledger, runner)
            return try finish(place, journal: ledger.all, outcomes, reruns: reruns)
        } catch is SweepInterrupted {
            return nil
        }
    }

    /// Writes everything that a complete folder holds, what says that it is complete last.
    func finish(
        _ place: SweepFolder, journal: [SweepOutcome], _ outcomes: [SweepOutcome], reruns: [SweepOutcome]
    ) throws -> SweepResults {
        try place.writeJournal(journal)
        let results = try SweepResults(self, outcomes: outcomes, reruns: reruns)
        try results.write(to: place.path)
        var manifest = manifest
        manifest.finishedRuns = journal.count
        try place.write(manifest)
        return results
    }

    /// The scenario of a configuration, as a file would state it.
    func scenarioFile(_ configuration: SweepConfiguration, rate: (field: String, value: Double)? = nil) throws
        -> ScenarioFile
    {
        try ConfigurationRunner(specification: specification, inputs: inputs, shouldStop: { false })
            .scenarioFile(configuration, rate: rate)
    }

    /// The oracle that a scenario is run with.
    func oracleName(of scenario: Scenario) throws -> String {
        guard scenario.oracle == OracleCatalog.automatic, let gpu = scenario.gpu else {
            return scenario.oracle
        }
        return inputs.oracleName(try inputs.accelerator(gpu))
    }

    // MARK: Searches

    private func search(_ ledger: OutcomeLedger, _ runner: ConfigurationRunner) throws -> [SweepOutcome] {
        let jobs = configurations.map { OutcomeLedger.Job(configuration: $0) }
        switch specification.search {
        case .grid:
            return try ledger.outcomes(of: jobs, isRound: false) { job in
                try guarded(job) { try measure(job.configuration, runner, .init()) }
            }
        case .highestRate(let settings):
            return try ledger.outcomes(of: jobs, isRound: false) { job in
                try guarded(job) {
                    try highestRate(job.configuration, runner, RateBisection(settings: settings))
                }
            }
        case .successiveHalving(let settings): return try halve(ledger, runner, settings)
        }
    }

    /// One configuration that cannot run doesn't stop the others.
    func guarded(_ job: OutcomeLedger.Job, _ body: () throws -> SweepOutcome) throws -> SweepOutcome {
        var outcome: SweepOutcome
        do {
            outcome = try body()
        } catch let reason as InvalidInput {
            outcome = SweepOutcome(index: job.configuration.index, cannotRun: reason.description)
        }
        outcome.round = job.round
        outcome.draw = job.draw
        return outcome
    }

    private func price(_ prepared: PreparedScenario) throws -> Double? {
        let accelerator = prepared.deployment.accelerator
        for name in specification.prices.keys.sorted()
        where try inputs.accelerator(name).name == accelerator.name {
            return specification.prices[name]
        }
        if let price = accelerator.pricePerHour { return price }
        let needsPrice = ([specification.objective.metric] + specification.constraints.map(\.metric))
            .contains { $0.name.hasPrefix("cost_") }
        guard !needsPrice else {
            throw InvalidInput(
                source: specification.source, field: "prices", value: accelerator.name, "has no price",
                accepted: "prices: {\(accelerator.name): price per GPU and hour}")
        }
        return nil
    }

    /// The outcome of one configuration, run to its end.
    func measure(
        _ configuration: SweepConfiguration, _ runner: ConfigurationRunner,
        _ changes: ConfigurationRunner.Changes
    ) throws -> SweepOutcome {
        let prepared = try runner.prepare(configuration, changes)
        let maker = OutcomeMaker(specification: specification, price: try price(prepared))
        return maker.outcome(configuration.index, try runner.measure(prepared))
    }

    /// The outcome of one configuration at the highest rate that holds.
    func highestRate(
        _ configuration: SweepConfiguration, _ runner: ConfigurationRunner, _ bisection: RateBisection,
        oracle: (draws: OracleDraws, index: Int)? = nil
    ) throws -> SweepOutcome {
        let standing = Standing(specification: specification)
        let found = try bisection.search { rate in
            let field = (field: bisection.settings.field, value: rate)
            let changes = ConfigurationRunner.Changes(rate: field, oracle: oracle)
            let outcome = try measure(configuration, runner, changes)
            let (verdict, reason) = standing.verdict(outcome)
            let trial = SweepOutcome.Trial(
                rate: rate, holds: verdict == .holds, isBroken: verdict == .broken, reason: reason)
            return RateBisection.Tried(trial: trial, kept: outcome)
        }
        var outcome = found.best?.kept ?? found.lowest.kept
        outcome.trials = found.trials
        let rate = found.best?.trial.rate ?? 0
        outcome.values["max_request_rate"] = rate
        // Near the limit the runs' noise decides: it is uncertain from the lowest rate that failed to the lowest that breaks
        // a constraint for certain.
        let doubtful = found.trials.filter { !$0.holds && $0.rate < rate }.map(\.rate).min()
        let broken = found.trials.filter { $0.isBroken && $0.rate > rate }.map(\.rate).min()
        outcome.intervals["max_request_rate"] = .init(lower: doubtful ?? rate, upper: broken)
        if let target = specification.targetRate, rate > 0, let gpus = outcome.values["gpus"] {
            outcome.values["gpus_for_target_rate"] = OutcomeMaker.gpus(gpus, for: target, carried: rate)
        }
        let failing = found.trials.filter { !$0.holds && $0.rate > rate }.min { $0.rate < $1.rate }
        outcome.reason =
            found.best == nil
            ? "holds at no rate: \(found.lowest.trial.reason)"
            : failing.map { "limited by \($0.reason)" } ?? ""
        if let doubtful {
            outcome.reason += "; within the noise of the runs from \(significant(doubtful, digits: 4)) on"
        }
        return outcome
    }

    private func halve(
        _ ledger: OutcomeLedger, _ runner: ConfigurationRunner, _ settings: Search.Halving
    ) throws -> [SweepOutcome] {
        let halving = SuccessiveHalving(settings: settings, standing: Standing(specification: specification))
        var latest: [Int: SweepOutcome] = [:]
        var prefixes: [Int: [Int]] = [:]
        var unable: [Int: InvalidInput] = [:]
        var running = configurations
        for configuration in running {
            do {
                guard let count = try runner.requestCount(configuration) else {
                    throw InvalidInput(
                        source: specification.source, field: "search", value: "successive-halving",
                        "needs a load whose number of requests is known",
                        accepted: "num-prompts or limit in the base")
                }
                prefixes[configuration.index] = SuccessiveHalving.prefixes(settings, requests: count)
            } catch let reason as InvalidInput {
                unable[configuration.index] = reason
            }
        }
        let rounds = prefixes.values.map(\.count).max() ?? 1
        for round in 0..<rounds {
            let jobs = running.map { OutcomeLedger.Job(configuration: $0, round: round) }
            let (lengths, reasons) = (prefixes, unable)
            let outcomes = try ledger.outcomes(of: jobs, isRound: true) { job in
                try guarded(job) {
                    if let reason = reasons[job.configuration.index] { throw reason }
                    let all = lengths[job.configuration.index]!
                    let isFinal = round >= all.count - 1
                    let changes = ConfigurationRunner.Changes(requests: isFinal ? nil : all[round])
                    var outcome = try measure(job.configuration, runner, changes)
                    outcome.isFinal = isFinal
                    return outcome
                }
            }
            let before = latest
            for outcome in outcomes { latest[outcome.index] = outcome }
            guard round < rounds - 1 else { break }
            var survivors: Set<Int> = []
            for group in 0..<(groups ?? 1) {
                let members = outcomes.filter { $0.index % (groups ?? 1) == group }
                survivors.formUnion(
                    halving.survivors(
                        members, before: round == 0 ? [:] : before, roundsLeft: rounds - 1 - round))
            }
            running.removeAll { !survivors.contains($0.index) }
        }
        return latest.values.sorted { $0.index < $1.index }
    }
}
