import ArgumentParser
import Catalog
import LatencyOracle
import OracleTraining
import Reports
import ServingCore
import StepTraces

/// `stepcast donors`: which configurations to measure next.
struct DonorsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "donors",
        abstract: "Choose the configurations whose measurement covers all candidates best.",
        discussion: """
            Greedy k-centre on standardised configurations: the most central one first, then always the one farthest \
            from all chosen. The covering radius is the distance of the worst-covered candidate to its nearest donor, \
            in standard deviations.
            """)

    @Option(parsing: .upToNextOption, help: "Traces or tables whose deployments are the candidates.")
    var candidates: [String]

    @Option(name: .customShort("n"), help: "How many to choose.")
    var count: Int

    @Option(parsing: .upToNextOption, help: "Traces of deployments that were measured already.")
    var measured: [String] = []

    func run() throws {
        let shipped = try ShippedFiles.locate()
        let pool = try TraceInputOptions.read(candidates, shipped).groups
        let known = try measured.isEmpty ? [] : TraceInputOptions.read(measured, shipped).groups
        let choice = try DonorChoice(candidates: pool, measured: known, count: count)
        var table = TextTable(["donor", "configuration", "covering radius"], rightAligned: [0, 2])
        for (place, donor) in choice.donors.enumerated() {
            table.add(["\(place + 1)", donor.name, Readable.fixed(donor.radius, digits: 3)])
        }
        print(table.text)
    }
}
