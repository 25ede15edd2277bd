import ServingCore
import Testing

@testable import Simulation

@Suite struct MetricsCollectorTests {
    private let second = Ticks.perSecond

    private func record(
        _ index: Int, sent: Double, first: Double, last: Double, output: Int = 11,
        status: RequestStatus = .completed
    ) -> RequestRecord {
        var record = RequestRecord()
        record.index = index
        record.status = status
        record.sent = Ticks(seconds: sent)
        record.queued = record.sent
        record.scheduled = record.sent + 1_000_000
        record.firstToken = Ticks(seconds: first)
        record.finished = Ticks(seconds: last)
        record.promptTokens = 100
        record.cachedTokens = 32
        record.outputTokens = output
        return record
    }

    @Test func `rates and latencies follow vllm bench's definitions`() {
        var configuration = MetricsConfiguration()
        configuration.objectives = ServiceLevelObjectives(ttft: 500, tpot: 100)
        var collector = MetricsCollector(configuration)
        for time in [1.0, 2, 3, 4] { collector.sent(at: Ticks(seconds: time)) }
        collector.finished(record(0, sent: 1, first: 1.5, last: 2.5))  // TPOT 100 ms: good at the limit
        collector.finished(record(1, sent: 2, first: 2.25, last: 4.25))  // TPOT 200 ms: not good
        collector.finished(record(2, sent: 3, first: 3.5, last: 3.5, output: 1))  // TPOT counts as 0: good
        collector.finished(record(3, sent: 4, first: -1, last: 5, output: 0, status: .timedOut))
        let metrics = collector.metrics()
        #expect(metrics.duration == 4)
        #expect(metrics.completed == 3 && metrics.failed == 1 && metrics.timedOut == 1)
        #expect(metrics.totalInputTokens == 300 && metrics.totalOutputTokens == 23)
        #expect(metrics.requestThroughput == 0.75)
        #expect(metrics.outputThroughput == 23.0 / 4)
        #expect(metrics.totalTokenThroughput == 323.0 / 4)
        #expect(metrics.requestGoodput == 0.5)
        #expect(metrics.goodShare == 0.5)
        #expect(metrics.ttft.count == 3 && metrics.ttft.median == 500)
        #expect(metrics.tpot.count == 2 && abs(metrics.tpot.mean.value - 150) < 1e-9)
        #expect(metrics.e2el.maximum == 2250)
        #expect(metrics.meanQueueTime == 1)
        #expect(metrics.cachedPromptTokens == 96)
    }

    @Test func `peaks count whole seconds since the first request`() {
        var collector = MetricsCollector()
        collector.sent(at: second / 2)
        collector.sent(at: second * 4 / 5)
        // Seconds run from 0.5: the first two deliveries fall into one, the third into the next.
        collector.delivered(10, at: second)
        collector.delivered(7, at: second * 14 / 10)
        collector.delivered(12, at: second * 16 / 10)
        collector.delivered(1, at: second * 100)
        collector.finished(record(0, sent: 0.5, first: 1, last: 1.4))
        collector.finished(record(1, sent: 0.8, first: 1, last: 3.4))
        collector.finished(record(2, sent: 3.2, first: 3.3, last: 3.45))
        let metrics = collector.metrics()
        #expect(metrics.maxOutputTokensPerSecond == 17)
        #expect(metrics.maxConcurrentRequests == 2)
    }

    @Test(arguments: [WarmUp.requests(2), .time(Ticks.perSecond * 3 / 2)])
    func `warm-up requests count nowhere and rates start after them`(warmUp: WarmUp) {
        var configuration = MetricsConfiguration()
        configuration.warmUp = warmUp
        var collector = MetricsCollector(configuration)
        var state = StepState()
        state.runningRequests = 4
        state.kvBlocksUsed = 50
        state.kvBlocksTotal = 100
        collector.sent(at: 0)
        collector.sent(at: second)
        collector.step(start: 0, end: second, state: state)
        collector.addInterTokenGaps(second / 10, count: 4, at: second)
        collector.sent(at: second * 2)
        state.runningRequests = 2
        collector.step(start: second * 2, end: second * 3, state: state)
        collector.addInterTokenGaps(second / 20, count: 2, at: second * 3)
        collector.finished(record(1, sent: 1, first: 8, last: 9))
        collector.finished(record(0, sent: 0, first: 9, last: 10))
        collector.finished(record(2, sent: 2, first: 3, last: 12))
        let metrics = collector.metrics()
        #expect(metrics.warmUpRequests == 2)
        #expect(metrics.completed == 1)
        #expect(metrics.start == 2 && metrics.duration == 10)
        #expect(metrics.ttft.mean.value == 1000)
        #expect(metrics.itl.count == 2 && metrics.itl.mean.value == 50)
        #expect(metrics.meanRunningRequests == 0.2)
        #expect(metrics.meanKVUsage == 0.05 && metrics.peakKVUsage == 0.5)
        #expect(metrics.busyShare == 0.1)
        #expect(metrics.peakRunningRequests == 2)
    }

    @Test func `one call for several equal steps changes no figure`() {
        var one = MetricsCollector()
        var many = MetricsCollector()
        var state = StepState()
        state.runningRequests = 3
        state.waitingRequests = 2
        state.kvBlocksUsed = 7
        state.kvBlocksTotal = 10
        one.sent(at: 0)
        many.sent(at: 0)
        one.step(start: 0, end: second * 20, state: state)
        for i in 0..<2000 {
            many.step(start: Ticks(i) * 10_000_000, end: Ticks(i + 1) * 10_000_000, state: state)
        }
        #expect(one.metrics() == many.metrics())
    }

    @Test func `the timeline keeps every integral however long the run`() {
        var collector = MetricsCollector()
        var random = RandomStream(seed: 8, purpose: "timeline")
        var state = StepState()
        state.kvBlocksTotal = 1000
        collector.sent(at: 0)
        var now: Ticks = 0
        var waiting = 0.0
        var kv = 0.0
        for _ in 0..<8_000 {
            let span = Ticks(random.next() % 100_000_000) + 1
            state.waitingRequests = Int(random.next() % 50)
            state.runningRequests = Int(random.next() % 200)
            state.kvBlocksUsed = Int(random.next() % 1000)
            collector.step(start: now, end: now + span, state: state)
            waiting += Double(state.waitingRequests) * span.seconds
            kv += Double(state.kvBlocksUsed) / 1000 * span.seconds
            now += span + (random.next() % 4 == 0 ? 50_000_000 : 0)
        }
        let metrics = collector.metrics()
        #expect(metrics.timeline.count > 128 && metrics.timeline.count <= 512)
        let integral = metrics.timeline.reduce(0.0) { $0 + $1.waitingRequests * $1.width }
        let usage = metrics.timeline.reduce(0.0) { $0 + $1.kvUsage * $1.width }
        #expect(abs(integral / waiting - 1) < 1e-9)
        #expect(abs(usage / kv - 1) < 1e-9)
        #expect(metrics.timeline.allSatisfy { $0.kvUsage <= 1 && $0.mostWaitingRequests < 50 })
        #expect(abs(metrics.meanWaitingRequests * metrics.duration / waiting - 1) < 1e-9)
    }

    @Test func `two engines are added up and averaged`() {
        var configuration = MetricsConfiguration()
        configuration.engines = 2
        var collector = MetricsCollector(configuration)
        var state = StepState()
        state.runningRequests = 5
        state.kvBlocksUsed = 50
        state.kvBlocksTotal = 100
        collector.sent(at: 0)
        collector.step(start: 0, end: second, state: state)
        collector.step(start: 0, end: second / 2, state: state)
        let metrics = collector.metrics()
        #expect(metrics.meanRunningRequests == 7.5)
        #expect(metrics.meanKVUsage == 0.375)
        #expect(metrics.busyShare == 0.75)
    }

    @Test func `a run without requests has metrics of zero`() {
        let metrics = MetricsCollector().metrics()
        #expect(metrics.duration == 0 && metrics.completed == 0 && metrics.timeline.isEmpty)
        #expect(metrics.ttft.percentile(99) == Estimate(0))
        #expect(metrics.saturation.verdict == .cannotTell)
    }

    @Test func `extreme times do not trap`() {
        var collector = MetricsCollector()
        collector.sent(at: 0)
        collector.sent(at: 0, due: .max)
        var state = StepState()
        state.waitingRequests = .max
        collector.step(start: 0, end: 1 << 61, state: state)
        collector.delivered(1, at: 1 << 61)
        var late = record(0, sent: 0, first: 1, last: 2)
        late.finished = 1 << 61
        collector.finished(late)
        #expect(collector.metrics().completed == 1)
    }

    @Test(arguments: ["ttft", "ttft:", "ttft:x", "ttft:-1", "ttft:nan", "tftt:500", "itl:5", "a:b:c", ""])
    func `a goodput limit in another form is refused in one line`(pair: String) {
        #expect {
            try ServiceLevelObjectives(parsing: [pair])
        } throws: { error in
            (error as? InvalidInput)?.kind == .usage && !"\(error)".contains("\n")
        }
    }

    @Test func `goodput limits are read by name`() throws {
        let objectives = try ServiceLevelObjectives(parsing: ["ttft:500", "tpot:50.5", "e2el:1e4"])
        #expect(objectives == ServiceLevelObjectives(ttft: 500, tpot: 50.5, e2el: 10_000))
        let misspelt = #expect(throws: InvalidInput.self) {
            try ServiceLevelObjectives(parsing: ["tftt:500"])
        }
        #expect(misspelt?.description.contains("did you mean ttft?") == true)
    }
}
