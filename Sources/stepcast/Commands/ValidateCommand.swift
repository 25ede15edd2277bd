import ArgumentParser
import Catalog
import Scenarios
import ServingCore
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

    @Option(help: "Latency oracle: a name that ships, or a file.")
    var oracle = "roofline"

    @Option(help: "Only runs whose name contains this.")
    var only: String?

    @Flag(help: "Print JSON instead of a table.")
    var json = false

    func run() throws {
        let shipped = try ShippedFiles.locate()
        var base = Scenario()
        base.oracle = oracle
        var comparisons: [RunComparison] = []
        for entry in try MeasuredRunEntry.read(folder: runsDir) {
            if let only, !entry.name.contains(only) { continue }
            let run = try MeasuredRun(entry, folder: runsDir)
            comparisons.append(try RunComparison(run, base: base, shipped: shipped))
        }
        guard !comparisons.isEmpty else {
            throw InvalidInput(.noSuchInput, source: runsDir, "holds no such run")
        }
        for c in comparisons {
            func show(_ name: String) -> String {
                guard let m = c.metric(name) else { return "-" }
                return "\(Int(m.measured))/\(Int(m.predicted))(\(Int((m.ape ?? 0) * 100))%)"
            }
            print(
                c.name, c.overloaded ? "OVER" : "",
                [
                    "mean_ttft_ms", "p50_ttft_ms", "p90_ttft_ms", "p99_ttft_ms", "mean_tpot_ms",
                    "mean_e2el_ms", "p99_e2el_ms", "completed",
                ].map { show($0) }.joined(separator: "  "))
        }
        for (name, mape) in RunComparison.summary(of: comparisons) { print(name, Int(mape * 1000)) }
    }
}
