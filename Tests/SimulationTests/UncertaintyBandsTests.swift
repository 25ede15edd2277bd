import LatencyOracle
import ServingCore
import Testing

@testable import Simulation

@Suite struct UncertaintyBandsTests {
    private func metrics(meanTTFT: Double, completed: Int = 1) -> SimulationMetrics {
        var metrics = SimulationMetrics()
        metrics.completed = completed
        metrics.ttft.count = completed
        metrics.ttft.mean = Estimate(meanTTFT)
        metrics.ttft.percentiles = [.init(99.9, Estimate(2 * meanTTFT))]
        return metrics
    }

    @Test func `a band leaves a twentieth of the reruns on each side`() throws {
        let bands = UncertaintyBands((1...100).reversed().map { metrics(meanTTFT: Double($0)) })
        let band = try #require(bands["mean_ttft_ms"])
        for (value, expected) in [(band.lower, 5.5), (band.median, 50.5), (band.upper, 95.5)] {
            #expect(abs(value - expected) < 1e-9)
        }
        #expect(abs(bands["p99.9_ttft_ms"]!.upper - 191) < 1e-9)
        #expect(band.covers(5.6) && !band.covers(5.4) && !band.covers(95.6))
        #expect(abs(band.relativeHalfWidth! - 45 / 50.5) < 1e-12)
    }

    @Test func `few reruns give their range`() throws {
        let band = try #require(
            UncertaintyBands([metrics(meanTTFT: 3), metrics(meanTTFT: 1)])["mean_ttft_ms"])
        #expect(band.lower == 1 && band.median == 2 && band.upper == 3)
    }

    @Test func `a latency that no request reached is unbounded, not zero`() throws {
        let runs = (0..<20).map { metrics(meanTTFT: 10, completed: $0 < 4 ? 0 : 1) }
        let band = try #require(UncertaintyBands(runs)["mean_ttft_ms"])
        #expect(band.lower == 10 && band.upper == .infinity && band.relativeHalfWidth == nil)
    }

    @Test func `verdicts are counted`() {
        var stable = metrics(meanTTFT: 1)
        stable.saturation.verdict = .stable
        #expect(UncertaintyBands([stable, stable, metrics(meanTTFT: 1)]).verdicts == [0, 2, 1])
    }
}

@Suite struct StepSampleTests {
    @Test(arguments: [1, 700, 1024, 1025, 5000, 400_000])
    func `a sample is evenly spread over the steps`(steps: Int) {
        var sample = StepSample()
        for index in 0..<steps {
            var state = StepState()
            state.decodeRequests = index
            if sample.isNextDue() { sample.keep(state) }
        }
        let places = sample.states.map(\.decodeRequests)
        #expect(places.first == 0 && places.count < 1024 && places.count >= min(512, steps))
        let gaps = Set(zip(places.dropFirst(), places).map { $0.0 - $0.1 })
        #expect(gaps.count <= 1)
        #expect((steps - 1) - places.last! < gaps.first ?? 1)
    }

    @Test func `features that leave the training range are named with how often and how far`() throws {
        var model = StepModel(
            kind: .linear, featureSet: "physics",
            coefficients: [Coefficient(feature: "constant", value: 0.01)])
        model.domain = TrainingDomain(
            features: ["running_requests"], means: [10], minimum: [0], maximum: [20], precision: [[0.01]],
            limit: 1)
        let oracle = try StepTimeOracle(
            artifact: OracleArtifact(name: "test", summary: "", step: model)
        ).compile(for: DeploymentFacts())
        let states = [12, 20, 60, 100].map { running in
            var state = StepState()
            state.runningRequests = running
            return state
        }
        let found = try #require(DomainCoverage(states, oracle: oracle))
        #expect(found.share == 0.5 && found.unusualCombinations == 0)
        #expect(found.excursions == [.init(feature: "running_requests", share: 0.5, distance: 4)])
        #expect(DomainCoverage([], oracle: oracle) == nil)
    }
}
