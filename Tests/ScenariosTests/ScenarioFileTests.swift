import Catalog
import Foundation
import ServingCore
import Simulation
import Testing

@testable import Scenarios

private let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
private let shipped = ShippedFiles(home: packageRoot.path())
private let traces = packageRoot.appending(path: "../shared/data/request-traces").standardizedFileURL.path()

@Suite struct ScenarioFileTests {
    /// Writes a scenario to a temporary file and reads it.
    private func read(_ text: String) throws -> ScenarioFile {
        let url = FileManager.default.temporaryDirectory.appending(path: "scenario-\(UUID().uuidString).yaml")
        try Data(text.utf8).write(to: url)
        defer { try? FileManager.default.removeItem(at: url) }
        return try ScenarioFile(contentsOf: url.path())
    }

    @Test func `vLLM's flags and stepcast's stand side by side, with dashes or underscores`() throws {
        let scenario = try read(
            """
            model: llama-3.1-8b
            gpu: h100-sxm
            max_num_seqs: 64
            max-num-batched-tokens: 4096
            enable-prefix-caching: false
            request-rate: 3
            num_prompts: 20
            goodput: {ttft: 500, tpot: 50}
            seed: 7
            """
        ).scenario()
        #expect(scenario.engine.maxNumSeqs == 64)
        #expect(scenario.engine.maxNumBatchedTokens == 4096)
        #expect(scenario.engine.enablePrefixCaching == false)
        #expect(scenario.objectives == ServiceLevelObjectives(ttft: 500, tpot: 50))
        let result = try scenario.prepare(shipped: shipped).run()
        #expect(result.metrics.completed == 20)
        #expect(result.seed == 7)
    }

    @Test func `a value set on the command line replaces the file's, also inside a workload`() throws {
        var file = try read(
            """
            model: llama-3.1-8b
            gpu: h100-sxm
            max-num-seqs: 64
            workload:
              load: {type: poisson, request_rate: 1}
              num_prompts: 5
              input_len: 10
              output_len: 3
            """)
        try file.set("max_num_seqs=32")
        try file.set("workload.num_prompts=9")
        let scenario = try file.scenario()
        #expect(scenario.engine.maxNumSeqs == 32)
        guard case .specification(let yaml, _) = scenario.load else {
            Issue.record("the workload is no specification")
            return
        }
        #expect(yaml.contains("\"num_prompts\": 9"))
        #expect(try scenario.prepare(shipped: shipped).run().metrics.completed == 9)
    }

    @Test(arguments: [
        ("max-nun-seqs: 3", "max-num-seqs"), ("worklaod: chat", "workload"), ("gpuu: l4", "gpu"),
    ]) func `an unknown key names the nearest known one`(text: String, nearest: String) throws {
        let error = #expect(throws: InvalidInput.self) { try read(text).scenario() }
        #expect(error?.description.contains("did you mean \(nearest)?") == true)
        #expect(error?.kind == .badData)
    }

    @Test(arguments: [
        "request-rate: fast", "num-prompts: 0", "goodput: 3", "percentiles: [50, 101]", "seed: -1",
        "latency: quick", "- a\n- b", "trace: x.csv\nworkload: chat",
    ]) func `values that cannot be used are refused`(text: String) {
        #expect(throws: InvalidInput.self) { try read(text).scenario() }
    }

    @Test func `a pasted vllm serve line is the engine, and flags override it`() throws {
        var file = try read("vllm-serve: vllm serve Qwen/Qwen3-8B --max-num-seqs 64 -tp 2\ngpu: h100-sxm")
        try file.set("max-num-seqs=16")
        let engine = try file.scenario().engine
        #expect(engine.model == "Qwen/Qwen3-8B")
        #expect(engine.tensorParallelSize == 2)
        #expect(engine.maxNumSeqs == 16)
    }
}

@Suite(.enabled(if: FileManager.default.fileExists(atPath: traces), "needs ../shared"))
struct PrefixCacheOnTraceTests {
    /// Runs the trace with blocks of 512 tokens and more of them than it can use.
    @Test func `with unlimited KV the Mooncake conversation trace hits its ideal share of blocks`() throws {
        var scenario = Scenario()
        scenario.engine.model = "llama-3.1-8b"
        scenario.engine.tensorParallelSize = 8
        scenario.engine.blockSize = 16
        scenario.engine.maxModelLen = .tokens(131_072)
        scenario.engine.numGPUBlocksOverride = 20_000_000
        scenario.gpu = "h100-sxm"
        let path = traces + "/mooncake_conversation_trace.jsonl"
        scenario.load = .trace(path: path, options: .init())
        var prepared = try scenario.prepare(shipped: shipped)
        prepared.configuration.collectsRecords = true
        // Walking the whole pool after each of a million changes would take hours in a debug build.
        prepared.configuration.scheduler.checksInvariants = false
        var run = try prepared.makeRun()
        while try run.advance(events: 1 << 16) {}
        let result = run.finish()
        let records = run.takeRecords()
        #expect(result.requests == 12_031)
        var (blocks, hits) = (0, 0)
        for record in records {
            blocks += (record.promptTokens + 511) / 512
            // A cached run of tokens covers a 512-token block when only the prompt's last 16-token block, which
            // is always computed again, is missing from it.
            hits += min((record.cachedTokens + 511) / 512, (record.promptTokens + 511) / 512)
        }
        let share = Double(hits) / Double(blocks)
        #expect(abs(share - 0.3664) < 0.001, "\(share)")
    }
}
