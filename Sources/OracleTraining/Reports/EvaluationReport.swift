import LatencyOracle
import ServingCore

/// How an oracle did on measured steps, as `stepcast evaluate` saves it.
public struct EvaluationReport: Codable, Sendable {
    /// Name of the oracle.
    public var oracle: String
    /// Share of the rows inside the training domain; absent where the oracle records none.
    public var inDomain: Double?
    /// Scores per deployment and over all.
    public var table: TrainingReport.ValidationTable
    /// Coverage of P10-P90 per run: mean over runs, and each run's.
    public var runs: Runs

    /// Spread of single steps around the prediction, per deployment.
    public var spreads: [StepSpread]

    /// P10-P90 as it is and adapted along each run, when asked for.
    public var intervals: [IntervalScore]?

    /// Coverage per run.
    public struct Runs: Codable, Sendable {
        /// Mean over runs.
        public var meanCoverage: Double
        /// Each run's coverage with its 90 % interval by block bootstrap.
        public var coverage: [TrainingReport.ValidationTable.Line]

        enum CodingKeys: String, CodingKey {
            case coverage
            case meanCoverage = "mean_coverage"
        }
    }

    enum CodingKeys: String, CodingKey {
        case oracle, table, runs, spreads, intervals
        case inDomain = "in_domain"
    }

    /// The report of an evaluation.
    /// - Throws: `InvalidInput` when nothing was predicted.
    public init(_ evaluation: ForecastEvaluation, oracle artifact: OracleArtifact) throws {
        guard let overall = evaluation.overall else {
            throw InvalidInput(.badData, field: "traces", "leave no rows to evaluate")
        }
        oracle = artifact.name
        let hasDomain = artifact.step.domain != nil
        inDomain = hasDomain ? Double(evaluation.inDomain) / Double(evaluation.steps.count) : nil
        table = .init(
            name: "errors of \(artifact.name)",
            groups: evaluation.byGroup().map { .init(group: $0.group, test: $0.scores) },
            overall: .init(group: "all rows", test: overall))
        let data = evaluation.data
        spreads = StepSpread.byGroup(evaluation)
        let lines = evaluation.by { "run \(data.run[$0]): \(data.groups[data.group[$0]].name)" }.map {
            TrainingReport.ValidationTable.Line(group: $0.group, test: $0.scores)
        }
        runs = Runs(
            meanCoverage: lines.reduce(0) { $0 + $1.test.coverage } / Double(max(1, lines.count)),
            coverage: lines)
    }

    /// Scores P10-P90 as it is and adapted along each run.
    /// - Throws: `InvalidInput` when the oracle does not fit the data's deployments.
    public mutating func addIntervals(_ oracle: StepTimeOracle, _ data: StepDataSet, rows: [Int]) throws {
        let evaluation = try IntervalEvaluation(oracle, data, rows: rows)
        intervals = [
            evaluation.score("static"), evaluation.adaptiveScore("adaptive, knowing the steps before"),
        ]
    }

    /// The report as JSON.
    /// - Throws: never in practice: every field is encodable.
    public func json() throws -> [UInt8] { try reportJSON() }

    /// The report as a table.
    public var text: String {
        var lines = [table.name]
        lines += ReportTables.validation(table)
        if let inDomain {
            lines.append("\(NumberText.percent(inDomain)) % of the rows are inside the training domain")
        }
        lines.append(
            "P10-P90 covers \(NumberText.percent(runs.meanCoverage)) % in the mean over \(runs.coverage.count) runs"
        )
        lines += StepSpread.text(spreads)
        if let intervals { lines += [""] + EnsembleTables.table(intervals) }
        return lines.joined(separator: "\n")
    }
}
