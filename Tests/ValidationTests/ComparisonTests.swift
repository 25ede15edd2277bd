import Foundation
import LatencyOracle
import Reports
import Scenarios
import ServingCore
import Simulation
import Testing

@testable import Validation

@Suite struct ComparisonTests {
    private let hasRuns = FileManager.default.fileExists(atPath: realRuns)

    @Test func `a simulation that is measured and simulated again has no error, and its band covers it`()
        throws
    {
        let folder = try TemporaryFolder()
        _ = try measure(smallScenario(requests: 60), with: .roofline, into: folder, name: "run")
        try folder.write(
            "index.json",
            """
            [{"name": "run", "model": "llama-3.1-8b", "gpu": "h100-sxm", "engine": "vllm 0.32.0",
              "num_gpu_blocks": 20000, "overloaded": false}]
            """)
        let entry = try #require(try MeasuredRunEntry.read(folder: folder.path).first)
        var options = RunComparison.Options()
        options.uncertaintyReruns = 10
        let comparison = try RunComparison(
            MeasuredRun(entry, folder: folder.path), base: smallScenario(), shipped: shipped, options: options
        )
        for name in ["mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "p50_e2el_ms", "request_throughput"] {
            let metric = try #require(comparison.metric(name))
            #expect(try #require(metric.ape) < 1e-6)
            #expect(try #require(metric.band).covers(metric.measured) || name == "request_throughput")
        }
        // The plan is what the simulator would have taken, not what it was told.
        let blocks = try #require(comparison.metric("num_gpu_blocks"))
        #expect(blocks.measured == 20_000 && blocks.predicted > 25_000)
        options.part = .requests
        let half = try RunComparison(
            MeasuredRun(entry, folder: folder.path), base: smallScenario(), shipped: shipped, options: options
        )
        #expect(try #require(half.metric("mean_e2el_ms")?.ape) < 1e-6)
        #expect(half.metric("mean_e2el_ms")?.measured != comparison.metric("mean_e2el_ms")?.measured)
    }

    @Test func `the summary counts errors, coverage and widths of runs that were not overloaded`() {
        func comparison(_ name: String, measured: Double, overloaded: Bool = false) -> RunComparison {
            var own = RunComparison(name: name, measured: [:], result: SimulationResult())
            own.overloaded = overloaded
            own.metrics = [
                .init(
                    name: "mean_e2el_ms", measured: measured, predicted: 100,
                    band: .init(name: "mean_e2el_ms", lower: 90, median: 100, upper: 120))
            ]
            return own
        }
        let summary = ComparisonSummary([
            comparison("a", measured: 100), comparison("b", measured: 80),
            comparison("c", measured: 1, overloaded: true),
        ])
        #expect(summary.runs == 2)
        let line = summary["mean_e2el_ms"]
        #expect(line?.mape == 0.125 && line?.coverage == 0.5 && line?.medianHalfWidth == 0.15)
    }

    @Test func `a result of vllm bench serve is compared with its scenario`() throws {
        let folder = try TemporaryFolder()
        let scenario = smallScenario(requests: 50)
        let result = try scenario.prepare(shipped: shipped).run()
        try resultJSON(result).write(to: folder.path + "/result.json")
        let measured = try BenchServeResult(contentsOf: folder.path + "/result.json")
        let (complete, trace) = try measured.load(in: scenario)
        #expect(trace == nil)
        let comparison = RunComparison(
            name: "result.json", measured: measured.figures,
            result: try complete.prepare(shipped: shipped).run())
        let metrics = comparison.metrics.filter { $0.measured > 0 }
        #expect(metrics.contains { $0.name == "mean_itl_ms" } && metrics.contains { $0.name == "completed" })
        #expect(metrics.allSatisfy { $0.ape == 0 })
    }

    @Test func `detailed results send the very requests, failed ones left out`() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            "result.json",
            """
            {"duration": 10, "completed": 2, "failed": 1, "mean_ttft_ms": 20.5, "max_concurrency": 7, "errors": ["", "x", ""],
             "input_lens": [100, 50, 300], "output_lens": [10, 0, 30], "start_times": [1000.5, 1001, 1002.5]}
            """)
        let measured = try BenchServeResult(contentsOf: folder.path + "/result.json")
        let (_, found) = try measured.load(in: smallScenario())
        let trace = try #require(found)
        #expect(trace.count == 2 && trace.maxConcurrency == 7)
        #expect(measured.figures["mean_ttft_ms"] == 20.5)
    }

    @Test(arguments: ["[]", "{}", "{\"duration\": 1}", "nonsense", "{\"duration\": \"x\", \"completed\": 1}"])
    func `what is no result file is refused`(text: String) throws {
        let folder = try TemporaryFolder()
        try folder.write("result.json", text)
        #expect(throws: InvalidInput.self) { try BenchServeResult(contentsOf: folder.path + "/result.json") }
    }
}
