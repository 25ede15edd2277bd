import ArgumentParser
import Catalog
import Foundation
import LatencyOracle
import Reports
import Scenarios
import ServingCore
import Simulation
import Validation

/// `stepcast calibrate`: an oracle from request latencies alone.
struct CalibrateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calibrate",
        abstract:
            "Fit a latency oracle to measured requests (arrival, lengths, TTFT, E2E), without step traces.",
        discussion: """
            RUNS_DIR is a folder as `stepcast validate` reads it. Each run is simulated for its schedule; the \
            latencies that were measured are regressed on sums of the features of the simulated steps, with the \
            coefficients of --oracle as prior; then again with the new coefficients, until nothing changes. The \
            oracle that is written is the prior one with a model of its own for each deployment in the folder.

            The error is told on requests that the fit did not see: the odd minutes of each load stage, or every \
            second request. The oracle written is then fitted to all of them, unless --no-refit.
            """)

    @Argument(help: "Folder with index.json and the runs.", completion: .directory)
    var runsDir: String

    @Option(
        help:
            "Latency oracle to start from: a name that `stepcast oracles` lists, or a file; auto is the accelerator's own."
    )
    var oracle = OracleCatalog.automatic

    @Option(help: "Only runs whose name contains this.")
    var only: String?

    @Option(help: "What to hold out: minutes, requests, or none.")
    var holdout = "minutes"

    @Flag(inversion: .prefixedNo, help: "Whether the oracle written is fitted to the requests held out, too.")
    var refit = true

    @Flag(
        help:
            "Fit overloaded runs, too, where a deployment has others; those without others are fitted anyway."
    )
    var overloaded = false

    @Option(help: "Name in the artifact; the output file's name by default.")
    var name: String?

    @Option(name: .shortAndLong, help: "Artifact to write.", completion: .file())
    var output: String

    @Option(help: "Report to write (JSON).", completion: .file())
    var report: String?

    func run() throws {
        let shipped = try ShippedFiles.locate()
        var calibration = RequestCalibration()
        calibration.holdout = holdout == "none" ? nil : try choice(holdout, "--holdout")
        calibration.refitsToAll = refit
        calibration.fitsOverloaded = overloaded
        calibration.isCancelled = { Interruption.isPending }
        calibration.report = { text in
            FileHandle.standardError.write(Data("stepcast: \(text)\n".utf8))
        }
        Interruption.catchInterrupts()
        let runs = try MeasuredRunEntry.read(folder: runsDir).filter { entry in
            only.map { entry.name.contains($0) } ?? true
        }.map { try MeasuredRun($0, folder: runsDir) }
        guard !runs.isEmpty else { throw InvalidInput(.noSuchInput, source: runsDir, "holds no such run") }
        var base = Scenario()
        base.oracle = try priorName(runs, shipped)
        let prior = try OracleCatalog(shipped).oracle(base.oracle)
        var outcome: RequestCalibration.Outcome
        do {
            outcome = try calibration.run(runs, base: base, prior: prior, shipped: shipped)
        } catch is CancellationError {
            throw ExitCode(130)
        }
        outcome.artifact.name = name ?? fileStem(output)
        let scopes = outcome.deployments.map(\.scope.description).joined(separator: ", ")
        outcome.artifact.summary =
            "calibrated on the request latencies of \(runs.count) run\(runs.count == 1 ? "" : "s") (\(scopes)), "
            + "starting from \(prior.artifact.name)"
        try writeFile(output, try outcome.artifact.json())
        let text = calibrationText(outcome, holdout: calibration.holdout, refit: refit)
        try writeFile(
            stem(output) + ".md",
            Array("# \(outcome.artifact.name)\n\n\(outcome.artifact.summary).\n\n```text\n\(text)```\n".utf8))
        if let report { try calibrationJSON(outcome, holdout: calibration.holdout).write(to: report) }
        print(text, terminator: "")
    }
}

extension CalibrateCommand {
    /// The oracle to start from: one for all runs.
    private func priorName(_ runs: [MeasuredRun], _ shipped: ShippedFiles) throws -> String {
        guard oracle == OracleCatalog.automatic else { return oracle }
        let accelerators = try AcceleratorCatalog(shipped)
        let names = Set(
            try runs.map { run in
                OracleCatalog(shipped).name(
                    forAccelerator: try accelerators.accelerator(run.entry.gpu).name)
            }
        ).sorted()
        guard names.count == 1 else {
            throw InvalidInput(
                .usage, field: "--oracle", value: oracle,
                "stands for several oracles here (\(names.joined(separator: ", ")))",
                accepted: "one of them, or --only for the runs on one accelerator")
        }
        return names[0]
    }
}

private let shown = [
    ("mean_ttft_ms", "mean TTFT"), ("p99_ttft_ms", "P99 TTFT"), ("mean_tpot_ms", "mean TPOT"),
    ("mean_e2el_ms", "mean E2EL"), ("p99_e2el_ms", "P99 E2EL"),
]

/// Errors per run before and after, then the coefficients.
private func calibrationText(
    _ outcome: RequestCalibration.Outcome, holdout: Holdout?, refit: Bool
) -> String {
    var text = ""
    for deployment in outcome.deployments {
        text += "\(deployment.scope): \(deployment.rows) latencies, \(deployment.rounds) rounds"
        text += deployment.isSettled ? "\n" : ", not settled: more rounds would still change it\n"
        var errors = TextTable(["error", ""] + shown.map(\.1), rightAligned: Set(2...6))
        func add(_ comparisons: [RunComparison], _ what: String) {
            for comparison in comparisons {
                errors.add(
                    [comparison.name, what]
                        + shown.map { name, _ in
                            comparison.metric(name)?.ape.map { fixed($0 * 100, decimals: 1) + " %" } ?? "-"
                        })
            }
        }
        if let holdout {
            add(deployment.before, "held out, before")
            add(deployment.heldOut, "held out, after")
            text += "held out: \(holdout.description); the whole run is simulated\n"
        }
        add(deployment.inSample, holdout == nil || refit ? "all, fitted to" : "all")
        text += errors.text
        var features = TextTable(
            ["coefficient", "before", "after", "± std. error"], rightAligned: [1, 2, 3])
        for coefficient in deployment.model.coefficients {
            let before = deployment.prior.coefficients.first { $0.feature == coefficient.feature }?.value ?? 0
            features.add(
                coefficient.feature, significant(before), significant(coefficient.value),
                coefficient.std.map { significant($0) } ?? "-")
        }
        text += features.text
        text += "times before the queue and after the last step: x \(significant(deployment.outside))\n\n"
    }
    return text
}

private func calibrationJSON(_ outcome: RequestCalibration.Outcome, holdout: Holdout?) -> JSONValue {
    func errors(_ comparisons: [RunComparison]) -> JSONValue { validationJSON(comparisons) }
    return .object([
        ("holdout", JSONValue(holdout?.rawValue)),
        (
            "deployments",
            .array(
                outcome.deployments.map { deployment in
                    .object([
                        ("deployment", .string(deployment.scope.description)),
                        ("runs", .array(deployment.runs.map { .string($0) })),
                        ("latencies", .integer(deployment.rows)), ("rounds", .integer(deployment.rounds)),
                        ("settled", .boolean(deployment.isSettled)),
                        ("held_out_before", errors(deployment.before)),
                        ("held_out", errors(deployment.heldOut)), ("all", errors(deployment.inSample)),
                    ])
                })
        ),
    ])
}
