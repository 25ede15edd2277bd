import Foundation
import Scenarios
import ServingCore
import Simulation
import Synchronization
import Testing

@testable import Sweep

@Suite struct LeaderRerunTests {
    static let grid = """
        axes:
          tensor-parallel-size: [1, 2]
          max-num-seqs: [4, 8, 16, 32, 64, 128]
        objective: output_throughput_per_user
        constraints: [p99_ttft_ms <= 60]
        """

    private func sweep(_ rest: String = grid, uncertainty: Int = 4, shard: String = "1/1") throws -> SweepRun
    {
        try SweepRun(
            specification(rest, uncertainty: uncertainty), shard: Shard(parsing: shard), shipped: shipped)
    }

    @Test func `the leaders alone are run again, each with every oracle`() throws {
        let folder = try TemporaryFolder()
        let results = try #require(try sweep().run(into: folder.path + "/out", jobs: 2))
        let uncertainty = try #require(results.uncertainty)
        #expect(uncertainty.draws == 4)
        let candidates = Standing(specification: results.specification).candidates(results.ranking)
        #expect(uncertainty.leaders.map(\.index) == candidates.prefix(10).map(\.index))
        #expect(uncertainty.leaders.reduce(0) { $0 + $1.best } <= 4)
        let lines = try folder.file("out/journal.jsonl").split(separator: "\n").count
        #expect(lines == 12 + 4 * uncertainty.leaders.count)
        #expect(results.report().contains("The leaders with 4 other oracles"))
        // Fewer than ten draws make no 90 % band.
        #expect(results.report().contains("range"))
        let head = results.csv.prefix { $0 != "\n" }
        #expect(head.contains("oracle_lower,oracle_upper,oracle_best,oracle_holds"))
    }

    @Test func `without reruns nothing of them is written`() throws {
        let folder = try TemporaryFolder()
        let results = try #require(try sweep(uncertainty: 0).run(into: folder.path + "/out", jobs: 2))
        #expect(results.uncertainty == nil)
        #expect(!results.csv.contains("oracle_"))
        #expect(results.report().contains("comes on top"))
        #expect(try folder.file("out/journal.jsonl").split(separator: "\n").count == 12)
    }

    @Test func `a leader's band is that of simulate on its scenario`() throws {
        let folder = try TemporaryFolder()
        let rest = """
            axes: {tensor-parallel-size: [1, 2]}
            objective: mean_e2el_ms
            """
        let results = try #require(
            try sweep(rest, uncertainty: 12).run(into: folder.path + "/out", jobs: 2))
        let best = try #require(results.best)
        let prepared = try ScenarioFile(contentsOf: folder.path + "/out/best.yaml").scenario().prepare(
            shipped: shipped)
        #expect(prepared.scenario.uncertaintyReruns == 12)
        let bands = try UncertaintyReruns(count: 12).bands(of: prepared)
        #expect(results.uncertainty?[best.index]?.objective == bands["mean_e2el_ms"])
    }

    @Test func `configurations of one deployment are off together, those of two each by themselves`() throws {
        let folder = try TemporaryFolder()
        // Limits that are never reached change nothing, so equal deviations give equal figures.
        let rest = """
            axes:
              tensor-parallel-size: [1, 2]
              max-num-seqs: [128, 256]
            objective: mean_tpot_ms
            """
        let results = try #require(
            try sweep(rest, uncertainty: 12).run(into: folder.path + "/out", jobs: 2))
        let journal = try SweepFolder(path: folder.path + "/out").readJournal()
        func deviations(_ index: Int) -> [Double] {
            let own = results.outcomes[index].values["mean_tpot_ms"]!
            return journal.filter { $0.draw != nil && $0.index == index }.map {
                $0.values["mean_tpot_ms"]! / own
            }
        }
        #expect(deviations(0).count == 12)
        #expect(deviations(0) == deviations(1))
        #expect(deviations(2) == deviations(3))
        let pairs = zip(deviations(0), deviations(2))
        #expect(pairs.contains { ($0 - 1) * ($1 - 1) < 0 }, "one is slower where the other is faster")
    }

    @Test(arguments: [
        grid, grid + "\nsearch: {method: successive-halving, group-size: 3, first-requests: 20}",
        "axes: {max-num-seqs: [8, 16, 64]}\nconstraints: [p99_ttft_ms <= 60]\nsearch: {method: highest-rate, from: 8}",
    ])
    func `jobs, shards and interruptions change no byte`(rest: String) throws {
        let folder = try TemporaryFolder()
        _ = try sweep(rest).run(into: folder.path + "/whole", jobs: 1)
        let whole = try folder.contents(of: "whole")
        let parts = [2, 1].map { "\(folder.path)/part-\($0)" }
        for (part, number) in zip(parts, [2, 1]) {
            _ = try sweep(rest, shard: "\(number)/2").run(into: part, jobs: 2)
        }
        _ = try SweepRun.merge(parts, into: folder.path + "/merged", shipped: shipped)
        #expect(try folder.contents(of: "merged") == whole)

        let reruns = Mutex(0)
        let stopped = try sweep(rest).run(
            into: folder.path + "/stopped", jobs: 1,
            progress: { progress in if progress.isRerun { reruns.withLock { $0 = progress.done } } },
            shouldStop: { reruns.withLock { $0 >= 3 } })
        #expect(stopped == nil)
        _ = try sweep(rest).run(into: folder.path + "/stopped", jobs: 2)
        #expect(try folder.contents(of: "stopped") == whole)
    }

    @Test func `shards without a leader's reruns are refused`() throws {
        let folder = try TemporaryFolder()
        _ = try sweep().run(into: folder.path + "/whole", jobs: 2)
        let lines = try folder.file("whole/journal.jsonl").split(separator: "\n")
        try folder.write("whole/journal.jsonl", lines.dropLast().joined(separator: "\n") + "\n")
        let manifest = try folder.file("whole/sweep.json")
        try folder.write(
            "whole/sweep.json",
            manifest.replacing(
                "\"finished_runs\": \(lines.count)", with: "\"finished_runs\": \(lines.count - 1)"))
        let error = try #require(throws: InvalidInput.self) {
            try SweepRun.merge([folder.path + "/whole"], into: nil, shipped: shipped)
        }
        #expect("\(error)".contains("lacks reruns with other oracles"), "\(error)")
    }

    @Test func `whoever leads with an oracle wins it, and what completes nothing is as bad as can be`() throws
    {
        let standing = Standing(
            specification: try specification("axes: {tp: [1, 2, 4]}\nobjective: mean_e2el_ms"))
        func outcome(_ index: Int, _ value: Double?, draw: Int?) -> SweepOutcome {
            var outcome = SweepOutcome(index: index)
            outcome.values["mean_e2el_ms"] = value
            outcome.draw = draw
            return outcome
        }
        let leaders = [outcome(2, 10, draw: nil), outcome(0, 11, draw: nil), outcome(1, 12, draw: nil)]
        // With the first oracle two are the best: the lower number wins.
        let reruns = [
            outcome(2, 9, draw: 0), outcome(0, 8, draw: 0), outcome(1, 8, draw: 0),
            outcome(2, nil, draw: 1), outcome(0, 14, draw: 1), outcome(1, 15, draw: 1),
            outcome(2, 10, draw: 2), outcome(0, 12, draw: 2), outcome(1, 12.5, draw: 2),
        ]
        let uncertainty = try #require(LeaderUncertainty(leaders, reruns, standing))
        #expect(uncertainty.leaders.map(\.index) == [2, 0, 1])
        #expect(uncertainty.leaders.map(\.best) == [1, 2, 0])
        #expect(uncertainty.leaders.map(\.holds) == [3, 3, 3])
        #expect(uncertainty[2]?.objective.upper == .infinity)
        #expect(uncertainty[0]?.objective.median == 12)
        #expect(uncertainty.mostOftenBest.index == 0)
        #expect(LeaderUncertainty(leaders, [], standing) == nil)
    }
}
