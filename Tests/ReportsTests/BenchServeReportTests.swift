import ByteStreams
import ServingCore
import Simulation
import Testing

@testable import Reports

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Four requests whose figures are worked out by hand.
func smallResult() throws -> SimulationResult {
    var configuration = MetricsConfiguration()
    configuration.percentiles = [50, 99, 99.9]
    configuration.objectives = try ServiceLevelObjectives(parsing: ["ttft:500", "tpot:100"])
    var collector = MetricsCollector(configuration)
    for time in [1.0, 2, 3, 4] { collector.sent(at: Ticks(seconds: time)) }
    var state = StepState()
    state.runningRequests = 2
    state.kvBlocksUsed = 25
    state.kvBlocksTotal = 100
    collector.step(start: Ticks(seconds: 4), end: Ticks(seconds: 5), state: state)
    collector.delivered(21, at: Ticks(seconds: 2.5))
    collector.addInterTokenGaps(Ticks(seconds: 0.1), count: 10, at: Ticks(seconds: 2.5))
    collector.addInterTokenGaps(Ticks(seconds: 0.2), count: 10, at: Ticks(seconds: 4.25))
    for record in smallRecords() { collector.finished(record) }
    var result = SimulationResult()
    result.metrics = collector.metrics()
    result.modelID = "llama-3.1-8b"
    result.requests = 4
    result.requestRate = 1
    result.maxConcurrency = 64
    result.accelerator = "h100-sxm"
    result.engine = [.init("tensor-parallel-size", "1"), .init("max-num-seqs", "256")]
    result.kvBlocks = 100
    result.steps = 1
    result.seed = .max
    result.prefixCacheQueries = 300
    result.prefixCacheHits = 96
    result.oracle = "roofline"
    result.oracleNotes = ["hardware facts alone"]
    result.warnings = ["a \"quoted\" warning"]
    return result
}

func smallRecords() -> [RequestRecord] {
    func record(
        _ index: Int, _ sent: Double, _ first: Double, _ last: Double, output: Int = 11,
        status: RequestStatus = .completed
    ) -> RequestRecord {
        var record = RequestRecord()
        record.index = index
        record.status = status
        record.sent = Ticks(seconds: sent)
        record.queued = record.sent
        record.scheduled = first < 0 ? -1 : record.sent + 1_000_000
        record.firstToken = first < 0 ? -1 : Ticks(seconds: first)
        record.finished = Ticks(seconds: last)
        record.promptTokens = 100
        record.cachedTokens = 32
        record.outputTokens = output
        return record
    }
    return [
        record(0, 1, 1.5, 2.5), record(1, 2, 2.25, 4.25), record(2, 3, 3.5, 3.5, output: 1),
        record(3, 4, -1, 5, output: 0, status: .timedOut),
    ]
}

@Suite struct BenchServeReportTests {
    @Test func `the console block is that of vllm bench serve character by character`() throws {
        var options = ReportOptions()
        options.metricPercentiles = [99, 99.9]
        // Printed by Python with the format strings of vllm/benchmarks/serve.py; a bar marks the end of a line, for many end in spaces.
        let expected = """
            ============ Serving Benchmark Result ============|
            Successful requests:                     3         |
            Failed requests:                         1         |
            Maximum request concurrency:             64        |
            Request rate configured (RPS):           1.00      |
            Benchmark duration (s):                  4.00      |
            Total input tokens:                      300       |
            Total generated tokens:                  23        |
            Request throughput (req/s):              0.75      |
            Request goodput (req/s):                 0.50      |
            Output token throughput (tok/s):         5.75      |
            Peak output token throughput (tok/s):    21.00     |
            Peak concurrent requests:                2.00      |
            Total token throughput (tok/s):          80.75     |
            ---------------Time to First Token----------------|
            Mean TTFT (ms):                          416.67    |
            Median TTFT (ms):                        500.00    |
            P99 TTFT (ms):                           500.00    |
            P99.9 TTFT (ms):                         500.00    |
            -----Time per Output Token (excl. 1st token)------|
            Mean TPOT (ms):                          150.00    |
            Median TPOT (ms):                        150.00    |
            P99 TPOT (ms):                           199.00    |
            P99.9 TPOT (ms):                         199.90    |
            ---------------Inter-token Latency----------------|
            Mean ITL (ms):                           150.00    |
            Median ITL (ms):                         150.00    |
            P99 ITL (ms):                            200.00    |
            P99.9 ITL (ms):                          200.00    |
            ----------------End-to-end Latency----------------|
            Mean E2EL (ms):                          1416.67   |
            Median E2EL (ms):                        1500.00   |
            P99 E2EL (ms):                           2235.00   |
            P99.9 E2EL (ms):                         2248.50   |
            ==================================================|

            """
        let block = benchServeReport(try smallResult(), options)
        #expect(block.split(separator: "\n").map { $0 + "|" } == expected.split(separator: "\n"))
        #expect(block.hasSuffix("=\n"))
    }

    @Test func `rows that vllm leaves out are left out`() throws {
        var result = try smallResult()
        result.requestRate = nil
        result.maxConcurrency = nil
        result.metrics.requestGoodput = nil
        var options = ReportOptions()
        options.percentileMetrics = [.ttft]
        options.metricPercentiles = [42]
        let block = benchServeReport(result, options)
        for word in ["Maximum", "configured", "goodput", "TPOT", "E2EL", "P42"] {
            #expect(!block.contains(word))
        }
        #expect(block.contains("Median TTFT"))
        result.requestRate = .infinity
        #expect(!benchServeReport(result, options).contains("configured"))
    }

    @Test func `what only a simulator knows stands below`() throws {
        let report = forecastReport(try smallResult())
        for part in [
            "cannot tell", "25 %", "hit rate 32.0 %", "1 timed out", "roofline", "hardware facts alone",
        ] {
            #expect(report.contains(part), "\(part) in:\n\(report)")
        }
        #expect(report.split(separator: "\n").allSatisfy { $0.count <= 112 && !$0.hasSuffix(" ") })
    }

    @Test func `a result of nothing prints`() {
        #expect(
            benchServeReport(SimulationResult()).contains("Mean TTFT (ms):                          0.00"))
        #expect(forecastReport(SimulationResult()).contains("unlimited"))
    }
}
