import ArgumentParser
import Catalog
import LatencyOracle
import OracleTraining
import ServingCore

/// `stepcast evaluate`: an oracle against measured steps.
struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Error, coverage and calibration of an oracle on step traces, per deployment.",
        discussion: """
            With --adaptive the table ends with what P10-P90 covers as it is and when it is adapted along each run: \
            every measured step widens or narrows the intervals of those after it, so that a live stream keeps the \
            promise where the machine drifts. An oracle used for forecasts only has the static form.
            """)

    @OptionGroup var oracle: OracleOption
    @OptionGroup var input: TraceInputOptions

    @Option(help: "Only the rows after this share of each run's time.")
    var after = 0.0

    @Option(help: "Report to write (JSON); plots are written beside it.")
    var report: String?

    @Flag(help: "Score P10-P90 as it is and adapted along each run besides.")
    var adaptive = false

    @Flag(help: "Print JSON instead of a table.")
    var json = false

    func run() throws {
        guard after >= 0, after < 1 else {
            throw InvalidInput(
                .usage, field: "--after", value: "\(after)", "is out of range", accepted: "0 up to below 1")
        }
        let shipped = try ShippedFiles.locate()
        let loaded = try oracle.load(shipped)
        let data = try input.read(shipped)
        let rows = after > 0 ? RowSplit.forward(data, fraction: after).test : Array(0..<data.count)
        var evaluation = ForecastEvaluation(data)
        try evaluation.add(loaded, rows: rows, countDomain: true)
        var found = try EvaluationReport(evaluation, oracle: loaded.artifact)
        if adaptive { try found.addIntervals(loaded, data, rows: rows) }
        if let report {
            try writeFile(report, try found.json())
            try writeFile(stem(report) + "-predicted.svg", Array(ScatterPlot.svg(evaluation.steps).utf8))
            try writeFile(
                stem(report) + "-calibration.svg", Array(CalibrationPlot.svg(evaluation.steps).utf8))
        }
        print(json ? String(decoding: try found.json(), as: UTF8.self) : found.text)
    }
}
