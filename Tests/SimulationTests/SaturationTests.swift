import ServingCore
import Testing

@testable import Simulation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@Suite struct SaturationTests {
    /// A server that handles up to `places` requests at a time, each for an exponential time of one second on
    /// average, offered `load` times what it can do.
    private func run(
        load: Double, places: Int = 20, requests: Int, seed: UInt64, timeout: Double = .infinity
    ) -> SimulationMetrics {
        var random = RandomStream(seed: seed, purpose: "server")
        func exponential(_ mean: Double) -> Ticks { Ticks(seconds: -log(random.positiveUniform()) * mean) }
        var collector = MetricsCollector()
        var running: [(end: Ticks, record: RequestRecord)] = []
        var waiting: [RequestRecord] = []
        var state = StepState()
        var now: Ticks = 0
        var nextArrival: Ticks = 0
        var sent = 0
        func finish(_ record: RequestRecord, _ status: RequestStatus) {
            var record = record
            record.status = status
            record.finished = now
            record.firstToken = now
            collector.finished(record)
        }
        func start(_ record: RequestRecord) {
            var record = record
            record.scheduled = now
            let end = now + exponential(1)
            running.insert((end, record), at: running.firstIndex { $0.end <= end } ?? running.count)
        }
        while sent < requests || !running.isEmpty {
            let nextEnd = running.last?.end ?? .max
            let next = min(sent < requests ? nextArrival : .max, nextEnd)
            state.runningRequests = running.count
            state.waitingRequests = waiting.count
            collector.step(start: now, end: next, state: state)
            now = next
            if next == nextEnd {
                finish(running.removeLast().record, .completed)
                while let first = waiting.first, (now - first.sent).seconds > timeout {
                    finish(first, .timedOut)
                    waiting.removeFirst()
                }
                if !waiting.isEmpty { start(waiting.removeFirst()) }
            } else {
                collector.sent(at: now)
                var record = RequestRecord()
                record.index = sent
                record.sent = now
                record.queued = now
                sent += 1
                nextArrival = now + exponential(1 / (load * Double(places)))
                if running.count < places { start(record) } else { waiting.append(record) }
            }
        }
        return collector.metrics()
    }

    private func verdicts(
        _ seeds: Range<UInt64>, load: Double, requests: Int
    ) -> [Saturation.Verdict: Int] {
        var counts: [Saturation.Verdict: Int] = [:]
        for seed in seeds {
            counts[run(load: load, requests: requests, seed: seed).saturation.verdict, default: 0] += 1
        }
        return counts
    }

    @Test func `moderate load is stable`() {
        #expect(verdicts(0..<10, load: 0.7, requests: 2500)[.stable, default: 0] >= 9)
    }

    @Test func `overload is saturated, also on a short run`() {
        #expect(verdicts(0..<10, load: 1.3, requests: 2500) == [.saturated: 10])
        let short = verdicts(0..<15, load: 2, requests: 600)
        #expect(short[.saturated, default: 0] >= 13 && short[.stable] == nil)
    }

    @Test func `near the limit neither side is claimed wrongly`() {
        // Below the limit a queue wanders; it must not count as growing.
        #expect(verdicts(0..<15, load: 0.97, requests: 2500)[.saturated, default: 0] <= 1)
        // Above it a queue may not have emerged yet; that must not count as stable.
        #expect(verdicts(0..<15, load: 1.03, requests: 2500)[.stable, default: 0] <= 1)
        #expect(verdicts(0..<15, load: 1.1, requests: 2500)[.stable, default: 0] == 0)
    }

    @Test func `a run shorter than a few latencies cannot tell`() {
        let metrics = run(load: 0.1, places: 1000, requests: 120, seed: 1)
        #expect(metrics.saturation.verdict == .cannotTell)
        #expect(metrics.saturation.reason.contains("end-to-end latency"))
    }

    @Test func `few requests or one burst cannot tell`() {
        #expect(run(load: 0.5, requests: 20, seed: 1).saturation.verdict == .cannotTell)
        var collector = MetricsCollector()
        for _ in 0..<500 { collector.sent(at: 0) }
        let burst = collector.metrics().saturation
        #expect(burst.verdict == .cannotTell)
        #expect(burst.reason.contains("same moment"))
    }

    @Test func `clients that give up mean saturation although the queue stays short`() {
        let metrics = run(load: 1.5, requests: 4000, seed: 3, timeout: 2)
        #expect(metrics.timedOut > 100)
        #expect(metrics.saturation.verdict == .saturated)
        #expect(metrics.saturation.reason.contains("gave up"))
    }

    @Test func `a queue at the client counts as a queue`() {
        // Ten requests/s are due, the client's limit lets out eight.
        var collector = MetricsCollector()
        var state = StepState()
        state.runningRequests = 8
        for i in 0..<2000 {
            let due = Ticks(i) * 100_000_000
            let time = Ticks(i) * 125_000_000
            collector.sent(at: time, due: due)
            collector.step(start: time, end: time + 125_000_000, state: state)
            var record = RequestRecord()
            record.index = i
            record.status = .completed
            record.sent = time
            record.firstToken = time + 500_000_000
            record.finished = time + 1_000_000_000
            collector.finished(record)
        }
        #expect(collector.metrics().saturation.verdict == .saturated)
    }

    @Test func `Little's law holds on a long steady run`() {
        let saturation = run(load: 0.7, requests: 10_000, seed: 5).saturation
        #expect(abs(saturation.littlesLaw / saturation.meanInSystem - 1) < 0.02)
        #expect(abs(saturation.offeredRate / 14 - 1) < 0.05)
    }
}
