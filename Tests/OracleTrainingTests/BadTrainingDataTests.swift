import Catalog
import Foundation
import LatencyOracle
import OracleTraining
import ServingCore
import StepTraces
import Testing

@Suite struct `Bad training data` {
    private let trainer = StepTimeTrainer(TrainingOptions())

    @Test func `rows that are not finite or not above 0 are counted, dropped and named`() {
        var data = StepDataSet(groups: [.init(name: "g", facts: SimulatedSteps.facts)])
        var stream = RandomStream(seed: 1, purpose: "bad")
        let state = SimulatedSteps.state(&stream)
        for seconds in [.nan, .infinity, -1, 0, 0.01] {
            data.append(state, seconds: seconds, group: 0, run: 0)
        }
        var broken = state
        broken.prefillAttentionPairs = .nan
        data.append(broken, seconds: 0.01, group: 0, run: 0)
        #expect(data.count == 1)
        #expect(data.dropped.map(\.rows) == [2, 2, 1])
    }

    @Test func `a constant target is refused`() throws {
        let data = try SimulatedSteps.data(rows: 50, seed: 2).mapSeconds { _, _ in 0.01 }
        let error = #expect(throws: InvalidInput.self) { try trainer.fit(data, rows: Array(0..<50)) }
        #expect(error?.description.contains("same in all 50 rows") == true)
        let chosen = #expect(throws: InvalidInput.self) {
            try trainer.chooseLikelihood(data, rows: Array(0..<50))
        }
        #expect(chosen?.description.contains("same in all 50 rows") == true)
    }

    @Test func `too few rows are refused and fewer rows than features are not`() throws {
        let data = try SimulatedSteps.data(rows: 12, seed: 3)
        #expect(throws: InvalidInput.self) { try trainer.fit(data, rows: [0, 1]) }
        let model = try trainer.fit(data, rows: Array(0..<12))
        #expect(model.coefficients.allSatisfy { $0.value.isFinite })
    }

    /// What a table with these times of one kind of step is read as.
    private func reading(_ step: String, taking milliseconds: [String]) throws -> StepDataSet {
        var text = "gpu,model,tp,ep,dtype,num_prefill_reqs,prefill_tokens,prefill_context,"
        text += "num_decode_reqs,decode_context_tokens_total,step_ms\n"
        for time in milliseconds { text += "H100,Llama-3.1-8B,1,1,bf16,\(step),\(time)\n" }
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("bad-times-\(UUID().uuidString).csv").path
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().path
        return try StepDataSet(
            reading: try StepTraceReader(paths: [path]),
            resolution: DeploymentResolution(ShippedFiles(home: package)))
    }

    @Test func `NaN and infinite times in a table are counted, dropped and named`() throws {
        let decode = "0,0,0,4,2000"
        let data = try reading(decode, taking: ["5.5", "nan", "-NaN", "inf", "-Infinity", "6"])
        #expect(data.count == 2)
        #expect(data.dropped.map(\.rows) == [4])
        #expect(data.dropped.map(\.reason) == ["time is not finite"])
        // A word is a mistake in the file, not a measurement that failed.
        #expect(throws: InvalidInput.self) {
            _ = try reading(decode, taking: ["5.5", "nan", "fast", "inf", "-Infinity", "6"])
        }
    }

    @Test(arguments: [
        (["250", "130", "20", "140", "0.25", "160", "170", "180"], [0.25, 0.13, 0.14, 0.16, 0.17, 0.18]),
        // Where most are too fast, the facts of the hardware don't describe it.
        (["20", "13", "0.25", "140"], [0.02, 0.013, 0.00025, 0.14]),
    ])
    func `single times that no hardware could reach are counted, dropped and named`(
        milliseconds: [String], kept: [Double]
    ) throws {
        // 8,192 tokens of an 8B model: 0.13 s at the peak of an H100.
        let data = try reading("1,8192,0,0,0", taking: milliseconds)
        #expect(data.seconds == kept)
        #expect(data.dropped.map(\.rows).reduce(0, +) == milliseconds.count - kept.count)
        #expect(data.dropped.allSatisfy { $0.reason.contains("peak") })
    }

    @Test func `runs of one deployment in seconds and in milliseconds are refused as mixed units`() throws {
        let folder = FileManager.default.temporaryDirectory.path() + "stepcast-tests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let data = try SimulatedSteps.data(rows: 40, seed: 5)
        let paths = [("seconds", 1.0), ("again", 1.1), ("milliseconds", 1000)].map { name, factor in
            (path: "\(folder)/\(name).jsonl", factor)
        }
        for (path, factor) in paths {
            var writer = try NativeStepTraceWriter(path: path, facts: SimulatedSteps.facts)
            for (state, seconds) in zip(data.states, data.seconds) {
                writer.append(start: -1, end: -1, state: state, seconds: seconds * factor)
            }
            try writer.finish()
        }
        let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path()
        let resolution = try DeploymentResolution(ShippedFiles(home: package))
        let both = try StepDataSet(
            reading: StepTraceReader(paths: paths.prefix(2).map(\.path)), resolution: resolution)
        #expect(both.count == 80)
        let error = #expect(throws: InvalidInput.self) {
            try StepDataSet(reading: StepTraceReader(paths: paths.map(\.path)), resolution: resolution)
        }
        #expect(error?.description.contains("looks like mixed units") == true)
    }

    @Test func `one configuration cannot be left out`() throws {
        let data = try SimulatedSteps.data(rows: 20, seed: 4)
        for held in RowSplit.Held.allCases {
            #expect(throws: InvalidInput.self) { try RowSplit.leaveOneOut(data, held) }
        }
    }
}
