import Catalog
import Foundation
import LatencyOracle
import ServingCore
import StepTraces
import Testing

@testable import OracleTraining

/// Tables whose times belong to the step before the row's.
@Suite struct `Cycles of asynchronous scheduling` {
    private static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    /// A table of an engine whose decode steps take 10 ms and 50 us a request, give or take 2 %,
    /// and 1 ms more with prefill, which a third
    /// of the steps of the first half have and two thirds of the second's.
    private func table(rows: Int) throws -> (path: String, mean: Double) {
        var stream = RandomStream(seed: 11, purpose: "table")
        var text =
            "gpu,model,tp,ep,dtype,num_prefill_reqs,prefill_tokens,prefill_context,num_decode_reqs,"
            + "running,waiting,step_cycle_ms,experiment,step_id,decode_context_est\n"
        var decodes = 40.0
        var before: Double?
        var sum = 0.0
        for step in 0...rows {
            decodes = min(max(decodes + 4 * (stream.uniform() - 0.5), 8), 100)
            let count = Int(decodes)
            let prefill = stream.uniform() < (step < rows / 2 ? 1.0 / 3 : 2.0 / 3) ? 1 : 0
            if let before {
                text += "H100,Llama-3.1-8B,1,1,bf16,\(prefill),\(prefill * 3),,\(count),\(count + prefill),0,"
                text += "\(before),run,\(step),\(count * 500)\n"
                sum += before / 1000
            }
            before = (10 + 0.05 * Double(count) + Double(prefill)) * (0.98 + 0.04 * stream.uniform())
        }
        let path = NSTemporaryDirectory() + "cycles-\(rows)-\(ProcessInfo.processInfo.processIdentifier).csv"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return (path, sum / Double(rows))
    }

    private func read(_ path: String, includeExcluded: Bool) throws -> StepDataSet {
        var options = TraceOptions()
        options.includeExcluded = includeExcluded
        return try StepDataSet(
            reading: StepTraceReader(paths: [path], options: options),
            resolution: DeploymentResolution(ShippedFiles(home: Self.package)))
    }

    /// Seconds of a decode step of 40 and of the same with prefill, fitted.
    private func fit(_ data: StepDataSet, free: [Int]) throws -> (decode: Double, mixed: Double, mean: Double)
    {
        let features = FeatureSet.physics.step.filter {
            ["constant", "decode_request_layers", "mixed_step_layers"].contains($0.name)
        }
        let rows = Array(0..<data.count)
        let design = StepTimeTrainer(TrainingOptions()).designRows(data, rows: rows, features: features)
        let weights = rows.map { _ in 1 / Double(rows.count) }
        let place = Dictionary(uniqueKeysWithValues: features.enumerated().map { ($1.name, $0) })
        let order = ["constant", "decode_request_layers", "mixed_step_layers"].map { place[$0]! }
        let solution = ShrunkenFit.fit(
            design, weights: weights, free: free.map { order[$0] }, prior: [0, 0, 0], shrinkage: 0)
        let layers = Double(data.groups[0].facts.layers)
        let (fixed, each, mixed) = (
            solution.coefficients[order[0]], solution.coefficients[order[1]] * layers,
            solution.coefficients[order[2]] * layers
        )
        let mean = rows.reduce(0.0) { sum, row in
            sum + zip(design.row(row), solution.coefficients).reduce(0) { $0 + $1.0 * $1.1 }
        }
        return (fixed + 40 * each, fixed + 40 * each + mixed, mean / Double(rows.count))
    }

    @Test func `tell decode steps from those with prefill by how often the rows nearby prefill`() throws {
        let (path, mean) = try table(rows: 3000)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let data = try read(path, includeExcluded: true)
        #expect(data.count == 3000)
        #expect(data.states.allSatisfy { $0.prefillTokens == 0 && $0.prefillRequests == 0 })
        let found = try fit(data, free: [0, 1, 2])
        #expect(abs(found.mean / mean - 1) < 0.005)
        #expect(found.mixed > found.decode)

        // Rows without prefill alone are charged with that of the steps before them.
        let plain = try read(path, includeExcluded: false)
        #expect(plain.count < 2000)
        let charged = try fit(plain, free: [0, 1]).decode / 0.012 - 1
        #expect(charged > 0.03)
        #expect(abs(found.decode / 0.012 - 1) < 0.6 * charged)
    }

    @Test func `count those around a row of the same run`() {
        let tokens =
            [Int](repeating: 0, count: 200)
            + [Int](repeating: 0, count: 200).indices.map { $0 % 4 == 0 ? 8 : 0 }
        let found = PrefillBefore.of(tokens)
        #expect(found[0] == nil && found[149] == nil)
        #expect(found[300]?.tokens == 8)
        #expect(abs((found[300]?.share ?? 0) - 0.25) < 0.01)
        #expect((found[200]?.share ?? 0) < 0.14)
        #expect(PrefillBefore.of([]).isEmpty)
    }
}
