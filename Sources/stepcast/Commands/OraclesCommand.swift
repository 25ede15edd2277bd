import ArgumentParser
import Catalog
import Reports
import Scenarios

/// `stepcast oracles`: the latency models that ship.
struct OraclesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "oracles",
        abstract: "List the latency oracles that ship.",
        discussion: """
            An oracle predicts how long an engine step takes. `roofline` needs no training: it is hardware facts \
            times the efficiency that kernels usually reach. `stepcast train` makes others from traces.
            """)

    @Flag(help: "Print JSON instead of a table.")
    var json = false

    func run() throws {
        let catalog = OracleCatalog(try ShippedFiles.locate())
        let rows = try catalog.names.map { ($0, try catalog.oracle($0).artifact) }
        if json {
            let list = rows.map { name, artifact in
                JSONValue.object([
                    ("name", .string(name)), ("summary", .string(artifact.summary)),
                    ("features", .string(artifact.step.featureSet)),
                    ("kind", .string(artifact.step.kind.rawValue)),
                ])
            }
            print(JSONValue.array(list).text, terminator: "")
            return
        }
        for (name, artifact) in rows { print("\(name): \(artifact.summary)") }
    }
}
