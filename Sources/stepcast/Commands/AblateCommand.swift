import ArgumentParser
import Catalog
import Reports
import Scenarios
import ServingCore
import Validation

/// `stepcast ablate`: what each ingredient of the forecast buys.
struct AblateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ablate",
        abstract: "Simulate measured runs with one ingredient of the forecast left out at a time.",
        discussion: """
            RUNS_DIR is a folder as `stepcast validate` reads it. A row is the mean absolute error over the runs that \
            were not overloaded; the first row leaves nothing out.
            """)

    @Argument(help: "Folder with index.json and the runs.", completion: .directory)
    var runsDir: String

    @Option(
        help:
            "Latency oracle: a name that `stepcast oracles` lists, or a file; auto is the accelerator's own.")
    var oracle = OracleCatalog.automatic

    @Option(help: "Only runs whose name contains this.")
    var only: String?

    func run() throws {
        let shipped = try ShippedFiles.locate()
        let entries = try MeasuredRunEntry.read(folder: runsDir).filter { entry in
            !entry.overloaded && (only.map { entry.name.contains($0) } ?? true)
        }
        guard !entries.isEmpty else {
            throw InvalidInput(.noSuchInput, source: runsDir, "holds no such run")
        }
        let runs = try entries.map { try MeasuredRun($0, folder: runsDir) }
        let shown = ["mean_ttft_ms", "p50_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "mean_e2el_ms"]
        let titles = ["left out"] + shown.map { $0.replacing("_ms", with: "").replacing("_", with: " ") }
        var table = TextTable(titles, rightAligned: Set(1..<titles.count))
        Interruption.catchInterrupts()
        for ingredient in [nil] + Ingredient.allCases.map(Optional.some) {
            var base = Scenario()
            base.oracle = oracle
            if let ingredient { base.without = [ingredient] }
            let comparisons = try runs.map { run in
                try Interruption.check()
                return try RunComparison(run, base: base, shipped: shipped)
            }
            let summary = ComparisonSummary(comparisons).lines
            table.add(
                [ingredient?.rawValue ?? "nothing"]
                    + shown.map { name in
                        let error = summary.first { $0.name == name }
                        return error.map { fixed($0.mape * 100, decimals: 1) + " %" } ?? ""
                    })
        }
        print(table.text, terminator: "")
    }
}
