import Catalog
import Scenarios
import Validation
import Workload

/// Whole simulations: the replay of measured runs, and a million requests drawn from a specification.
let simulationBenchmark = Benchmark(
    name: "simulation", subject: "simulated requests per CPU second, reading of traces left out"
) {
    let shipped = try ShippedFiles.locate()
    var measurements: [Measurement] = []

    let folder = "../../shared/data/real-runs"
    if let entries = try? MeasuredRunEntry.read(folder: folder) {
        let prepared = try entries.filter { $0.engine.contains("0.15.1") }.map { entry in
            try MeasuredRun(entry, folder: folder).scenario(base: Scenario()).prepare(shipped: shipped)
        }
        var requests = 0
        let seconds = try leastProcessorSeconds {
            requests = try prepared.reduce(0) { $0 + (try $1.run().requests) }
        }
        measurements.append(
            Measurement(
                subject: "replay of \(prepared.count) real runs", value: Double(requests) / seconds,
                unit: "requests/s",
                target: 100_000, higherIsBetter: true))
    } else {
        print("  replay of real runs: left out, needs \(folder)")
    }

    var scenario = Scenario()
    scenario.engine.model = "llama-3.1-8b"
    scenario.gpu = "h100-sxm"
    var lengths = Scenario.RandomLengths()
    lengths.inputLength = 512
    lengths.outputLength = 128
    scenario.load = .random(lengths)
    scenario.loadRequest.requestRate = 20
    scenario.loadRequest.numPrompts = 1_000_000
    let million = try scenario.prepare(shipped: shipped)
    let seconds = try leastProcessorSeconds { _ = try million.run() }
    measurements.append(
        Measurement(
            subject: "1,000,000 requests, 512 in, 128 out, 20/s", value: seconds, unit: "s", target: 10))
    measurements.append(
        Measurement(
            subject: "peak memory so far", value: Double(peakMemoryBytes()) / 1e6, unit: "MB", target: 500))
    return measurements
}
