import ServingCore

/// Not how fast but how exact: 10,000 random scenarios simulated twice, the decoding requests advanced together and
/// every request visited in every step. Records, steps, results, histograms and time lines must be equal.
let exactStepsBenchmark = Benchmark(
    name: "exact-steps", subject: "10,000 random scenarios against --exact-steps"
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
    return [Measurement(subject: "scenarios that differ", value: Double(different), unit: "", target: 0)]
}
