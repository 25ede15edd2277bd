import Engine
import Foundation
import LatencyOracle
import ServingCore
import Testing
import Workload

@testable import Simulation

/// Advancing decoding requests together must change nothing that anybody can see.
@Suite struct ExactStepsTests {
    /// Random scenarios to compare.
    static let scenarioCount: Int = {
        let wanted = ProcessInfo.processInfo.environment["STEPCAST_RANDOM_SCENARIOS"].flatMap { Int($0) }
        return max(1, wanted ?? 30)
    }()

    /// In slices, so that many scenarios run on all cores and a failure names its seed.
    @Test(arguments: 0..<10)
    func `records, steps and results are the same as with every request in every step`(slice: Int) throws {
        for seed in stride(from: slice, to: Self.scenarioCount, by: 10) {
            var (configuration, load, timeout) = try RandomScenarios.scenario(UInt64(seed))
            if Self.scenarioCount > 1000 { configuration.scheduler.checksInvariants = false }
            let fast = try RandomScenarios.run(configuration, load, timeout: timeout)
            configuration.scheduler.exactSteps = true
            let exact = try RandomScenarios.run(configuration, load, timeout: timeout)
            #expect(fast.records == exact.records, "seed \(seed)")
            #expect(fast.steps == exact.steps, "seed \(seed)")
            // Metrics with histograms and time lines are part of the result.
            #expect(fast.result == exact.result, "seed \(seed)")
            #expect(fast.records.count == fast.result.requests, "seed \(seed)")
        }
    }

    /// Which features the random scenarios reach: a comparison of nothing would always succeed.
    @Test func `random scenarios preempt, share, time out and sample`() throws {
        var (preemptions, hits, timeouts, offloaded, sampled) = (0, 0, 0, 0, 0)
        for seed in UInt64(0)..<30 {
            let (configuration, load, timeout) = try RandomScenarios.scenario(seed)
            let result = try RandomScenarios.run(configuration, load, timeout: timeout).result
            preemptions += result.preemptions
            hits += result.prefixCacheHits
            timeouts += result.metrics.timedOut
            offloaded += result.offload.map { $0.transfers.stores } ?? 0
            sampled += configuration.latency == .sample ? 1 : 0
        }
        #expect(preemptions > 0 && hits > 0 && timeouts > 0 && offloaded > 0 && sampled > 0)
    }

    @Test func `a scenario gives the same outcome each time and another with another seed`() throws {
        let (configuration, load, timeout) = try RandomScenarios.scenario(3)
        let first = try RandomScenarios.run(configuration, load, timeout: timeout)
        #expect(try RandomScenarios.run(configuration, load, timeout: timeout) == first)
        var other = configuration
        other.seed = 99
        #expect(try RandomScenarios.run(other, load, timeout: timeout) != first)
    }

    @Test(arguments: [true, false]) func `a request that can never be admitted ends the run as unfinished`(
        isAsync: Bool
    ) throws {
        var scheduler = SchedulerConfiguration(
            maxNumBatchedTokens: 2048, maxNumSeqs: 8, numBlocks: 6, maxModelLen: 1024)
        scheduler.asyncScheduling = isAsync
        let configuration = SimulationConfiguration(
            scheduler: scheduler, oracle: try StepTimeOracle.roofline.compile(for: RandomScenarios.facts()))
        var load = WorkloadSpecification()
        load.numPrompts = 3
        load.classes[0].inputLength = .constant(500)
        let outcome = try RandomScenarios.run(configuration, load, timeout: nil)
        #expect(outcome.records.map(\.status) == [.unfinished, .unfinished, .unfinished])
        let timedOut = try RandomScenarios.run(configuration, load, timeout: 2)
        #expect(timedOut.records.map(\.status) == [.timedOut, .timedOut, .timedOut])
    }
}

@Suite struct SimultaneousArrivalTests {
    @Test(arguments: [3775, 9214])
    func `requests of equal priority sent at one instant all end, however few the blocks`(seed: UInt64) throws
    {
        var (configuration, load, timeout) = try RandomScenarios.scenario(seed)
        #expect(configuration.scheduler.policy == .priority && configuration.scheduler.numBlocks < 40)
        configuration.scheduler.checksInvariants = false
        let outcome = try RandomScenarios.run(configuration, load, timeout: timeout)
        #expect(outcome.records.count >= 80)
        #expect(outcome.records.allSatisfy { $0.status == .completed })
    }
}
