import Catalog
import Foundation
import Scenarios
import ServingCore
import Synchronization
import Testing

@testable import Sweep

@Suite struct RunTests {
    static let grid = """
        axes:
          tensor-parallel-size: [1, 2, 3]
          max-num-seqs: [8, 64]
          request-rate: [4, 16]
        objective: output_throughput_per_gpu
        constraints: [p99_ttft_ms <= 300]
        """

    private func run(_ rest: String, into folder: String, jobs: Int = 2, shard: String = "1/1") throws
        -> SweepResults
    {
        let sweep = try SweepRun(specification(rest), shard: Shard(parsing: shard), shipped: shipped)
        return try #require(try sweep.run(into: folder, jobs: jobs))
    }

    @Test func `the folder's bytes don't depend on the number of jobs`() throws {
        let folder = try TemporaryFolder()
        _ = try run(Self.grid, into: folder.path + "/one", jobs: 1)
        _ = try run(Self.grid, into: folder.path + "/three", jobs: 3)
        let one = try folder.contents(of: "one")
        #expect(one == (try folder.contents(of: "three")))
        #expect(
            Set(one.keys) == [
                "sweep.json", "journal.jsonl", "results.csv", "results.json", "frontier.svg", "best.yaml",
                "best.sh",
            ])
    }

    @Test func `what cannot run is listed with its reason and stops nothing`() throws {
        let folder = try TemporaryFolder()
        let results = try run(Self.grid, into: folder.path + "/out")
        #expect(results.outcomes.count == 12)
        let unable = results.outcomes.filter { $0.status == .cannotRun }
        #expect(unable.count == 4)
        #expect(unable.allSatisfy { $0.reason.contains("--tensor-parallel-size") }, "\(unable.map(\.reason))")
        #expect(results.ranking.suffix(4).map(\.index) == unable.map(\.index))
        #expect(results.report().contains("4 (#8, 9, 10, 11): "))
    }

    @Test func `figures are those of simulate on the best scenario as it is written`() throws {
        let folder = try TemporaryFolder()
        let results = try run(Self.grid, into: folder.path + "/out")
        let best = try #require(results.best)
        let scenario = try ScenarioFile(contentsOf: folder.path + "/out/best.yaml").scenario()
        let alone = try scenario.prepare(shipped: shipped).run()
        #expect(alone.metrics.outputThroughput == best.values["output_throughput"])
        #expect(alone.metrics.ttft.percentile(99)?.value == best.values["p99_ttft_ms"])
        #expect(alone.metrics.e2el.mean.value == best.values["mean_e2el_ms"])
        let line = try results.serveCommand(of: best)
        #expect(line.hasPrefix("vllm serve meta-llama/"), "\(line)")
        let engine = try EngineConfiguration(serveCommand: line)
        #expect(engine.maxNumSeqs == scenario.engine.maxNumSeqs)
        #expect(engine.tensorParallelSize == scenario.engine.tensorParallelSize)
    }

    @Test func `a sweep that was stopped goes on and ends like one that was not`() throws {
        let folder = try TemporaryFolder()
        _ = try run(Self.grid, into: folder.path + "/whole")
        let sweep = try SweepRun(specification(Self.grid), shipped: shipped)
        let out = folder.path + "/stopped"
        let done = Mutex(0)
        let stopped = try sweep.run(
            into: out, jobs: 1, progress: { progress in done.withLock { $0 = progress.done } },
            shouldStop: { done.withLock { $0 >= 5 } })
        #expect(stopped == nil)
        let lines = try folder.file("stopped/journal.jsonl").split(separator: "\n").count
        #expect((1...11).contains(lines))
        // What a crash in the middle of a line leaves.
        let handle = try #require(FileHandle(forWritingAtPath: out + "/journal.jsonl"))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("{\"index\": 7, \"rou".utf8))
        try handle.close()
        let ran = Mutex(0)
        _ = try sweep.run(into: out, jobs: 2, progress: { progress in ran.withLock { $0 = progress.ran } })
        #expect(ran.withLock { $0 } == 12 - lines)
        #expect(try folder.contents(of: "stopped") == folder.contents(of: "whole"))
        // Once more: nothing is left to do, and nothing changes.
        _ = try sweep.run(into: out, jobs: 2, progress: { #expect($0.ran == 0) })
        #expect(try folder.contents(of: "stopped") == folder.contents(of: "whole"))
    }

    @Test(arguments: [
        grid, grid + "\nsearch: {method: successive-halving, group-size: 3, first-requests: 20}",
    ])
    func `shards together are one run, byte for byte`(rest: String) throws {
        let folder = try TemporaryFolder()
        _ = try run(rest, into: folder.path + "/whole")
        var parts: [String] = []
        for number in [3, 1, 4, 2] {
            parts.append("\(folder.path)/part-\(number)")
            _ = try run(rest, into: parts.last!, shard: "\(number)/4")
        }
        _ = try SweepRun.merge(parts, into: folder.path + "/merged", shipped: shipped)
        #expect(try folder.contents(of: "merged") == folder.contents(of: "whole"))

        func refusal(_ parts: [String]) -> String {
            do {
                _ = try SweepRun.merge(parts, into: folder.path + "/refused", shipped: shipped)
                return "nothing"
            } catch { return "\(error)" }
        }
        #expect(refusal(Array(parts.dropLast())).contains("lack shard 2/4"))
        #expect(refusal(parts + [parts[0]]).contains("holds shard 3/4, which"))
        #expect(refusal([parts[0], parts[1], parts[2], parts[2]]).contains("which"))
        #expect(refusal([folder.path + "/whole"] + parts).contains("of 1 shards"))
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/refused"))
        // A shard whose journal lost a line.
        let journal = try folder.file("part-1/journal.jsonl").split(separator: "\n").dropLast().joined(
            separator: "\n")
        try folder.write("part-1/journal.jsonl", journal + "\n")
        let lost = refusal(parts)
        #expect(lost.contains("finished runs in its journal"), "\(lost)")
    }

    @Test func `a folder of another sweep, or of another shard, is refused and left alone`() throws {
        let folder = try TemporaryFolder()
        let out = folder.path + "/out"
        _ = try run("axes: {max-num-seqs: [8, 16]}", into: out)
        let before = try folder.contents(of: "out")
        #expect(throws: InvalidInput.self) { try run("axes: {max-num-seqs: [8, 32]}", into: out) }
        #expect(throws: InvalidInput.self) {
            try run("axes: {max-num-seqs: [8, 16]}", into: out, shard: "1/2")
        }
        #expect(try folder.contents(of: "out") == before)
    }

    @Test func `a folder that cannot be written is an error of writing`() throws {
        do {
            _ = try run("axes: {max-num-seqs: [8, 16]}", into: "/proc/nowhere")
            Issue.record("written")
        } catch let error as InvalidInput {
            #expect(error.kind == .cannotWrite)
        }
    }

    @Test func `two processes don't write to one folder`() throws {
        let folder = try TemporaryFolder()
        let first = try Journal(path: folder.path + "/journal.jsonl")
        #expect(throws: InvalidInput.self) { _ = try Journal(path: folder.path + "/journal.jsonl") }
        try first.append("{}")
    }

    @Test func `costs come from the prices given`() throws {
        let folder = try TemporaryFolder()
        let results = try run(
            "axes: {tp: [1, 2]}\nprices: {H100: 3.6}\nobjective: cost_per_million_output_tokens\ntarget-rate: 40",
            into: folder.path + "/out")
        for outcome in results.outcomes {
            let gpus = try #require(outcome.values["gpus"])
            #expect(outcome.values["cost_per_hour"] == 3.6 * gpus)
            let throughput = try #require(outcome.values["output_throughput"])
            let cost = try #require(outcome.values["cost_per_million_output_tokens"])
            #expect(abs(cost - 0.001 * gpus / throughput * 1e6) < 1e-9 * cost)
            let carried = try #require(outcome.values["request_throughput"])
            #expect(outcome.values["gpus_for_target_rate"] == gpus * (40 / carried).rounded(.up))
        }
        #expect(results.best?.index == 0)
    }
}
