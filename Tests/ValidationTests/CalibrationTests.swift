import Foundation
import LatencyOracle
import Scenarios
import ServingCore
import Simulation
import Testing

@testable import Validation

@Suite struct CalibrationTests {
    /// A deployment that is slower than the prior thinks, more so per request than per step, behind a slow API server.
    private func truth() throws -> StepTimeOracle {
        var artifact = StepTimeOracle.roofline.artifact
        artifact.step.specialised = nil
        artifact.step.coefficients = artifact.step.coefficients.map { coefficient in
            var own = coefficient
            if own.feature == "constant" { own.value += 1.2e-3 }
            if own.feature == "running_requests" { own.value += 60e-6 }
            if own.feature == "matrix_flops_above_128" { own.value *= 1.5 }
            return own
        }
        artifact.arrival = AffineLatency(constant: 5e-3, perToken: 1e-6)
        artifact.post = AffineLatency(constant: 1e-3, perToken: 0)
        return try StepTimeOracle(artifact: artifact)
    }

    private func measuredRun(_ folder: TemporaryFolder) throws -> MeasuredRun {
        let scenario = smallScenario()
        _ = try measure(scenario, with: truth(), into: folder, name: "run")
        try folder.write(
            "index.json",
            """
            [{"name": "run", "model": "llama-3.1-8b", "gpu": "h100-sxm", "engine": "vllm 0.32.0", "overloaded": false}]
            """)
        let entry = try #require(try MeasuredRunEntry.read(folder: folder.path).first)
        return try MeasuredRun(entry, folder: folder.path)
    }

    @Test
    func `request latencies alone teach an oracle the deployment, told on requests that it did not see`()
        throws
    {
        let folder = try TemporaryFolder()
        var calibration = RequestCalibration()
        calibration.holdout = .requests
        calibration.refitsToAll = false
        let outcome = try calibration.run(
            [measuredRun(folder)], base: Scenario(), prior: .roofline, shipped: shipped)
        let deployment = try #require(outcome.deployments.first)
        #expect(outcome.deployments.count == 1 && deployment.isSettled)
        func error(_ comparisons: [RunComparison], _ name: String) throws -> Double {
            try #require(comparisons.first?.metric(name)?.ape)
        }
        #expect(try error(deployment.before, "mean_e2el_ms") > 0.1)
        #expect(try error(deployment.before, "mean_ttft_ms") > 0.1)
        #expect(try error(deployment.heldOut, "mean_e2el_ms") < 0.01)
        #expect(try error(deployment.heldOut, "mean_tpot_ms") < 0.01)
        #expect(try error(deployment.heldOut, "mean_ttft_ms") < 0.03)
        // An artifact like any other: it can be saved, and it knows where it holds.
        let bytes = try outcome.artifact.json()
        let oracle = try StepTimeOracle(artifact: OracleArtifact(json: bytes, source: "saved"))
        let result = try smallScenario(requests: 100).prepare(shipped: shipped, oracle: oracle).run()
        #expect(try #require(result.inDomainShare) > 0.9)
    }

    @Test func `the same measurements give the same bytes`() throws {
        let folder = try TemporaryFolder()
        let run = try measuredRun(folder)
        var calibration = RequestCalibration()
        calibration.holdout = nil
        func bytes() throws -> [UInt8] {
            try calibration.run([run], base: Scenario(), prior: .roofline, shipped: shipped).artifact.json()
        }
        #expect(try bytes() == bytes())
    }

    @Test func `an oracle without coefficients of seconds is refused`() throws {
        let folder = try TemporaryFolder()
        var model = StepModel(kind: .quantile, featureSet: "physics")
        model.quantiles = [0.1, 0.5, 0.9].map {
            QuantileModel(tau: $0, coefficients: [Coefficient(feature: "constant", value: 0.01)])
        }
        let prior = try StepTimeOracle(artifact: OracleArtifact(name: "quantiles", summary: "", step: model))
        #expect(throws: InvalidInput.self) {
            try RequestCalibration().run(
                [measuredRun(folder)], base: Scenario(), prior: prior, shipped: shipped)
        }
    }

    @Test func `too few answered requests are refused`() throws {
        let folder = try TemporaryFolder()
        var run = try measuredRun(folder)
        for index in run.records.indices.dropFirst(5) { run.records[index].status = .timedOut }
        #expect(throws: InvalidInput.self) {
            try RequestCalibration().run([run], base: Scenario(), prior: .roofline, shipped: shipped)
        }
    }

    @Test func `neighbours that share their errors count as fewer`() {
        var stream = RandomStream(seed: 3, purpose: "errors")
        let independent = (0..<4000).map { _ in stream.uniform() }
        let shared = (0..<4000).map { independent[$0 / 50] }
        #expect(RequestRows.inflation(independent) < 2)
        #expect(RequestRows.inflation(shared) > 20)
    }
}
