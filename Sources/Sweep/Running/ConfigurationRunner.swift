import Catalog
import Scenarios
import ServingCore
import Simulation

/// Thrown when a person asks to stop: whatever is not finished is given up.
struct SweepInterrupted: Error {}

/// Runs one configuration at a time; used by many threads at once.
struct ConfigurationRunner: Sendable {
    let specification: SweepSpecification
    let inputs: SharedInputs
    let shouldStop: @Sendable () -> Bool

    /// What of a configuration is run otherwise than it says.
    struct Changes: Sendable {
        /// Requests of a prefix; nil for all.
        var requests: Int?
        /// The searched field and its value.
        var rate: (field: String, value: Double)?
        /// Another oracle than the one as it is.
        var oracle: (draws: OracleDraws, index: Int)?
    }

    /// The scenario of a configuration as a file would state it.
    /// - Throws: `InvalidInput` when a path leads through a plain value.
    func scenarioFile(_ configuration: SweepConfiguration, rate: (field: String, value: Double)? = nil) throws
        -> ScenarioFile
    {
        var file = specification.base
        for assignment in configuration.assignments { try file.set(assignment.field, to: assignment.value) }
        if let rate { try file.set(rate.field, to: .number(rate.value)) }
        return file
    }

    /// A configuration ready to run.
    /// - Throws: `InvalidInput` with the reason why it cannot.
    func prepare(_ configuration: SweepConfiguration, _ changes: Changes = Changes()) throws
        -> PreparedScenario
    {
        var prepared = try prepareLoad(configuration, changes)
        if let (draws, index) = changes.oracle {
            prepared.configuration.oracle = try draws.oracle(index, for: prepared)
            prepared.configuration.checksDomain = false
        }
        return prepared
    }

    private func prepareLoad(_ configuration: SweepConfiguration, _ changes: Changes) throws
        -> PreparedScenario
    {
        var scenario = try scenarioFile(configuration, rate: changes.rate).scenario()
        scenario.percentiles = specification.percentiles
        guard let requests = changes.requests else { return try inputs.prepare(scenario) }
        if case .requests(let warmUp) = scenario.warmUp {
            // The same share of a prefix as of the whole.
            let whole = try inputs.prepare(scenario).requests.count ?? requests
            let share = Double(min(requests, whole)) / Double(max(1, whole))
            scenario.warmUp = .requests(Int((Double(warmUp) * share).rounded()))
        }
        scenario.loadRequest.limit = min(requests, scenario.loadRequest.limit ?? .max)
        return try inputs.prepare(scenario)
    }

    /// Number of requests of a configuration, at most; nil when nothing limits it beforehand.
    func requestCount(_ configuration: SweepConfiguration) throws -> Int? {
        let prepared = try prepare(configuration)
        let load = prepared.scenario.loadRequest
        return prepared.requests.count ?? [load.numPrompts, load.limit].compactMap { $0 }.min()
    }

    /// Runs a prepared configuration to its end.
    /// - Throws: `InvalidInput`, or `SweepInterrupted`.
    func measure(_ prepared: PreparedScenario) throws -> Measurement {
        if shouldStop() { throw SweepInterrupted() }
        var prepared = prepared
        prepared.configuration.collectsRecords = true
        // A debug build would check the engine after every change, for each of many simulations.
        prepared.configuration.scheduler.checksInvariants = false
        var run = try prepared.makeRun()
        var requests = RequestTotals(objectives: prepared.scenario.objectives)
        while try run.advance(events: 1 << 15) {
            requests.add(run.takeRecords())
            if shouldStop() { throw SweepInterrupted() }
        }
        let result = run.finish()
        requests.add(run.takeRecords())
        if let loss = requests.loss(sent: result.requests, engines: result.engines) {
            throw InvalidInput(field: "requests", "are not conserved, which is a fault of Stepcast: \(loss)")
        }
        return Measurement(result: prepared.describe(result), requests: requests)
    }
}

/// A run and what happened to each of its requests.
struct Measurement: Sendable {
    var result: SimulationResult
    var requests: RequestTotals
}
