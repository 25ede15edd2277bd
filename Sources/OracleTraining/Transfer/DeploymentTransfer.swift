import LatencyOracle
import ServingCore

/// Transfer of an artifact to every deployment in a data set.
public struct DeploymentTransfer: Sendable {
    /// The artifact with a model of its own for each deployment that needed a correction.
    public private(set) var artifact: OracleArtifact
    /// Decisions and evidence.
    public private(set) var report: TransferReport

    /// Judges and corrects an artifact for each deployment, on its first `rows` rows (all by default).
    /// - Throws: `InvalidInput` when the artifact cannot be compiled for a deployment.
    public init(_ artifact: OracleArtifact, data: StepDataSet, rows: Int?, run: TransferRun) throws {
        self.artifact = artifact
        report = TransferReport(
            oracle: artifact.name, rule: run.rule.rawValue, deployments: [], retrained: false)
        for index in data.groups.indices {
            let own = (0..<data.count).filter { data.group[$0] == index }.prefix(rows ?? Int.max)
            let facts = data.groups[index].facts
            let model = artifact.step.specialised(for: facts).model
            let outcome = try run.run(
                model, facts: facts, states: own.map { data.states[$0] },
                seconds: own.map { data.seconds[$0] })
            report.deployments.append(
                .init(
                    deployment: data.groups[index].name, decision: outcome.decision, reason: outcome.reason,
                    asIs: outcome.asIs,
                    tried: outcome.tried.map {
                        .init(correction: $0.decision, objections: $0.objections, evidence: $0.evidence)
                    }, calibration: outcome.model.calibration,
                    weights: outcome.decision == .reweighted ? outcome.model.ensemble?.fixedWeights : nil))
            guard [.calibrated, .reweighted, .refitted].contains(outcome.decision) else { continue }
            var specialised = (self.artifact.step.specialised ?? []).filter {
                $0.scope != ModelScope(configuration: facts)
            }
            specialised.append(ScopedStepModel(scope: ModelScope(configuration: facts), model: outcome.model))
            self.artifact.step.specialised = specialised
        }
    }

    /// Trains again on the donors' rows with the target's added, by the method of the artifact's models.
    /// - Throws: `InvalidInput` when the rows cannot be trained on.
    public mutating func retrain(donors: StepDataSet, target: StepDataSet, rows: Int?) throws {
        var options = TrainingOptions()
        options.features = try FeatureSet.named(artifact.step.featureSet)
        switch artifact.step.kind {
        case .quantile: options.method = .quantile
        case .ensemble: options.method = .ensemble
        case .linear, .ard, .roofline: break
        }
        let scopes = artifact.step.specialised ?? []
        options.nonnegative = ([artifact.step] + scopes.map(\.model)).allSatisfy { model in
            model.link == .identity && model.coefficients.allSatisfy { $0.value >= 0 }
        }
        options.sparse = artifact.step.kind == .ard
        if scopes.contains(where: { $0.scope.model == nil }) {
            options.specialisation = .accelerator
        } else if !scopes.isEmpty {
            options.specialisation = .configuration
        }
        var data = donors
        var chosen: [Int] = []
        for index in target.groups.indices {
            chosen += (0..<target.count).filter { target.group[$0] == index }.prefix(rows ?? Int.max)
        }
        data.add(target.selecting(chosen.sorted()))
        var run = TrainingRun(options)
        run.baseline = false
        let outcome = try run.run(data)
        artifact.step = outcome.model
        artifact.provenance = .init(
            dataHash: data.hash, rows: data.count,
            configurations: outcome.report.data.configurations.map(\.name),
            method: outcome.report.method, sources: (artifact.provenance?.sources ?? []) + ["target"])
        report.retrained = true
        report.validation = outcome.report.validation
    }

    /// Whether the artifact may be used on every deployment.
    public var mayBeUsed: Bool {
        report.retrained || !report.deployments.contains { $0.decision == .retrainingNeeded }
    }
}

/// Decisions of a transfer, with the evidence.
public struct TransferReport: Codable, Sendable {
    /// Name of the oracle.
    public var oracle: String
    /// How it was judged.
    public var rule: String
    /// One entry per deployment.
    public var deployments: [Deployment]
    /// Whether it was trained again.
    public var retrained: Bool
    /// Held-out errors of the retrained model.
    public var validation: [TrainingReport.ValidationTable]?

    /// Decision on one deployment.
    public struct Deployment: Codable, Sendable {
        /// Name.
        public var deployment: String
        /// What to do.
        public var decision: TransferRun.Decision
        /// Why.
        public var reason: String
        /// The oracle as it came.
        public var asIs: TransferEvidence?
        /// Corrections that were tried, each on time it was not fitted to.
        public var tried: [Tried]
        /// The correction chosen.
        public var calibration: Calibration?
        /// The weight of each specialist, where those were refitted.
        public var weights: [Double]?

        enum CodingKeys: String, CodingKey {
            case deployment, decision, reason, tried, calibration, weights
            case asIs = "as_is"
        }
    }

    /// One correction.
    public struct Tried: Codable, Sendable {
        /// Which.
        public var correction: TransferRun.Decision
        /// What speaks against it.
        public var objections: [String]
        /// How it did.
        public var evidence: TransferEvidence
    }

    /// The report as JSON.
    /// - Throws: never in practice: every field is encodable.
    public func json() throws -> [UInt8] { try reportJSON() }

    /// The report as a table.
    public var text: String {
        var rows = [["deployment", "rows", "median %", "MAPE %", "covers %", "bias", "z > 2 %", "decision"]]
        for entry in deployments {
            func line(_ name: String, _ evidence: TransferEvidence?, _ decision: String) -> [String] {
                [
                    name, "\(evidence?.rows ?? 0)", evidence.map { NumberText.percent($0.medianAPE) } ?? "-",
                    evidence.map { NumberText.percent($0.mape) } ?? "-",
                    evidence.map { NumberText.percent($0.coverage) } ?? "-",
                    evidence.map { NumberText.fixed($0.bias, 2) } ?? "-",
                    evidence.map { NumberText.percent($0.outlierRate) } ?? "-", decision,
                ]
            }
            rows.append(line(entry.deployment, entry.asIs, entry.decision.rawValue))
            for tried in entry.tried {
                rows.append(
                    line(
                        "  \(tried.correction.rawValue), held out", tried.evidence,
                        tried.objections.joined(separator: "; ")))
            }
        }
        var lines = ReportTables.aligned(rows)
        for entry in deployments {
            lines.append("\(entry.deployment): \(entry.decision.rawValue): \(entry.reason)")
        }
        if retrained { lines.append("trained again with the target among the donors") }
        for table in validation ?? [] { lines += ["", table.name] + ReportTables.validation(table) }
        return lines.joined(separator: "\n")
    }
}
