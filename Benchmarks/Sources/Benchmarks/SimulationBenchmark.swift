import Catalog
import Scenarios
import ServingCore
import Validation
import Workload

/// The replay of measured runs.
let replayBenchmark = Benchmark(
    name: "replay", subject: "measured runs simulated, reading of traces left out"
) {
    let shipped = try ShippedFiles.locate()
    let folder = "../../shared/data/real-runs"
    guard let entries = try? MeasuredRunEntry.read(folder: folder) else {
        print("  replay of real runs: left out, needs \(folder)")
        return []
    }
    let prepared = try entries.filter { $0.engine.contains("0.15.1") }.map { entry in
        try MeasuredRun(entry, folder: folder).scenario(base: Scenario()).prepare(shipped: shipped)
    }
    var (requests, steps) = (0, 0)
    let seconds = try leastProcessorSeconds(repeats: 10) {
        requests = 0
        steps = 0
        for run in prepared {
            let result = try run.run()
            requests += result.requests
            steps += result.steps
        }
    }
    let subject = "replay of \(prepared.count) real runs, \(requests) requests in \(steps) steps"
    return [
        Measurement(
            subject: subject, value: Double(requests) / seconds, unit: "requests/s", target: 460_000,
            higherIsBetter: true)
    ]
}

/// Millions of requests drawn from a specification.
let simulationBenchmark = Benchmark(name: "simulation", subject: "whole simulations of random requests") {
    let shipped = try ShippedFiles.locate()
    var measurements: [Measurement] = []

    let million = try randomLoad(requests: 1_000_000).prepare(shipped: shipped)
    let seconds = try leastProcessorSeconds { _ = try million.run() }
    let memory = Double(peakMemoryBytes()) / 1e6
    measurements += [
        Measurement(
            subject: "1,000,000 requests, 512 in, 128 out, 20/s", value: seconds, unit: "s", target: 1.8),
        Measurement(subject: "peak memory so far", value: memory, unit: "MB", target: 150),
    ]
    let tenMillion = try randomLoad(requests: 10_000_000).prepare(shipped: shipped)
    let tenTimes = try leastProcessorSeconds(repeats: 1) { _ = try tenMillion.run() }
    measurements += [
        Measurement(subject: "10,000,000 requests", value: tenTimes, unit: "s", target: 11 * seconds),
        Measurement(
            subject: "peak memory so far", value: Double(peakMemoryBytes()) / 1e6, unit: "MB",
            target: 1.2 * memory),
    ]
    return measurements
}

/// Prompts that begin alike: a production trace of long prompts, and agents whose prompts repeat all before them.
let prefixBenchmark = Benchmark(name: "prefixes", subject: "simulations with a busy prefix cache") {
    let shipped = try ShippedFiles.locate()
    var measurements: [Measurement] = []
    var scenario = Scenario()
    scenario.engine.model = "llama-3.1-8b"
    scenario.engine.tensorParallelSize = 8
    scenario.gpu = "h100-sxm"

    let trace = "../../shared/data/request-traces/mooncake_conversation_trace.jsonl"
    scenario.load = .trace(path: trace, options: TraceOptions())
    do {
        let prepared = try scenario.prepare(shipped: shipped)
        let seconds = try leastProcessorSeconds { _ = try prepared.run() }
        let reading = try leastProcessorSeconds { _ = try scenario.prepare(shipped: shipped) }
        measurements += [
            Measurement(
                subject: "Mooncake conversations, 8 x H100", value: seconds + reading, unit: "s", target: 0.5),
            Measurement(subject: "of that, reading the trace", value: reading, unit: "s"),
        ]
    } catch let error as InvalidInput where error.kind == .noSuchInput {
        print("  Mooncake conversations: left out, needs \(trace)")
    }

    // The shipped agents, more of them and closer together.
    let yaml = """
        load: {type: poisson, request_rate: 2}
        num_prompts: 7000
        input_len: {type: lognormal, median: 400, sigma: 1, min: 20, max: 8000}
        output_len: {type: lognormal, median: 120, sigma: 0.8, min: 10, max: 2000}
        shared_prefix: {num_groups: 1, prefix_len: 3000}
        multi_turn:
          turns: {type: lognormal, median: 12, sigma: 0.6, max: 60}
          think_time: {type: lognormal, median: 2, sigma: 1, max: 120}
          max_context_len: 100000
        """
    scenario.load = .specification(yaml: yaml, source: "agents")
    let agents = try scenario.prepare(shipped: shipped)
    var turns = 0
    var share = 0.0
    let seconds = try leastProcessorSeconds {
        let result = try agents.run()
        turns = result.requests
        share = result.prefixCacheHitRate
    }
    measurements += [
        Measurement(
            subject:
                "multi-turn agents, 100,000 turns (of \(turns), \(Int(share * 100)) % of the prompts cached)",
            value: seconds * 100_000 / Double(turns), unit: "s", target: 2)
    ]
    return measurements
}

/// Llama-3.1-8B on one H100 under 20 requests/s of 512 tokens in and 128 out.
private func randomLoad(requests: Int) -> Scenario {
    var scenario = Scenario()
    scenario.engine.model = "llama-3.1-8b"
    scenario.gpu = "h100-sxm"
    var lengths = Scenario.RandomLengths()
    lengths.inputLength = 512
    lengths.outputLength = 128
    scenario.load = .random(lengths)
    scenario.loadRequest.requestRate = 20
    scenario.loadRequest.numPrompts = requests
    return scenario
}
