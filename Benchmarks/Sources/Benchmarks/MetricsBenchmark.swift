import ServingCore
import Simulation

/// What the metrics add to every request and every step.
let metricsBenchmark = Benchmark(
    name: "metrics", subject: "metrics of 1,000,000 requests and 5,000,000 steps"
) {
    let requests = 1_000_000
    let steps = 5_000_000
    let requestSeconds = leastProcessorSeconds {
        var collector = MetricsCollector()
        var random = RandomStream(seed: 1, purpose: "benchmark")
        var record = RequestRecord()
        record.status = .completed
        record.promptTokens = 512
        record.outputTokens = 128
        for i in 0..<requests {
            let time = Ticks(i) * 50_000_000
            collector.sent(at: time)
            record.index = i
            record.sent = time
            record.queued = time + 1_000_000
            record.scheduled = time + 5_000_000
            record.firstToken = time + 20_000_000 + Ticks(random.next() >> 40)
            record.finished = record.firstToken + 1_200_000_000 + Ticks(random.next() >> 36)
            collector.finished(record)
        }
        precondition(collector.metrics().completed == requests)
    }
    let stepSeconds = leastProcessorSeconds {
        var collector = MetricsCollector()
        var random = RandomStream(seed: 2, purpose: "benchmark")
        var state = StepState()
        state.kvBlocksTotal = 27_000
        collector.sent(at: 0)
        var now: Ticks = 0
        for _ in 0..<steps {
            let word = random.next()
            let span = 9_000_000 + Ticks(word >> 44)
            state.runningRequests = 16 + Int(word & 15)
            state.kvBlocksUsed = 2_000 + Int(word & 1023)
            collector.step(start: now, end: now + span, state: state)
            now += span
            collector.delivered(state.runningRequests, at: now)
            collector.addInterTokenGaps(span, count: state.runningRequests, at: now)
        }
        precondition(collector.metrics().itl.count > steps)
    }
    return [
        Measurement(
            subject: "per request", value: requestSeconds / Double(requests) * 1e9, unit: "ns", target: 90),
        Measurement(subject: "per step", value: stepSeconds / Double(steps) * 1e9, unit: "ns", target: 25),
    ]
}
