import ArgumentParser
import Engine
import Foundation
import ServingCore

/// `stepcast schedule`: replays recorded scheduler scenarios.
struct ScheduleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule",
        abstract: "Replay a scheduler scenario step by step; compare it with a recording of the real vLLM.",
        discussion: """
            A scenario is a JSON-lines file of format vllm-v1-sched/1: a header with the scheduler's configuration \
            and the requests, then (in a recording) one record per engine step, then a summary.

            Without --check the records are computed and printed. With --check they are compared with those in \
            the file, key by key, and the first difference is named.

            EXAMPLES
              stepcast schedule scenario.jsonl > records.jsonl
              stepcast schedule --check recordings/*.jsonl

            EXIT STATUS
              0  every step of every file is the same      1  a difference was found
              65 a file is not a scenario                  66 no such file
            """)

    @Argument(help: "Scenario or recording, JSON lines.", completion: .file(extensions: ["jsonl"]))
    var files: [String]

    @Flag(help: "Compare with the records in the file and stop at the first difference.")
    var check = false

    @Flag(help: "Visit every request in every step instead of advancing decoding requests together.")
    var exactSteps = false

    @Flag(
        help:
            "Treat text that only one prompt holds as if other prompts could share it; the schedule is the same."
    )
    var shareEverything = false

    @Option(help: "Stop after this many steps when printing records.")
    var maxSteps = 100_000

    func run() throws {
        var different = 0
        var steps = 0
        for file in files {
            let recording = try RecordingFile.read(file)
            if check {
                steps += recording.records.count
                if let difference = recording.firstDifference(
                    sharesEverything: shareEverything, exactSteps: exactSteps)
                {
                    different += 1
                    print("\(file): \(difference)")
                }
            } else {
                try RecordingFile.printReplay(of: recording.scenario, header: file, maxSteps: maxSteps)
            }
        }
        guard check else { return }
        print("\(files.count) files, \(steps) steps compared, \(different) files with a difference")
        if different > 0 { throw ExitCode(1) }
    }
}

/// Reads and prints scenario files.
enum RecordingFile {
    static func read(_ path: String) throws -> ScenarioRecording {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw InvalidInput(.noSuchInput, source: path, "cannot be read", accepted: "a scenario file")
        }
        let lines = data.split(separator: UInt8(ascii: "\n"))
        guard let first = lines.first else {
            throw InvalidInput(source: path, "is empty", accepted: "a header line")
        }
        let decoder = JSONDecoder()
        let scenario = try decode(SchedulerScenario.self, from: first, decoder, path, line: 1)
        try scenario.validate(source: path)
        var records: [[String: JSONValue]] = []
        var summary: [String: JSONValue]?
        for (index, line) in lines.enumerated().dropFirst() {
            let object = try decode([String: JSONValue].self, from: line, decoder, path, line: index + 1)
            if object["summary"] == .bool(true) { summary = object } else { records.append(object) }
        }
        return ScenarioRecording(scenario: scenario, records: records, summary: summary)
    }

    private static func decode<T: Decodable>(
        _ type: T.Type, from line: Data, _ decoder: JSONDecoder, _ path: String, line number: Int
    ) throws -> T {
        do {
            return try decoder.decode(type, from: line)
        } catch let error as DecodingError {
            throw InvalidInput(error, source: path, line: number)
        }
    }

    static func printReplay(of scenario: SchedulerScenario, header path: String, maxSteps: Int) throws {
        let data = FileManager.default.contents(atPath: path) ?? Data()
        print(String(decoding: data.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
        var replay = ScenarioReplay(scenario, maxSteps: maxSteps)
        while let record = replay.next() { print(line(record)) }
        print(line(replay.summary))
    }

    private static func line(_ members: [(key: String, value: JSONValue)]) -> String {
        "{" + members.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    }
}
