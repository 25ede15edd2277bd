import LatencyOracle
import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Decides whether an oracle may be used on a configuration that it was not trained on, and corrects it if that is
/// enough.
public struct TransferRun: Sendable {
    /// How transfer is judged.
    public var rule = TransferRule.coverage
    /// Fewer target rows than this decide nothing.
    public var minimumRows = 30
    /// Coefficients are refitted only with this many rows.
    public var refitRows = 500

    /// The default rule.
    public init() {}

    /// What to do with the oracle.
    public enum Decision: String, Codable, Sendable {
        /// No or too few target rows: nothing is known.
        case untested
        /// Use it as it is.
        case accepted
        /// Use it with slope, bias and variance corrected.
        case calibrated
        /// Use it with the specialists' weights refitted on the target.
        case reweighted
        /// Use it with coefficients refitted on the target, the donors' as prior.
        case refitted
        /// Train again with the target among the donors.
        case retrainingNeeded = "retraining needed"
    }

    /// A decision and what it rests on.
    public struct Outcome: Sendable {
        /// What to do.
        public var decision: Decision
        /// Why, in a sentence.
        public var reason: String
        /// The oracle as it came, on all target rows; nil without rows.
        public var asIs: TransferEvidence?
        /// The corrections that were tried, each judged on blocks of time that it was not fitted to.
        public var tried: [(decision: Decision, evidence: TransferEvidence, objections: [String])]
        /// Model for the target.
        public var model: StepModel
    }

    /// Judges and corrects a step model on rows of one target configuration, in order of time.
    /// - Throws: `InvalidInput` when the model cannot be compiled for the target.
    public func run(
        _ model: StepModel, facts: DeploymentFacts, states: [StepState], seconds: [Double]
    ) throws -> Outcome {
        guard states.count >= minimumRows else {
            let evidence = try states.isEmpty ? nil : Self.evidence(model, facts, states, seconds)
            return Outcome(
                decision: .untested,
                reason:
                    "\(states.count) rows of the target are too few to judge by (\(minimumRows) are needed)",
                asIs: evidence, tried: [], model: model)
        }
        let asIs = try Self.evidence(model, facts, states, seconds)
        let objections = rule.objections(asIs)
        guard !objections.isEmpty else {
            return Outcome(
                decision: .accepted, reason: "predictions agree with \(states.count) rows of the target",
                asIs: asIs,
                tried: [], model: model)
        }
        var tried: [(decision: Decision, evidence: TransferEvidence, objections: [String])] = []
        typealias Correction = (StepModel, DeploymentFacts, [StepState], [Double]) throws -> StepModel
        var corrections: [(Decision, Correction)] = [
            (.calibrated, { try TargetCalibration.linear($0, facts: $1, states: $2, seconds: $3) })
        ]
        if model.kind == .ensemble, (model.ensemble?.specialists.count ?? 0) > 1 {
            corrections.append(
                (.reweighted, { try WeightTuning.refit($0, facts: $1, states: $2, seconds: $3) }))
        }
        if states.count >= refitRows, model.link == .identity, !model.coefficients.isEmpty {
            corrections.append(
                (.refitted, { try TargetCalibration.residualRefit($0, facts: $1, states: $2, seconds: $3) }))
        }
        for (decision, correct) in corrections {
            let evidence = try crossValidated(model, facts, states, seconds, correct)
            tried.append((decision: decision, evidence: evidence, objections: rule.objections(evidence)))
        }
        // The simpler correction unless the deeper one is clearly better.
        let passed = tried.filter { $0.objections.isEmpty && Self.isReasonable($0.evidence, model) }
        guard let best = passed.min(by: { $0.evidence.relativeCRPS < $1.evidence.relativeCRPS }),
            let first = passed.first
        else {
            return Outcome(
                decision: .retrainingNeeded,
                reason: objections.joined(separator: "; ") + "; no correction mends it", asIs: asIs,
                tried: tried,
                model: model)
        }
        let chosen = best.evidence.relativeCRPS < 0.95 * first.evidence.relativeCRPS ? best : first
        guard let correct = corrections.first(where: { $0.0 == chosen.decision })?.1 else {
            preconditionFailure("every tried correction is in the list")
        }
        return Outcome(
            decision: chosen.decision, reason: objections.joined(separator: "; "), asIs: asIs, tried: tried,
            model: try correct(model, facts, states, seconds))
    }

    /// A correction that leaves errors several times the oracle's own noise explains nothing: the structure is wrong.
    private static func isReasonable(_ evidence: TransferEvidence, _ model: StepModel) -> Bool {
        let own = model.noise.map { $0.relative ? $0.scale : 0.05 } ?? 0.05
        let allowed = max(3 * own, 0.10)
        return evidence.medianAPE <= allowed
    }

    static func evidence(
        _ model: StepModel, _ facts: DeploymentFacts, _ states: [StepState], _ seconds: [Double]
    ) throws -> TransferEvidence {
        let oracle = try StepTimeOracle(
            artifact: OracleArtifact(name: "target", summary: "under test", step: model)
        ).compile(for: facts)
        return TransferEvidence(oracle, states: states, seconds: seconds)
    }

    /// Judges a correction on five blocks of time, each predicted by the correction fitted to the others.
    private func crossValidated(
        _ model: StepModel, _ facts: DeploymentFacts, _ states: [StepState], _ seconds: [Double],
        _ correct: (StepModel, DeploymentFacts, [StepState], [Double]) throws -> StepModel
    ) throws -> TransferEvidence {
        let n = states.count
        var parts: [(TransferEvidence, Int)] = []
        for block in 0..<5 {
            let held = n * block / 5..<n * (block + 1) / 5
            guard !held.isEmpty else { continue }
            let inside = (0..<n).filter { !held.contains($0) }
            let corrected = try correct(model, facts, inside.map { states[$0] }, inside.map { seconds[$0] })
            parts.append(
                (try Self.evidence(corrected, facts, Array(states[held]), Array(seconds[held])), held.count))
        }
        return TransferEvidence(joining: parts)
    }
}

extension TransferEvidence {
    /// Evidence of several blocks together; intervals follow from the spread of the blocks.
    init(joining parts: [(TransferEvidence, Int)]) {
        let total = Double(parts.reduce(0) { $0 + $1.1 })
        func mean(_ value: (TransferEvidence) -> Double) -> Double {
            parts.reduce(0) { $0 + value($1.0) * Double($1.1) } / total
        }
        func interval(_ value: (TransferEvidence) -> Double) -> [Double] {
            let centre = mean(value)
            let variance = parts.reduce(0) { $0 + (value($1.0) - centre) * (value($1.0) - centre) }
            let count = Double(parts.count)
            // Student-t with 4 degrees of freedom, 99 %.
            let half = 4.604 * (variance / max(1, count - 1) / count).squareRoot()
            return [centre - half, centre + half]
        }
        rows = Int(total)
        outlierRate = mean { $0.outlierRate }
        coverage = mean { $0.coverage }
        coverageInterval = interval { $0.coverage }
        bias = mean { $0.bias }
        biasInterval = interval { $0.bias }
        relativeCRPS = mean { $0.relativeCRPS }
        expectedCRPS = mean { $0.expectedCRPS }
        medianAPE = mean { $0.medianAPE }
        mape = mean { $0.mape }
    }
}

/// Natural logarithm, for files without a C library.
enum NaturalLogarithm {
    static func of(_ x: Double) -> Double { log(x) }
}
