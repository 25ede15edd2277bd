import ArgumentParser
import Catalog
import Reports
import Scenarios
import ServingCore
import Simulation
import Validation

/// `stepcast validate`: simulated against measured.
struct ValidateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Simulate runs that were measured on real engines, and report the error of each metric.",
        discussion: """
            RUNS_DIR holds index.json, an array with one object per run (name, model, gpu, engine, vLLM's flags, \
            overloaded), and NAME.csv or NAME.csv.zst with a row per request (arrival_s, prompt_tokens, \
            output_tokens_recorded, succeeded, ttft_s, e2e_s). Errors are absolute percentage errors; the summary \
            leaves out runs that the index calls overloaded.
            """)

    @Argument(help: "Folder with index.json and the runs.", completion: .directory)
    var runsDir: String

    @Option(
        help:
            "Latency oracle: a name that `stepcast oracles` lists, or a file; auto is the accelerator's own, {model} in a path stands for the model's name."
    )
    var oracle = OracleCatalog.automatic

    @Option(help: "What a step takes: mean, median, a percentile such as p90, or sample.")
    var latency = "mean"

    @Option(help: "Only runs whose name contains this.")
    var only: String?

    @Flag(help: "Print JSON instead of a table.")
    var json = false

    @Option(help: "Write the JSON to this file as well.", completion: .file())
    var output: String?

    func run() throws {
        let shipped = try ShippedFiles.locate()
        var base = Scenario()
        base.oracle = oracle
        base.latency = try LatencyMode(parsing: latency)
        Interruption.catchInterrupts()
        var comparisons: [RunComparison] = []
        for entry in try MeasuredRunEntry.read(folder: runsDir) {
            if let only, !entry.name.contains(only) { continue }
            let run = try MeasuredRun(entry, folder: runsDir)
            comparisons.append(try RunComparison(run, base: base, shipped: shipped))
            try Interruption.check()
        }
        guard !comparisons.isEmpty else {
            throw InvalidInput(.noSuchInput, source: runsDir, "holds no such run")
        }
        let document = validationJSON(comparisons)
        if let output { try document.write(to: output) }
        print(json ? document.text : validationTable(comparisons), terminator: "")
    }
}

/// `{"runs": [{"name", "overloaded", "metrics": {name: {"measured", "predicted", "ape"}}}], "summary": {name: {"mape"}}}`
private func validationJSON(_ comparisons: [RunComparison]) -> JSONValue {
    let runs = comparisons.map { comparison in
        let metrics = comparison.metrics.map { metric in
            let values: [(key: String, value: JSONValue)] = [
                ("measured", .number(metric.measured)), ("predicted", .number(metric.predicted)),
                ("ape", JSONValue(metric.ape)),
            ]
            return (key: metric.name, value: JSONValue.object(values))
        }
        return JSONValue.object([
            ("name", .string(comparison.name)), ("overloaded", .boolean(comparison.overloaded)),
            ("metrics", .object(metrics)),
        ])
    }
    let summary = RunComparison.summary(of: comparisons).map { metric in
        (key: metric.name, value: JSONValue.object([("mape", .number(metric.mape))]))
    }
    return .object([("runs", .array(runs)), ("summary", .object(summary))])
}

/// Measured and simulated values of the metrics that people ask for first, and the mean error of each.
private func validationTable(_ comparisons: [RunComparison]) -> String {
    let shown = [
        "mean_ttft_ms", "p50_ttft_ms", "p90_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "mean_e2el_ms",
        "p50_e2el_ms",
        "p90_e2el_ms", "p99_e2el_ms",
    ]
    let titles =
        ["run", "metric (ms)"] + shown.map { $0.replacing("_ms", with: "").replacing("_", with: " ") }
    var table = TextTable(titles, rightAligned: Set(2..<titles.count))
    for comparison in comparisons {
        let metrics = shown.map { comparison.metric($0) }
        func row(_ name: String, _ kind: String, _ cell: (RunComparison.Metric) -> String) {
            table.add([name, kind] + metrics.map { $0.map(cell) ?? "" })
        }
        row(comparison.name + (comparison.overloaded ? " (overloaded)" : ""), "measured") {
            fixed($0.measured, decimals: 1)
        }
        row("", "simulated") { fixed($0.predicted, decimals: 1) }
        row("", "error") { $0.ape.map { fixed($0 * 100, decimals: 1) + " %" } ?? "" }
    }
    table.addRule()
    let summary = Dictionary(
        uniqueKeysWithValues: RunComparison.summary(of: comparisons).map { ($0.name, $0.mape) })
    table.add(
        ["mean error, not overloaded", ""]
            + shown.map { summary[$0].map { fixed($0 * 100, decimals: 1) + " %" } ?? "" })
    return table.text
}
