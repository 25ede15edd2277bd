import Catalog
import Foundation
import LatencyOracle
import Scenarios
import ServingCore
import Simulation
import Testing

private let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// A simulated deployment and its every step, in order.
struct SimulatedSteps {
    var prepared: PreparedScenario
    var steps: [StepRecord] = []

    /// Simulates a scenario written as settings `name=value` with spaces between them.
    init(_ settings: String) throws {
        var file = ScenarioFile()
        for setting in settings.split(separator: " ") { try file.set(String(setting)) }
        prepared = try file.scenario().prepare(shipped: ShippedFiles(home: packageRoot.path()))
        prepared.configuration.collectsSteps = true
        // Slow, and other suites' business.
        prepared.configuration.scheduler.checksInvariants = false
        var run = try prepared.makeRun()
        while try run.advance(events: 1 << 16) { steps += run.takeSteps() }
        _ = run.finish()
        steps += run.takeSteps()
    }
}

func withTemporaryFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path() + "stepcast-tests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
}
