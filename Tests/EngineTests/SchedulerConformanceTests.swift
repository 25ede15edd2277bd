import Foundation
import Testing

@testable import Engine

/// Folders with recorded scenarios: the shared ones, or those that `STEPCAST_VLLM_TRACES` names.
private let recordingFolder: URL = {
    if let path = ProcessInfo.processInfo.environment["STEPCAST_VLLM_TRACES"] { return URL(filePath: path) }
    return URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../../shared/vllm-scheduler/traces").standardizedFileURL
}()

private let recordings: [String] = {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: recordingFolder.path())) ?? []
    return names.filter { $0.hasSuffix(".jsonl") }.sorted()
}()

@Suite(.enabled(if: !recordings.isEmpty, "needs ../shared/vllm-scheduler/traces or STEPCAST_VLLM_TRACES"))
struct SchedulerConformanceTests {
    @Test(arguments: recordings) func `every step equals the recording`(name: String) throws {
        let text = try String(contentsOf: recordingFolder.appending(path: name), encoding: .utf8)
        let lines = text.split(separator: "\n")
        let scenario = try JSONDecoder().decode(SchedulerScenario.self, from: Data(lines[0].utf8))
        try scenario.validate(source: name)
        let objects = try lines.dropFirst().map {
            try JSONDecoder().decode([String: JSONValue].self, from: Data($0.utf8))
        }
        let recording = ScenarioRecording(
            scenario: scenario, records: Array(objects.dropLast()), summary: objects.last)
        for (sharesEverything, exactSteps) in [(false, false), (true, false), (false, true), (true, true)] {
            let difference = recording.firstDifference(
                sharesEverything: sharesEverything, exactSteps: exactSteps)
            #expect(difference == nil, "sharesEverything \(sharesEverything), exactSteps \(exactSteps)")
        }
    }
}
