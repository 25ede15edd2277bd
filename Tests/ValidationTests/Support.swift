import Catalog
import Foundation
import LatencyOracle
import Scenarios
import ServingCore
import Simulation
import Workload

@testable import Validation

let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
let shipped = ShippedFiles(home: packageRoot.path())
let realRuns = packageRoot.appending(path: "../shared/data/real-runs").standardizedFileURL.path()

/// A folder that is removed with the object.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "validation-\(UUID().uuidString)")
            .path()
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(filePath: path + "/" + name))
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A deployment small enough to simulate in a debug build.
func smallScenario(requests: Int = 300, rate: Double = 6) -> Scenario {
    var scenario = Scenario()
    scenario.oracle = "roofline"
    scenario.engine.model = "llama-3.1-8b"
    scenario.gpu = "h100-sxm"
    scenario.loadRequest.requestRate = rate
    scenario.loadRequest.numPrompts = requests
    var lengths = Scenario.RandomLengths()
    lengths.inputLength = 600
    lengths.outputLength = 60
    lengths.rangeRatio = 0.6
    scenario.load = .random(lengths)
    return scenario
}

/// Runs a scenario with an oracle to take the place of reality; writes what a client would have measured.
func measure(_ scenario: Scenario, with oracle: StepTimeOracle, into folder: TemporaryFolder, name: String)
    throws
    -> SimulationResult
{
    var prepared = try scenario.prepare(shipped: shipped, oracle: oracle)
    prepared.configuration.collectsRecords = true
    var run = try prepared.makeRun()
    var records: [RequestRecord] = []
    while try run.advance(events: 1 << 16) { records += run.takeRecords() }
    let result = run.finish()
    records += run.takeRecords()
    var csv = "arrival_s,prompt_tokens,output_tokens_recorded,succeeded,ttft_s,e2e_s\n"
    for record in records.sorted(by: { $0.index < $1.index }) {
        csv += "\(record.sent.seconds),\(record.promptTokens),\(record.outputTokens),1,"
        csv += "\(record.timeToFirstToken.seconds),\(record.endToEnd.seconds)\n"
    }
    try folder.write(name + ".csv", csv)
    return result
}
