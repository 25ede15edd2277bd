import ArgumentParser
import Catalog
import Foundation
import LatencyOracle
import Reports
import Scenarios
import ServingCore
import Simulation
import Validation
import Workload

/// `stepcast validate`: simulated against measured.
struct ValidateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Simulate runs that were measured on real engines, and report the error of each metric.",
        discussion: """
            RUNS is a folder with index.json, an array with one object per run (name, model, gpu, engine, vLLM's \
            flags, overloaded, max_concurrency, client_timeout_s), and NAME.csv or NAME.csv.zst with a row per \
            request: arrival_s, prompt_tokens, output_tokens_recorded, succeeded, ttft_s, e2e_s; or the engine's \
            own times, output_tokens, scheduled_s, first_token_s, last_token_s. Or it is one result of \
            `vllm bench serve --save-result` with its --scenario; with --save-detailed the very requests are sent.

            Errors are absolute percentage errors; the summary leaves out runs that the index calls overloaded. A \
            client with max_concurrency sends at the later of the recorded time and a free slot.
            """)

    @Argument(
        help: ArgumentHelp("Folder with index.json and the runs, or one result file.", valueName: "runs"))
    var runsDir: String

    @Option(help: "Scenario of a result file: the deployment, and the load if the result doesn't say.")
    var scenario: String?

    @Option(
        help:
            "Latency oracle: a name that `stepcast oracles` lists, or a file. {model} in a path stands for the model's name. (default: the accelerator's own)"
    )
    var oracle: String?

    @Option(help: "What a step takes: mean, median, a percentile such as p90, or sample. (default: mean)")
    var latency: String?

    @Option(
        help: ArgumentHelp(
            "Rerun each this often for 90 % bands, and say whether they covered the measurement.",
            valueName: "reruns"))
    var uncertainty: Int?

    @Option(help: "Compare only the requests that `calibrate --holdout` holds out: minutes or requests.")
    var holdout: String?

    @Option(help: "Only runs whose name contains this.")
    var only: String?

    @Flag(help: "Print JSON instead of tables.")
    var json = false

    @Option(help: "Write the JSON to this file as well.", completion: .file())
    var output: String?

    func run() throws {
        let shipped = try ShippedFiles.locate()
        Interruption.catchInterrupts()
        let comparisons = try isFile(runsDir) ? [compareResult(shipped)] : compareRuns(shipped)
        let document = validationJSON(comparisons)
        if let output { try document.write(to: output) }
        print(json ? document.text : validationText(comparisons), terminator: "")
    }

    private func isFile(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
    }

    private func compareRuns(_ shipped: ShippedFiles) throws -> [RunComparison] {
        if let scenario {
            throw InvalidInput(
                .usage, field: "--scenario", value: scenario, "doesn't go with a folder of runs",
                accepted: "a result file of `vllm bench serve`")
        }
        var base = Scenario()
        base.oracle = oracle ?? base.oracle
        if let latency { base.latency = try LatencyMode(parsing: latency) }
        var options = RunComparison.Options()
        options.uncertaintyReruns = try uncertainty.map(RerunProgress.checked) ?? 0
        options.part = try holdout.map { try choice($0, "--holdout") }
        options.isCancelled = { Interruption.isPending }
        let (given, start) = (options, base)
        let dependsOnRun = base.oracle == OracleCatalog.automatic || base.oracle.contains("{model}")
        let loaded = dependsOnRun ? nil : try OracleCatalog(shipped).oracle(base.oracle)
        let entries = try MeasuredRunEntry.read(folder: runsDir).filter { entry in
            only.map { entry.name.contains($0) } ?? true
        }
        guard !entries.isEmpty else { throw InvalidInput(.noSuchInput, source: runsDir, "holds no such run") }
        let folder = runsDir
        do {
            return try parallelMap(entries.count) { index in
                let run = try MeasuredRun(entries[index], folder: folder)
                return try RunComparison(run, base: start, shipped: shipped, oracle: loaded, options: given)
            }
        } catch is CancellationError {
            throw ExitCode(130)
        }
    }

    private func compareResult(_ shipped: ShippedFiles) throws -> RunComparison {
        guard let scenario else {
            throw InvalidInput(
                .usage, field: "--scenario", "is missing",
                accepted: "the scenario of \(runsDir): its model, gpu and vLLM's flags")
        }
        let measured = try BenchServeResult(contentsOf: runsDir)
        var stated = try ScenarioFile(contentsOf: scenario).scenario()
        stated.oracle = oracle ?? stated.oracle
        if let latency { stated.latency = try LatencyMode(parsing: latency) }
        if let uncertainty { stated.uncertaintyReruns = try RerunProgress.checked(uncertainty) }
        let (complete, trace) = try measured.load(in: stated)
        var prepared = try complete.prepare(shipped: shipped)
        if let trace { prepared.requests = RequestStream(trace) }
        var result = try prepared.run()
        result.uncertainty = try RerunProgress.bands(of: prepared, jobs: nil)
        return RunComparison(name: fileName(runsDir), measured: measured.figures, result: result)
    }
}
