import ArgumentParser
import Catalog
import Foundation
import Reports
import Scenarios
import ServingCore
import Simulation

/// `stepcast estimate`: mean latencies in closed form.
struct EstimateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "estimate",
        abstract: "Say what mean latencies to expect, in closed form, without simulating.",
        discussion: """
            Takes the flags of `stepcast simulate`. Requests flow through the engine like a fluid, in pieces short \
            beside a request's life: the batch grows and ebbs with the load, its steps take what the oracle says, and \
            Little's law turns what is in the system into times. The wait for the \
            scheduler is the oracle's alpha.queue, or the rest of the running step where it has none. Percentiles, \
            preemption and cache eviction need a simulation. With --compare it is run as well and the estimate's \
            error against it is shown; docs/uncertainty.md has that error for many loads.
            """)

    @OptionGroup var options: ScenarioOptions

    @Option(
        help: ArgumentHelp("Oracles drawn for the 90 % bands; 0 for no bands.", valueName: "draws"))
    var uncertainty = 20

    @Flag(help: "Simulate, too, and show the estimate's error.")
    var compare = false

    @Flag(help: "Print JSON instead of a table.")
    var json = false

    @Option(name: .shortAndLong, help: "Write the JSON to this file as well.", completion: .file())
    var output: String?

    func run() throws {
        let prepared = try options.scenario().prepare(shipped: ShippedFiles.locate())
        let draws = try RerunProgress.checked(uncertainty)
        let estimator = try Estimator(prepared)
        let estimate = estimator.estimate()
        let bands = draws > 0 ? try estimator.bands(draws: draws) : []
        Interruption.catchInterrupts()
        let simulated = compare ? try simulate(prepared) : nil
        let document = Self.document(estimate, bands, simulated, prepared)
        if let output { try document.write(to: output) }
        print(json ? document.text : Self.table(estimate, bands, simulated), terminator: "")
    }

    private func simulate(_ prepared: PreparedScenario) throws -> SimulationResult {
        var run = try prepared.makeRun()
        var progress = ProgressLine()
        while try run.advance(events: 1 << 16) {
            try Interruption.check()
            progress.show(
                requests: run.sentRequests, of: prepared.requests.count, simulated: run.time.seconds)
        }
        progress.clear()
        return prepared.describe(run.finish())
    }

    private static let labels = [
        "mean_ttft_ms": "Mean TTFT (ms)", "mean_tpot_ms": "Mean TPOT (ms)", "mean_e2el_ms": "Mean E2EL (ms)",
        "request_throughput": "Request throughput (req/s)",
        "output_throughput": "Output token throughput (tok/s)",
        "mean_requests_running": "Requests running", "mean_kv_cache_usage": "KV cache in use (share)",
    ]

    private static func table(
        _ estimate: ClosedFormEstimate, _ bands: [UncertaintyBands.Band], _ simulated: SimulationResult?
    ) -> String {
        var columns: [TextTable.Column] = [.init(""), .init("estimate", .right)]
        if !bands.isEmpty { columns += [.init("5 %", .right), .init("95 %", .right)] }
        if simulated != nil { columns += [.init("simulated", .right), .init("error", .right)] }
        var table = TextTable(columns)
        for figure in estimate.figures {
            var cells = [labels[figure.name] ?? figure.name, significant(figure.value, digits: 4)]
            if let band = bands.first(where: { $0.name == figure.name }) {
                cells += [significant(band.lower, digits: 4), significant(band.upper, digits: 4)]
            }
            if let truth = simulated?.metrics.figures.first(where: { $0.name == figure.name })?.value {
                cells += [
                    significant(truth, digits: 4), truth > 0 ? percentage(figure.value / truth - 1) : "-",
                ]
            }
            table.add(cells)
        }
        var text = table.text
        if estimate.overloadedShare > 0 {
            text +=
                "more arrives than can be served, or a backlog is left, in \(percentage(estimate.overloadedShare)) "
                + "of the time: the simulation is the better judge\n"
        }
        for note in estimate.notes { text += note + "\n" }
        return text
    }

    private static func document(
        _ estimate: ClosedFormEstimate, _ bands: [UncertaintyBands.Band], _ simulated: SimulationResult?,
        _ prepared: PreparedScenario
    ) -> JSONValue {
        var members: [(key: String, value: JSONValue)] = [
            ("model_id", .string(prepared.deployment.model.name)),
            ("accelerator", .string(prepared.deployment.accelerator.name)),
            ("oracle", .string(prepared.scenario.oracle)), ("duration", .number(estimate.duration)),
            ("completed", .integer(estimate.completed)),
        ]
        for figure in estimate.figures { members.append((figure.name, .number(figure.value))) }
        members.append(("overloaded_share", .number(estimate.overloadedShare)))
        members.append(("notes", .array(estimate.notes.map { .string($0) })))
        if !bands.isEmpty {
            members.append(
                (
                    "bands",
                    .object(
                        bands.map {
                            (
                                $0.name,
                                .object([
                                    ("p5", .number($0.lower)), ("p50", .number($0.median)),
                                    ("p95", .number($0.upper)),
                                ])
                            )
                        })
                ))
        }
        if let simulated {
            let figures = simulated.metrics.figures.filter { figure in
                estimate.figures.contains { $0.name == figure.name }
            }
            members.append(("simulated", .object(figures.map { ($0.name, .number($0.value)) })))
        }
        return .object(members)
    }
}
