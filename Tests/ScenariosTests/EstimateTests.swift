import Catalog
import Foundation
import LatencyOracle
import Scenarios
import ServingCore
import Simulation
import Testing

private let shipped = ShippedFiles(
    home: URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path())

@Suite struct EstimateTests {
    private func scenario(rate: Double, requests: Int = 150) -> Scenario {
        var scenario = Scenario()
        scenario.engine.model = "llama-3.1-8b"
        scenario.gpu = "h100-sxm"
        scenario.oracle = "roofline"
        scenario.loadRequest.requestRate = rate
        scenario.loadRequest.numPrompts = requests
        return scenario
    }

    private func figures(_ prepared: PreparedScenario) throws -> [(
        name: String, estimate: Double, simulated: Double
    )] {
        let estimate = try Estimator(prepared).estimate()
        let simulated = try prepared.run().metrics.figures
        return estimate.figures.compactMap { figure in
            simulated.first { $0.name == figure.name }.map { (figure.name, figure.value, $0.value) }
        }
    }

    @Test(arguments: [0.5, 4, 10.0])
    func `means of a load that is served lie near the simulation's`(rate: Double) throws {
        let prepared = try scenario(rate: rate).prepare(shipped: shipped)
        for (name, estimate, simulated) in try figures(prepared)
        where ["mean_tpot_ms", "mean_e2el_ms", "mean_ttft_ms"].contains(name) {
            #expect(abs(estimate / simulated - 1) < 0.2, "\(name): \(estimate) for \(simulated)")
        }
    }

    @Test func `a load that cannot be served waits, and the estimate says so`() throws {
        let prepared = try scenario(rate: 200, requests: 600).prepare(shipped: shipped)
        let estimate = try Estimator(prepared).estimate()
        let simulated = try prepared.run().metrics
        #expect(estimate.overloadedShare > 0.3)
        #expect(abs(estimate.requestThroughput / simulated.requestThroughput - 1) < 0.4)
    }

    @Test func `more load never takes less time`() throws {
        var last = 0.0
        for rate in [0.2, 1, 3, 9, 20] {
            let estimate = try Estimator(scenario(rate: rate).prepare(shipped: shipped)).estimate()
            #expect(estimate.meanE2EL >= last)
            last = estimate.meanE2EL
        }
    }

    @Test func `a client with few requests in flight limits the load`() throws {
        var limited = scenario(rate: 50, requests: 100)
        limited.loadRequest.maxConcurrency = 4
        let prepared = try limited.prepare(shipped: shipped)
        for (name, estimate, simulated) in try figures(prepared)
        where ["mean_e2el_ms", "request_throughput"].contains(name) {
            #expect(abs(estimate / simulated - 1) < 0.25, "\(name): \(estimate) for \(simulated)")
        }
    }

    @Test func `bands hold the estimate`() throws {
        let estimator = try Estimator(scenario(rate: 2).prepare(shipped: shipped))
        let estimate = estimator.estimate()
        let band = try #require(try estimator.bands(draws: 20).first { $0.name == "mean_e2el_ms" })
        #expect(band.lower < estimate.meanE2EL && estimate.meanE2EL < band.upper)
    }
}
