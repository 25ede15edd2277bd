import Catalog
import Foundation
import LatencyOracle
import OracleTraining
import ServingCore
import StepTraces
import Testing

private enum Measured {
    static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let folder = package + "/../shared/data/step-times"
    static let isPresent = FileManager.default.fileExists(atPath: folder)

    static func read(_ name: String, keep: (String) -> Bool = { _ in true }) throws -> StepDataSet {
        let reader = try StepTraceReader(paths: [folder + "/" + name])
        let data = try StepDataSet(
            reading: reader, resolution: DeploymentResolution(ShippedFiles(home: package)))
        return data.selecting((0..<data.count).filter { keep(data.groups[data.group[$0]].name) })
    }

    static let target = Result { try read("measured_h100_qwen3_14b_vllm0230.csv.zst") }

    /// Trained on dense BF16 models on H100 without Qwen3-14B: sums of kernel times, and measured steps.
    static let donors = Result {
        var data = try read("kernel_sums.csv.zst") {
            $0.contains("h100") && !$0.contains("qwen3-14b") && !$0.contains("fp8") && !$0.contains("mxfp4")
                && !$0.contains("mixtral") && !$0.contains("a3b")
        }
        data.add(try read("measured_h100_vllm0151.csv.zst"))
        var options = TrainingOptions()
        options.nonnegative = true
        return try StepTimeTrainer(options).fit(data, rows: Array(0..<data.count))
    }
}

@Suite(.enabled(if: Measured.isPresent, "needs ../shared/data/step-times"))
struct `Measured prompt and token times` {
    @Test func `are read whole, but for batches that cannot have run`() throws {
        let data = try Measured.read("measured_a100_h100_prompt_token_times.csv.zst")
        // 64 prompts of 512 tokens do not fit beside Llama-2-70B on two GPUs; the times recorded are of a part.
        #expect(data.count == 2 * 1260 - 15 && data.groups.count == 12)
        #expect(data.dropped.map(\.rows) == [15])
    }
}

@Suite(.enabled(if: Measured.isPresent, "needs ../shared/data/step-times"))
struct `Measured steps of a model that no donor is` {
    private func transfer(
        _ model: StepModel, _ data: StepDataSet, _ rows: [Int], _ change: (Double) -> Double = { $0 }
    ) throws -> TransferRun.Outcome {
        try TransferRun().run(
            model, facts: data.groups[0].facts, states: rows.map { data.states[$0] },
            seconds: rows.map { change(data.seconds[$0]) })
    }

    @Test func `are predicted within 6 percent, and within 3 after calibration`() throws {
        let model = try Measured.donors.get()
        let data = try Measured.target.get()
        var evaluation = ForecastEvaluation(data)
        try evaluation.add(model, rows: Array(0..<data.count))
        #expect(try #require(evaluation.overall).medianAPE < 0.06)
        for count in [100, 500, 1000] {
            let outcome = try transfer(model, data, Array(0..<count))
            #expect([.accepted, .calibrated, .refitted].contains(outcome.decision))
            var after = ForecastEvaluation(data)
            try after.add(outcome.model, rows: Array(1000..<data.count))
            #expect(try #require(after.overall).medianAPE < 0.03, "\(count) rows")
        }
    }

    @Test func `an honest target passes, a doubled one and a subtly wrong one do not`() throws {
        let data = try Measured.target.get()
        // The oracle is made honest on every second block of 50 rows and judged on the others.
        let fitted = (0..<data.count).filter { ($0 / 50) % 2 == 0 }
        let judged = (0..<data.count).filter { ($0 / 50) % 2 == 1 }
        let honest = try TargetCalibration.linear(
            try Measured.donors.get(), facts: data.groups[0].facts, states: fitted.map { data.states[$0] },
            seconds: fitted.map { data.seconds[$0] })
        var stream = RandomStream(seed: 1, purpose: "resamples")
        func resample(_ blocks: Int) -> [Int] {
            (0..<blocks).flatMap { _ -> ArraySlice<Int> in
                let block = Int(stream.uniform() * Double(judged.count / 50))
                return judged[block * 50..<(block + 1) * 50]
            }
        }
        let oracle = try StepTimeOracle(
            artifact: OracleArtifact(name: "honest", summary: "calibrated", step: honest)
        ).compile(for: data.groups[0].facts)
        var accepted = 0
        for _ in 0..<200 {
            let rows = resample(10)
            let evidence = TransferEvidence(
                oracle, states: rows.map { data.states[$0] }, seconds: rows.map { data.seconds[$0] })
            if TransferRule.coverage.objections(evidence).isEmpty { accepted += 1 }
        }
        #expect(accepted >= 190, "\(accepted) of 200")
        #expect(try transfer(honest, data, Array(judged.prefix(100))) { 2 * $0 }.decision != .accepted)
        let noise = try #require(honest.noise).scale * (honest.calibration?.varianceScale ?? 1).squareRoot()
        let deviation = noise * 2.0.squareRoot()
        #expect(
            try transfer(honest, data, Array(judged.prefix(1000))) { $0 * (1 + 0.5 * deviation) }.decision
                != .accepted)
    }
}
