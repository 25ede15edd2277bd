import Catalog
import LatencyOracle
import Scenarios
import ServingCore
import Simulation

/// Fits an oracle to measured runs of which only requests are known: arrival, lengths, TTFT and E2E latency.
public struct RequestCalibration: Sendable {
    /// What is held out to learn the error on requests that the fit did not see; nil holds nothing out.
    public var holdout: Holdout? = .minutes
    /// Whether the oracle is fitted again, to all requests, once the error on those held out is known.
    public var refitsToAll = true
    /// Whether runs that the index calls overloaded are fitted to although their deployment has others.
    public var fitsOverloaded = false
    /// Asked now and then; true ends the calibration with `CancellationError`.
    public var isCancelled: @Sendable () -> Bool = { false }
    /// Told what is being done, in a few words.
    public var report: @Sendable (String) -> Void = { _ in }

    /// Odd minutes held out, then a fit to everything.
    public init() {}

    /// What came of one deployment.
    public struct Deployment: Sendable {
        /// Model, accelerator and layout.
        public var scope: ModelScope
        /// Runs in the order of the index.
        public var runs: [String]
        /// Request latencies fitted, two a request.
        public var rows: Int
        /// Rounds of simulation and regression.
        public var rounds: Int
        /// Whether the last round changed less than a thousandth.
        public var isSettled: Bool
        /// Factor on the prior oracle's times before the queue and after the last step.
        public var outside: Double
        /// Each run's requests held out, simulated with the prior oracle; empty without a holdout.
        public var before: [RunComparison]
        /// The same with the fit that did not see them.
        public var heldOut: [RunComparison]
        /// All requests, simulated with the oracle that was written.
        public var inSample: [RunComparison]
        /// The model.
        public var model: StepModel
        /// The same before.
        public var prior: StepModel
    }

    /// An oracle and how well it does.
    public struct Outcome: Sendable {
        /// The prior oracle with a model of its own for each deployment.
        public var artifact: OracleArtifact
        /// One per deployment.
        public var deployments: [Deployment]
    }

    /// Calibrates on runs, pooled by deployment.
    /// - Parameters:
    ///   - base: latency mode and seed of the simulations.
    ///   - prior: where the fit starts and what it is pulled to.
    /// - Throws: `InvalidInput` for unknown deployments, too few requests, or an oracle without coefficients;
    ///   `CancellationError`.
    public func run(
        _ runs: [MeasuredRun], base: Scenario, prior: StepTimeOracle, shipped: ShippedFiles
    ) throws -> Outcome {
        var start = prior.artifact
        // Oracles trained on steps alone know nothing of the time outside the engine.
        start.arrival = start.arrival ?? StepTimeOracle.roofline.artifact.arrival
        start.post = start.post ?? StepTimeOracle.roofline.artifact.post
        let startOracle = try StepTimeOracle(artifact: start)
        var groups: [(scope: ModelScope, facts: DeploymentFacts, members: [Int])] = []
        let prepared = try runs.map {
            try $0.scenario(base: base).prepare(shipped: shipped, oracle: startOracle)
        }
        for index in runs.indices {
            let scope = ModelScope(configuration: prepared[index].facts)
            if let known = groups.firstIndex(where: { $0.scope == scope }) {
                groups[known].members.append(index)
            } else {
                groups.append((scope, prepared[index].facts, [index]))
            }
        }
        // Latencies of an overloaded run tell its length and the patience of its clients more than step times.
        if !fitsOverloaded {
            for index in groups.indices {
                let others = groups[index].members.filter { !runs[$0].entry.overloaded }
                let left = groups[index].members.count - others.count
                guard !others.isEmpty, left > 0 else { continue }
                report("\(groups[index].scope): \(left) overloaded run\(left == 1 ? "" : "s") left out")
                groups[index].members = others
            }
        }
        func fit(_ group: Int, _ part: Holdout?, outside: Double? = nil) throws -> DeploymentFit.Outcome {
            let (_, facts, members) = groups[group]
            let search = try DeploymentFit(
                start, facts: facts, knownOutside: outside, isCancelled: isCancelled)
            return try search.run(
                members.map { index in
                    let held = part.map { runs[index].isHeldOut($0) }
                    return DeploymentFit.Run(
                        prepared: prepared[index], measured: runs[index].records,
                        use: held?.map { !$0 } ?? runs[index].records.map { _ in true })
                })
        }
        func compare(_ artifact: OracleArtifact, _ members: [Int], _ part: Holdout?) throws -> [RunComparison]
        {
            var options = RunComparison.Options()
            options.part = part
            options.isCancelled = isCancelled
            let given = options
            let oracle = try StepTimeOracle(artifact: artifact)
            return try parallelMap(members.count) {
                try RunComparison(
                    runs[members[$0]], base: base, shipped: shipped, oracle: oracle, options: given)
            }
        }
        var deployments: [Deployment] = []
        for (index, group) in groups.enumerated() {
            report("\(group.scope): fitting")
            let first = try fit(index, holdout)
            var model = first.model
            var heldOut: [RunComparison] = []
            var before: [RunComparison] = []
            if let holdout {
                report("\(group.scope): held-out error")
                let trained = start.with(model, for: group.facts, outside: first.outside)
                before = try compare(start, group.members, holdout)
                heldOut = try compare(trained, group.members, holdout)
            }
            var last = first
            if holdout != nil, refitsToAll {
                report("\(group.scope): fitting to all requests")
                last = try fit(index, nil)
                model = last.model
            }
            model.discrepancy = Self.discrepancy(heldOut)
            deployments.append(
                Deployment(
                    scope: group.scope, runs: group.members.map { runs[$0].entry.name }, rows: last.rows,
                    rounds: last.rounds, isSettled: last.isSettled, outside: last.outside, before: before,
                    heldOut: heldOut, inSample: [], model: model,
                    prior: start.step.specialised(for: group.facts).model))
        }
        // The artifact has one time outside the engine for all deployments: the median of theirs.
        let outsides = deployments.map(\.outside).sorted()
        let outside = outsides[outsides.count / 2]
        if deployments.count > 1 {
            for index in groups.indices {
                report("\(groups[index].scope): fitting with the common time outside the engine")
                let again = try fit(index, refitsToAll ? nil : holdout, outside: outside)
                let discrepancy = deployments[index].model.discrepancy
                deployments[index].model = again.model
                deployments[index].model.discrepancy = discrepancy
                deployments[index].outside = outside
            }
        }
        var artifact = start
        artifact.arrival = start.arrival?.scaled(by: outside)
        artifact.post = start.post?.scaled(by: outside)
        // Measured here: what is left is small beside the prior's.
        artifact.arrival?.discrepancy = 0.2
        artifact.post?.discrepancy = 0.2
        for (group, deployment) in zip(groups, deployments) {
            artifact = artifact.with(deployment.model, for: group.facts, outside: 1)
        }
        for (index, group) in groups.enumerated() {
            deployments[index].inSample = try compare(artifact, group.members, nil)
        }
        artifact.provenance = .init(
            dataHash: Self.hash(runs), rows: runs.reduce(0) { $0 + $1.records.count },
            configurations: groups.map(\.scope.description),
            method:
                "sums of simulated step features regressed on measured TTFT and E2E latency, starting from "
                + prior.artifact.name, sources: runs.map(\.entry.name))
        return Outcome(artifact: artifact, deployments: deployments)
    }

    /// What deployments like these still deviate by: the error on held-out requests, at least 1 %; 3 % if unknown.
    private static func discrepancy(_ heldOut: [RunComparison]) -> Discrepancy {
        let errors = heldOut.compactMap { $0.metric("mean_e2el_ms")?.ape }
        guard !errors.isEmpty else { return Discrepancy(scaleStd: 0.03, offsetStd: 0.1e-3) }
        let square = errors.reduce(0) { $0 + $1 * $1 } / Double(errors.count)
        return Discrepancy(scaleStd: max(0.01, square.squareRoot()), offsetStd: 0.1e-3)
    }

    /// FNV-1a of what was measured.
    private static func hash(_ runs: [MeasuredRun]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for record in runs.flatMap(\.records) {
            for value in [
                record.sent, record.firstToken, record.finished, Int64(record.promptTokens),
                Int64(record.outputTokens),
            ] { hash = (hash ^ UInt64(bitPattern: value)) &* 0x0000_0100_0000_01b3 }
        }
        return String(hash, radix: 16)
    }
}
