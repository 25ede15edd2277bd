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

@Suite struct UncertaintyTests {
    private func prepared() throws -> PreparedScenario {
        var scenario = Scenario()
        scenario.engine.model = "llama-3.1-8b"
        scenario.gpu = "h100-sxm"
        scenario.oracle = "roofline"
        scenario.loadRequest.requestRate = 5
        scenario.loadRequest.numPrompts = 40
        return try scenario.prepare(shipped: shipped)
    }

    @Test func `bands are the same whatever the number of threads`() throws {
        let prepared = try prepared()
        var reruns = UncertaintyReruns(count: 12)
        reruns.threads = 1
        let alone = try reruns.bands(of: prepared)
        reruns.threads = 5
        #expect(try reruns.bands(of: prepared) == alone)
    }

    @Test func `bands lie around the forecast and all reruns answer the same requests`() throws {
        let prepared = try prepared()
        let forecast = try prepared.run().metrics
        let bands = try UncertaintyReruns(count: 20).bands(of: prepared)
        for name in ["mean_ttft_ms", "mean_tpot_ms", "mean_e2el_ms"] {
            let band = try #require(bands[name])
            let value = try #require(forecast.figures.first { $0.name == name }).value
            #expect(band.lower < 0.95 * value && value < 0.98 * band.upper)
        }
        #expect(bands["completed"]?.lower == 40 && bands["completed"]?.upper == 40)
    }

    @Test func `an accelerator that nothing was compared with has wider bands`() throws {
        func halfWidth(_ gpu: String) throws -> Double {
            var scenario = try prepared().scenario
            scenario.gpu = gpu
            let bands = try UncertaintyReruns(count: 20).bands(of: scenario.prepare(shipped: shipped))
            return try #require(bands["mean_tpot_ms"]?.relativeHalfWidth)
        }
        #expect(try halfWidth("h100-pcie") > 1.5 * halfWidth("h100-sxm"))
    }

    @Test func `cancelling ends the reruns`() throws {
        var reruns = UncertaintyReruns(count: 4)
        reruns.isCancelled = { true }
        #expect(throws: CancellationError.self) { try reruns.bands(of: prepared()) }
    }
}
