import ArgumentParser
import Catalog
import Foundation
import LatencyOracle
import OracleTraining
import ServingCore

/// `stepcast transfer`: an oracle for a configuration it was not trained on.
struct TransferCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "transfer",
        abstract:
            "Test an oracle on a new deployment's traces; correct it, train it again, or say that it must be.",
        discussion: """
            Accepts the oracle when coverage of P10-P90, bias and CRPS agree with what it promises; else corrects \
            slope, bias and variance, or refits the weights of an ensemble's specialists, or the coefficients with the \
            donors' as prior, if that passes on blocks of time it was not fitted to; else says that retraining is needed (exit status 1), or does it with \
            --retrain.
            """)

    @OptionGroup var oracle: OracleOption
    @OptionGroup var input: TraceInputOptions

    @Option(help: "Use only the first rows of each deployment.")
    var rows: Int?

    @Option(
        help: "How transfer is judged: coverage, or zscore (more than 10 % of rows beyond two deviations).")
    var rule = "coverage"

    @Flag(help: "Train again on the donors' traces with the target's added.")
    var retrain = false

    @Option(parsing: .upToNextOption, help: "Traces of the donors, for --retrain.")
    var donors: [String] = []

    @Option(name: .shortAndLong, help: "Artifact to write.")
    var output: String?

    @Option(help: "Report to write (JSON).")
    var report: String?

    func run() throws {
        if retrain, donors.isEmpty {
            throw InvalidInput(
                .usage, field: "--retrain", "needs the donors' traces", accepted: "--donors PATH…")
        }
        if let rows, rows < 0 {
            throw InvalidInput(
                .usage, field: "--rows", value: "\(rows)", "is negative", accepted: "at least 0")
        }
        let shipped = try ShippedFiles.locate()
        let loaded = try oracle.load(shipped)
        let data = try input.read(shipped)
        var run = TransferRun()
        run.rule = try choice(rule, "--rule")
        var result = try DeploymentTransfer(loaded.artifact, data: data, rows: rows, run: run)
        if retrain {
            try result.retrain(donors: TraceInputOptions.read(donors, shipped), target: data, rows: rows)
        }
        if let report { try writeFile(report, try result.report.json()) }
        print(result.report.text)
        if let output, result.mayBeUsed { try writeFile(output, try result.artifact.json()) }
        if !result.mayBeUsed { throw ExitCode(1) }
    }
}
