import Catalog
import Foundation
import ServingCore
import Testing

@testable import Sweep

@Suite struct SearchTests {
    /// A deployment with a known limit.
    private func bisect(_ limit: Double, from: Double = 1, lowest: Double = 0.001, highest: Double = 1e6) -> (
        rate: Double?, trials: [SweepOutcome.Trial]
    ) {
        var settings = Search.RateSearch()
        settings.from = from
        settings.lowest = lowest
        settings.highest = highest
        let found = RateBisection(settings: settings).search { rate in
            RateBisection.Tried(
                trial: .init(rate: rate, holds: rate <= limit, isBroken: rate > 1.1 * limit, reason: ""),
                kept: 0)
        }
        return (found.best?.trial.rate, found.trials)
    }

    @Test(arguments: [0.01, 0.9, 1, 3.7, 80, 12345])
    func `the limit is found within the tolerance from either side`(limit: Double) throws {
        let (rate, trials) = bisect(limit)
        let found = try #require(rate)
        #expect(found <= limit && found >= limit / 1.0051)
        #expect(trials.count < 40)
    }

    @Test func `a limit out of reach is the end of the range, or none`() {
        #expect(bisect(1e9, highest: 500).rate == 500)
        #expect(bisect(1e-9, lowest: 0.5).rate == nil)
    }

    @Test func `a higher rate that holds although a lower one does not is found nearby`() throws {
        let settings = Search.RateSearch()
        let found = RateBisection(settings: settings).search { rate in
            let holds = rate <= 10 || rate > 10.06 && rate < 10.2
            return RateBisection.Tried(
                trial: .init(rate: rate, holds: holds, isBroken: false, reason: ""), kept: 0)
        }
        #expect(try #require(found.best).trial.rate > 10.06)
    }

    @Test func `the highest rate equals a fine linear scan`() throws {
        let folder = try TemporaryFolder()
        let text = "constraints: [p90_ttft_ms <= 60, mean_tpot_ms <= 15]\n"
        let searched = try SweepRun(
            specification(text + "search: highest-rate", requests: 400), shipped: shipped)
        let results = try #require(try searched.run(into: folder.path + "/search", jobs: 2))
        let best = try #require(results.best)
        let rate = try #require(best.values["max_request_rate"])
        #expect(rate > 0)
        let scan = try SweepRun(
            specification(
                text + "axes:\n  request-rate: {from: \(rate * 0.96), to: \(rate * 1.04), count: 17}",
                requests: 400),
            shipped: shipped)
        let scanned = try #require(try scan.run(into: folder.path + "/scan", jobs: 2))
        let holding = scanned.outcomes.filter { scanned.holdsText($0) == "yes" }.map {
            scanned.configuration($0).labels[0]
        }
        guard case .number(let highest)? = holding.last else {
            Issue.record("no rate of the scan holds")
            return
        }
        #expect(abs(highest / rate - 1) < 0.011, "\(highest) \(rate)")
    }

    private func outcome(_ index: Int, _ value: Double, spread: Double, seed: UInt64, requests: Int = 100)
        -> SweepOutcome
    {
        var outcome = SweepOutcome(index: index)
        outcome.requests = requests
        outcome.isFinal = false
        outcome.values["output_throughput_per_gpu"] = value
        var noise = RandomStream(seed: seed, purpose: "test")
        outcome.deviations = (0..<20).map { _ in spread * (noise.uniform() - 0.5) }
        return outcome
    }

    @Test func `whoever is inside the uncertainty of the best, or catching up, is kept`() throws {
        let standing = Standing(specification: try specification("search: successive-halving"))
        let halving = SuccessiveHalving(settings: Search.Halving(), standing: standing)
        func round(_ scale: Double) -> [SweepOutcome] {
            [
                outcome(0, 100, spread: 1, seed: 0), outcome(1, 99.9, spread: 20, seed: 1),
                outcome(2, 60, spread: 1, seed: 2), outcome(3, 55 * scale, spread: 1, seed: 3),
                outcome(4, 30, spread: 1, seed: 4), outcome(5, 10, spread: 1, seed: 5),
                outcome(6, 5, spread: 1, seed: 6),
            ]
        }
        let first = round(0.7)
        #expect(halving.survivors(first, before: [:], roundsLeft: 3).count == 7)
        let before = Dictionary(uniqueKeysWithValues: first.map { ($0.index, $0) })
        let kept = halving.survivors(round(1), before: before, roundsLeft: 3)
        // The best third, one of them as good within its noise, and one that gained sixteen points on the leader.
        #expect(kept == [0, 1, 2, 3])
        let last = halving.survivors(round(1), before: before, roundsLeft: 1)
        #expect(last == [0, 1, 2])
    }

    @Test func `the first prefix is short, the last is everything, at least two come before it`() {
        let settings = Search.Halving()
        #expect(SuccessiveHalving.prefixes(settings, requests: 9000) == [1000, 3000, 9000])
        #expect(SuccessiveHalving.prefixes(settings, requests: 90) == [90])
        var short = settings
        short.firstRequests = 50
        #expect(SuccessiveHalving.prefixes(short, requests: 1000) == [50, 150, 450, 1000])
    }

    @Test(arguments: [
        "workload: chat", "workload: rag", "workload: code", "workload: burst",
        "random-input-len: 800\n  random-output-len: 200",
    ])
    func `successive halving finds the winner of the grid or one tied with it`(load: String) throws {
        let folder = try TemporaryFolder()
        let text = """
            base:
              model: llama-3.1-8b
              gpu: h100-sxm
              num-prompts: 300
              \(load)
            axes:
              tensor-parallel-size: [1, 2]
              max-num-seqs: [4, 16, 128]
              request-rate: [5, 20]
            objective: maximize output_throughput_per_gpu
            constraints: [p90_ttft_ms <= 1000]

            """
        func run(_ search: String, _ name: String) throws -> SweepResults {
            let sweep = try SweepRun(
                SweepSpecification(yaml: text + search, source: "sweep.yaml"), shipped: shipped)
            return try #require(try sweep.run(into: folder.path + "/" + name, jobs: 2))
        }
        let grid = try run("search: grid", "grid")
        let halved = try run("search: {method: successive-halving, first-requests: 30}", "halved")
        let winner = try #require(grid.best)
        let found = try #require(halved.best)
        #expect(found.index == winner.index || grid.tied.contains(found.index))
        #expect(halved.outcomes.count { !$0.isFinal } > 0, "nothing was given up early")
    }

    @Test func `limits need their confidence limit to hold, and a deployment that keeps up`() throws {
        let standing = Standing(specification: try specification("constraints: [p99_ttft_ms <= 100]"))
        func verdict(_ value: Double, _ lower: Double?, _ upper: Double?, _ saturation: String = "stable")
            -> Constraint.Verdict
        {
            var outcome = SweepOutcome(index: 0)
            outcome.values["p99_ttft_ms"] = value
            outcome.intervals["p99_ttft_ms"] = .init(lower: lower, upper: upper)
            outcome.saturation = saturation
            return standing.verdict(outcome).verdict
        }
        #expect(verdict(80, 70, 95) == .holds)
        #expect(verdict(80, 70, 105) == .uncertain)
        #expect(verdict(80, 70, nil) == .uncertain)
        #expect(verdict(120, 90, 140) == .uncertain)
        #expect(verdict(120, 101, 140) == .broken)
        #expect(verdict(80, 70, 95, "saturated") == .broken)
        #expect(verdict(80, 70, 95, "cannot tell") == .uncertain)
    }

    @Test func `the frontier is what nothing beats in both figures`() {
        func point(_ index: Int, _ user: Double, _ gpu: Double) -> SweepOutcome {
            var outcome = SweepOutcome(index: index)
            outcome.values = ["output_throughput_per_user": user, "output_throughput_per_gpu": gpu]
            return outcome
        }
        let points = [
            point(0, 10, 100), point(1, 20, 90), point(2, 15, 80), point(3, 30, 50), point(4, 20, 90),
            point(5, 5, 100),
        ]
        #expect(SweepResults.frontier(points) == [0, 1, 3])
    }
}
