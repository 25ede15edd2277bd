import Catalog
import Scenarios
import ServingCore
import Simulation
import Validation

/// Not how fast but how exact: 10,000 random scenarios and all measured runs simulated twice, the decoding requests
/// advanced together and every request visited in every step. Records, steps, results, histograms and time lines must
/// be equal.
let exactStepsBenchmark = Benchmark(
    name: "exact-steps", subject: "10,000 random scenarios and the measured runs against --exact-steps"
) {
    let count = 10_000
    var (different, requests, steps, preemptions, cached, timedOut, stored) = (0, 0, 0, 0, 0, 0, 0)
    for seed in 0..<count {
        var (configuration, load, timeout) = try RandomScenarios.scenario(UInt64(seed))
        configuration.scheduler.checksInvariants = false
        let fast = try RandomScenarios.run(configuration, load, timeout: timeout)
        configuration.scheduler.exactSteps = true
        if try RandomScenarios.run(configuration, load, timeout: timeout) != fast {
            print("  scenario \(seed) differs")
            different += 1
        }
        if fast.result.simulatedSeconds > 590 {
            let hasOffload = configuration.scheduler.offload != nil
            print("  scenario \(seed) was cut at the horizon\(hasOffload ? ", it offloads" : "")")
        }
        requests += fast.records.count
        steps += fast.steps.count
        preemptions += fast.result.preemptions
        cached += fast.result.prefixCacheHits
        timedOut += fast.result.metrics.timedOut
        stored += fast.result.offload?.transfers.stores ?? 0
    }
    print(
        "  \(requests) requests in \(steps) steps, \(preemptions) preemptions, \(cached) cached tokens, "
            + "\(timedOut) requests given up, \(stored) stores to host memory")
    return try [
        Measurement(subject: "scenarios that differ", value: Double(different), unit: "", target: 0),
        Measurement(
            subject: "measured runs that differ", value: Double(differentMeasuredRuns()), unit: "", target: 0),
    ]
}

/// Measured runs whose simulation depends on how it is done, with the mean and with sampled step times.
private func differentMeasuredRuns() throws -> Int {
    let folder = "../../shared/data/real-runs"
    let shipped = try ShippedFiles.locate()
    guard let entries = try? MeasuredRunEntry.read(folder: folder) else {
        print("  measured runs: left out, needs \(folder)")
        return 0
    }
    var (different, requests, steps) = (0, 0, 0)
    for entry in entries {
        for latency in [LatencyMode.mean, .sample] {
            var prepared = try MeasuredRun(entry, folder: folder).scenario(base: Scenario()).prepare(
                shipped: shipped)
            prepared.configuration.latency = latency
            prepared.configuration.collectsRecords = true
            prepared.configuration.collectsSteps = true
            let fast = try outcome(prepared)
            prepared.configuration.scheduler.exactSteps = true
            if try outcome(prepared) != fast {
                print("  \(entry.name) differs")
                different += 1
            }
            requests += fast.records.count
            steps += fast.steps.count
        }
    }
    print("  \(requests) requests of \(entries.count) measured runs, twice each, in \(steps) steps")
    return different
}

private func outcome(_ prepared: PreparedScenario) throws -> RandomScenarios.Outcome {
    var run = try prepared.makeRun()
    while try run.advance(events: 1 << 20) {}
    let result = run.finish()
    return RandomScenarios.Outcome(result: result, records: run.takeRecords(), steps: run.takeSteps())
}
