import ArgumentParser
import ByteStreams
import Catalog
import Foundation
import LatencyOracle
import OracleTraining
import ServingCore

/// `stepcast drift`: when an oracle stopped being true.
struct DriftCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drift",
        abstract: "Watch an oracle's errors along traces and say at which step they changed.",
        discussion: "Exits with 1 when any run drifted.")

    @Option(help: "Oracle to watch: an artifact's path.")
    var oracle: String

    @OptionGroup var input: TraceInputOptions

    @Option(help: "Rows at the start of each run that are taken as normal.")
    var reference = 2000

    @Option(help: "Report to write (JSON).")
    var report: String?

    func run() throws {
        guard reference >= DriftReport.leastReference else {
            throw InvalidInput(
                .usage, field: "--reference", value: "\(reference)", "is too short",
                accepted: "at least \(DriftReport.leastReference) rows")
        }
        let artifact = try OracleArtifact(json: readWholeFile(oracle), source: oracle)
        let data = try input.read(ShippedFiles.locate())
        let found = try DriftReport(
            oracle: StepTimeOracle(artifact: artifact, source: oracle), data: data, reference: reference)
        if let report {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try writeFile(report, Array(try encoder.encode(found)))
        }
        for run in found.runs { print(run.text) }
        if found.drifted { throw ExitCode(1) }
    }
}
