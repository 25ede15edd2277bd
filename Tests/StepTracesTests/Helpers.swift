import ServingCore
import StepTraces

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `../shared` of the package.
let shared: String = {
    let parts = #filePath.split(separator: "/").dropLast(4)
    return "/" + parts.joined(separator: "/") + "/shared"
}()
let hasShared = FileManager.default.fileExists(atPath: shared + "/traces/runs")

func withTemporaryFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/stepcast-tests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
}

func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
}

func write(_ bytes: [UInt8], to path: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
}

func exampleFacts() -> DeploymentFacts {
    var facts = DeploymentFacts()
    facts.modelName = "example-8B"
    facts.acceleratorName = "H100"
    facts.hiddenSize = 4096
    facts.layers = 32
    facts.totalParameters = 8.03e9
    facts.peakFlops = 989.4e12
    facts.cudaGraphSizes = [1, 2, 4, 8]
    return facts
}

/// Steps of every kind, with step times of full precision.
func syntheticRows(count: Int, seed: UInt64) -> [StepRow] {
    var random = RandomStream(seed: seed, purpose: "rows")
    var rows: [StepRow] = []
    var clock: Ticks = 0
    for index in 0..<count {
        var row = StepRow()
        for _ in 0..<Int(random.next() % 3) {
            row.state.addPrefill(
                newTokens: 1 + Int(random.next() % 2000), computedTokens: Int(random.next() % 100_000))
        }
        for _ in 0..<1 + Int(random.next() % 60) {
            row.state.addDecode(contextTokens: 1 + Int(random.next() % 131_072))
        }
        row.state.runningRequests = row.state.prefillRequests + row.state.decodeRequests
        row.state.waitingRequests = Int(random.next() % 1000)
        row.state.kvBlocksTotal = 27_510
        row.state.kvBlocksUsed = Int(random.next() % 27_510)
        row.state.blocksToOffload = Int(random.next() % 7)
        row.state.blocksToRestore = Int(random.next() % 7)
        row.seconds = 0.004 + random.uniform() * 0.1
        row.start = clock
        row.stepID = Int64(index + 1)
        clock += Ticks(seconds: row.seconds)
        rows.append(row)
    }
    return rows
}
