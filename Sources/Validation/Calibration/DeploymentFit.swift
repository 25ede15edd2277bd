import LatencyOracle
import LinearAlgebra
import OracleTraining
import Scenarios
import ServingCore
import Simulation

/// Step-time coefficients of one deployment from request latencies alone.
///
/// The engine's schedule isn't known, but the simulation has one. A request's latency is the sum of the times of the
/// steps that ran meanwhile, each a linear function of its features; so measured latencies are regressed on sums of
/// simulated features, with the prior oracle's coefficients as prior. Other coefficients make another schedule:
/// simulate again, until nothing changes.
struct DeploymentFit {
    /// Rounds after which the search stops.
    static let maximumRounds = 16
    /// Standard deviation of each coefficient around the prior oracle's, relative, beside a factor common to all.
    private static let freedom = 0.4

    /// One run and which of its requests may be seen.
    struct Run {
        var prepared: PreparedScenario
        var measured: [RequestRecord]
        var use: [Bool]
    }

    /// Where the search ended.
    struct Outcome {
        var model: StepModel
        /// Factor on the times before the queue and after the last step.
        var outside: Double
        var rounds: Int
        /// Whether further rounds would change nothing.
        var isSettled: Bool
        /// Request latencies used, two a request.
        var rows: Int
    }

    private let prior: StepModel
    private let artifact: OracleArtifact
    private let features: [StepFeature]
    private let means: [Double]
    private let covariance: SquareMatrix
    private let facts: DeploymentFacts
    /// Factor on the time outside the engine that is known already.
    private let knownOutside: Double?
    let isCancelled: @Sendable () -> Bool

    /// - Throws: `InvalidInput` for an oracle without coefficients.
    init(
        _ artifact: OracleArtifact, facts: DeploymentFacts, knownOutside: Double? = nil,
        isCancelled: @escaping @Sendable () -> Bool
    ) throws {
        self.artifact = artifact
        self.facts = facts
        self.knownOutside = knownOutside
        self.isCancelled = isCancelled
        prior = artifact.step.specialised(for: facts).model
        guard prior.link == .identity, !prior.coefficients.isEmpty else {
            throw InvalidInput(
                .usage, field: "--oracle", value: artifact.name,
                "has no coefficients of seconds to start from (its kind is \(prior.kind.rawValue))",
                accepted: "roofline, or an oracle of `train --method ard`")
        }
        let set = try FeatureSet.named(prior.featureSet)
        // Experts of a dense model, links of a single rank.
        func isAbsent(_ name: String) throws -> Bool {
            try FeatureSet.stepFeature(named: name, in: set).form(facts).nonzero.isEmpty
        }
        let correction = prior.calibration ?? Calibration(slope: 1, bias: 0, varianceScale: 1)
        var start: [(feature: String, value: Double)] = [("constant", correction.bias)]
        for coefficient in prior.coefficients {
            if coefficient.feature == "constant" {
                start[0].value += correction.slope * coefficient.value
            } else if coefficient.value != 0, try !isAbsent(coefficient.feature) {
                start.append((coefficient.feature, correction.slope * coefficient.value))
            }
        }
        // Host work per request has to be findable although nothing taught it.
        let hostWork = "running_requests"
        if set.step.contains(where: { $0.name == hostWork }),
            !start.contains(where: { $0.feature == hostWork })
        {
            start.append((hostWork, 0))
        }
        features = try start.map { try FeatureSet.stepFeature(named: $0.feature, in: set) }
        let discrepancy = prior.discrepancy ?? Discrepancy(scaleStd: 0.15, offsetStd: 1e-3)
        let common = max(discrepancy.scaleStd, 0.1)
        var covariance = SquareMatrix(size: features.count + 1)
        for (i, one) in start.enumerated() {
            for (j, other) in start.enumerated() {
                covariance[i, j] = common * common * one.value * other.value
            }
            let own = Self.freedom * one.value
            covariance[i, i] += own * own
            if one.feature == "constant" {
                let offset = max(discrepancy.offsetStd, 0.5e-3)
                covariance[i, i] += offset * offset
            }
            if one.feature == hostWork { covariance[i, i] += 5e-6 * 5e-6 }
        }
        // API servers differ by their machine and load: a factor of several is no surprise.
        let outside = knownOutside == nil ? 2 : 1e-6
        covariance[features.count, features.count] = outside * outside
        self.covariance = covariance
        means = start.map(\.value) + [knownOutside ?? 1]
    }

    /// Searches from the prior.
    func run(_ runs: [Run]) throws -> Outcome {
        var coefficients = means
        var fitted = SquareMatrix(size: means.count)
        var best:
            (objective: Double, coefficients: [Double], covariance: SquareMatrix, domain: TrainingDomain?)?
        var last = Double.infinity
        var step = 1.0
        var rounds = 0
        var isSettled = false
        var count = 0
        while rounds < Self.maximumRounds {
            rounds += 1
            let model = self.model(coefficients, fitted, domain: nil)
            let oracle = try compiled(model, outside: max(coefficients[features.count], 1e-3))
            let (rows, objective, states) = try simulate(
                runs, oracle, outside: max(coefficients[features.count], 1e-3))
            guard rows.targets.count >= 20 else {
                throw InvalidInput(
                    .badData, field: "requests", value: "\(rows.targets.count / 2)",
                    "that were answered, in measurement and simulation, are too few to calibrate on",
                    accepted: "at least 10")
            }
            count = rows.targets.count
            if objective < best?.objective ?? .infinity {
                best = (objective, coefficients, fitted, domain(states))
            }
            // A step that made things worse was too long.
            if objective > 1.02 * last { step = max(step / 2, 0.125) }
            last = objective
            var next = coefficients
            let regression = PriorRegression(means: means, covariance: covariance, free: [0])
            for _ in 0..<3 {
                let (gram, projection) = rows.gram(rows.weights(next))
                guard let fit = regression.fit(gram: gram, projection: projection) else { break }
                (next, fitted) = (fit.coefficients, fit.covariance)
            }
            let (before, after) = (rows.predictions(coefficients), rows.predictions(next))
            let change =
                zip(before, after).reduce(0) { $0 + abs($1.1 - $1.0) } / max(before.reduce(0, +), 1e-9)
            for index in next.indices { coefficients[index] += step * (next[index] - coefficients[index]) }
            if change < 1e-3 {
                isSettled = true
                break
            }
        }
        guard let best else { preconditionFailure("the first round is the best so far") }
        return Outcome(
            model: model(best.coefficients, best.covariance, domain: best.domain),
            outside: max(best.coefficients[features.count], 1e-3), rounds: rounds, isSettled: isSettled,
            rows: count)
    }

    private func compiled(_ model: StepModel, outside: Double) throws -> CompiledOracle {
        try StepTimeOracle(artifact: artifact.with(model, for: facts, outside: outside)).compile(for: facts)
    }

    /// Simulates all runs side by side.
    private func simulate(_ runs: [Run], _ oracle: CompiledOracle, outside: Double) throws -> (
        RequestRows, Double, [StepState]
    ) {
        let evaluator = StepFeatureEvaluator(features: features, facts: facts)
        let parts = try parallelMap(runs.count) { index -> (RequestRows, Double, [StepState]) in
            let run = runs[index]
            var prepared = run.prepared
            prepared.configuration.oracle = oracle
            prepared.configuration.collectsRecords = true
            prepared.configuration.collectsSteps = true
            prepared.configuration.checksDomain = false
            var simulation = try prepared.makeRun()
            var records: [RequestRecord] = []
            var steps: [StepRecord] = []
            while try simulation.advance(events: 1 << 14) {
                if isCancelled() { throw CancellationError() }
                records += simulation.takeRecords()
                steps += simulation.takeSteps()
            }
            _ = simulation.finish()
            records += simulation.takeRecords()
            steps += simulation.takeSteps()
            var rows = RequestRows(features: features.count)
            rows.add(
                measured: run.measured, simulated: records, steps: steps, use: run.use, features: evaluator,
                unit: outside
            ) { record in
                (
                    Ticks(seconds: oracle.arrivalSeconds(promptTokens: record.promptTokens)),
                    Ticks(seconds: oracle.postSeconds(outputTokens: 1))
                )
            }
            let stride = max(1, steps.count / 4000)
            let states = Swift.stride(from: 0, to: steps.count, by: stride).map { steps[$0].state }
            return (rows, Self.objective(records, run), states)
        }
        var all = parts[0]
        for part in parts.dropFirst() {
            all.0.append(part.0)
            all.1 += part.1
            all.2 += part.2
        }
        all.1 /= Double(parts.count)
        return all
    }

    /// How far the means of E2E latency and TTFT of the requests that may be seen are off, as a share.
    private static func objective(_ records: [RequestRecord], _ run: Run) -> Double {
        var sums = (measured: (0.0, 0.0), simulated: (0.0, 0.0))
        for record in records where record.index < run.use.count && run.use[record.index] {
            let truth = run.measured[record.index]
            guard record.status == .completed, truth.status == .completed else { continue }
            sums.measured.0 += truth.endToEnd.seconds
            sums.measured.1 += truth.timeToFirstToken.seconds
            sums.simulated.0 += record.endToEnd.seconds
            sums.simulated.1 += record.timeToFirstToken.seconds
        }
        guard sums.measured.0 > 0, sums.measured.1 > 0 else { return .greatestFiniteMagnitude }
        return abs(sums.simulated.0 / sums.measured.0 - 1)
            + 0.25 * abs(sums.simulated.1 / sums.measured.1 - 1)
    }

    // MARK: Model

    private func model(_ coefficients: [Double], _ covariance: SquareMatrix, domain: TrainingDomain?)
        -> StepModel
    {
        var model = prior
        if model.kind == .roofline { model.kind = .linear }
        model.calibration = nil
        model.dropped = nil
        model.domain = domain
        model.coefficients = features.indices.map {
            Coefficient(
                feature: features[$0].name, value: coefficients[$0],
                std: max(0, covariance[$0, $0]).squareRoot())
        }
        model.posterior = posterior(covariance)
        return model
    }

    /// The posterior centred where intercept and slopes are independent: at means m with S m = -c for the slopes'
    /// covariance S and theirs with the constant, c.
    private func posterior(_ covariance: SquareMatrix) -> Posterior? {
        let slopes = (1..<features.count).filter { covariance[$0, $0] > 0 }
        let own = covariance.submatrix(slopes)
        guard !slopes.isEmpty, let factor = CholeskyFactorization(own) else { return nil }
        let cross = slopes.map { covariance[0, $0] }
        let means = factor.solve(cross.map { -$0 })
        return Posterior(
            features: slopes.map { features[$0].name }, means: means, covariance: own.rows,
            interceptVariance: max(0, covariance[0, 0] - own.quadratic(means)))
    }

    /// Where the simulated steps lay.
    private func domain(_ states: [StepState]) -> TrainingDomain? {
        guard let set = try? FeatureSet.named(prior.featureSet) else { return nil }
        let candidates = Array(set.step.dropFirst())
        let evaluator = StepFeatureEvaluator(features: candidates, facts: facts)
        var rows = DesignRows(columns: candidates.count, capacity: states.count)
        for state in states { rows.append(evaluator.values(of: state), target: 0) }
        return StepTimeTrainer(TrainingOptions()).domain(rows, candidates)
    }
}

extension OracleArtifact {
    /// This artifact with a model of its own for one deployment and a factor on the times outside the engine.
    func with(_ model: StepModel, for facts: DeploymentFacts, outside: Double) -> OracleArtifact {
        var result = self
        let scope = ModelScope(configuration: facts)
        var own = model
        own.specialised = nil
        result.step.specialised =
            (step.specialised ?? []).filter { $0.scope != scope } + [
                ScopedStepModel(scope: scope, model: own)
            ]
        result.arrival = arrival.map { $0.scaled(by: outside) }
        result.post = post.map { $0.scaled(by: outside) }
        return result
    }
}
