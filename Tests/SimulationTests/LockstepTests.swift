import Engine
import LatencyOracle
import ServingCore
import Testing
import Workload

@testable import Simulation

@Suite struct LockstepTests {
    /// A mixture of experts over three data-parallel engines.
    private static func facts() -> DeploymentFacts {
        var facts = RandomScenarios.facts()
        facts.experts = 16
        facts.expertsPerToken = 2
        facts.expertLayers = 32
        facts.expertWeightBytesPerRank = 50e6
        facts.expertsPerRank = 6
        facts.flopsPerTokenPerRank = 20e9
        facts.dataParallelSize = 3
        facts.expertParallelSize = 3
        return facts
    }

    private static func scenario(_ seed: UInt64, engines: Int = 3) throws
        -> (SimulationConfiguration, WorkloadSpecification, Double?)
    {
        var (configuration, load, timeout) = try RandomScenarios.scenario(seed)
        configuration.scheduler.offload = nil
        configuration.hostLink = nil
        configuration.oracle = try StepTimeOracle.roofline.compile(for: facts())
        configuration.engines = engines
        configuration.isLockstep = true
        return (configuration, load, timeout)
    }

    private static func group(isAsync: Bool, blocks: Int) throws -> SimulationConfiguration {
        var scheduler = SchedulerConfiguration(
            maxNumBatchedTokens: 2048, maxNumSeqs: 8, numBlocks: blocks, maxModelLen: 1024)
        scheduler.asyncScheduling = isAsync
        var configuration = SimulationConfiguration(
            scheduler: scheduler, oracle: try StepTimeOracle.roofline.compile(for: facts()))
        configuration.engines = 3
        configuration.isLockstep = true
        return configuration
    }

    /// Steps that began together, in order of time.
    private static func groups(_ steps: [StepRecord]) -> [[StepRecord]] {
        Dictionary(grouping: steps, by: \.start).sorted { $0.key < $1.key }.map {
            $0.value.sorted { $0.engine < $1.engine }
        }
    }

    @Test(arguments: 0..<10) func `steps of a group begin and end together and take what the slowest takes`(
        slice: Int
    ) throws {
        for seed in stride(from: UInt64(slice), to: 40, by: 10) {
            var (configuration, load, timeout) = try Self.scenario(seed)
            configuration.latency = .mean
            let outcome = try RandomScenarios.run(configuration, load, timeout: timeout)
            #expect(outcome.records.count == outcome.result.requests, "seed \(seed)")
            #expect(Set(outcome.records.map(\.index)).count == outcome.records.count)
            var freeFrom: Ticks = 0
            for group in Self.groups(outcome.steps) {
                let tokens = group.reduce(0) { $0 + $1.state.batchTokens }
                #expect(Set(group.map(\.engine)).count == group.count)
                #expect(Set(group.map(\.end)).count == 1)
                #expect(group[0].start >= freeFrom, "seed \(seed): steps overlap")
                freeFrom = group[0].end
                let slowest = group.map { configuration.oracle.stepSeconds($0.state) }.max()!
                for step in group {
                    #expect(step.state.batchTokens > 0)
                    #expect(step.state.peerTokens == tokens - step.state.batchTokens)
                    #expect(step.seconds == slowest)
                }
            }
            // Every engine counts its own steps.
            for engine in 0..<3 {
                let own = outcome.steps.filter { $0.engine == engine }.sorted { $0.start < $1.start }
                #expect(own.map(\.index) == Array(0..<own.count))
            }
        }
    }

    @Test func `the random groups time out, preempt, idle and sample`() throws {
        var (preemptions, timeouts, idle, sampled, asynchronous) = (0, 0, 0, 0, 0)
        for seed in UInt64(0)..<40 {
            let (configuration, load, timeout) = try Self.scenario(seed)
            let outcome = try RandomScenarios.run(configuration, load, timeout: timeout)
            #expect(outcome == (try RandomScenarios.run(configuration, load, timeout: timeout)))
            preemptions += outcome.result.preemptions
            timeouts += outcome.result.metrics.timedOut
            idle += Self.groups(outcome.steps).count { $0.count < 3 }
            sampled += configuration.latency == .sample ? 1 : 0
            asynchronous += configuration.scheduler.asyncScheduling ? 1 : 0
        }
        #expect(preemptions > 0 && timeouts > 0 && idle > 0 && sampled > 0 && (1..<40).contains(asynchronous))
    }

    /// Without pauses there are no dummy steps.
    @Test(arguments: [true, false]) func `a group of one that never idles is an engine by itself`(
        isAsync: Bool
    )
        throws
    {
        for seed in UInt64(0)..<20 {
            var (configuration, load, _) = try Self.scenario(seed, engines: 1)
            var facts = Self.facts()
            facts.dataParallelSize = 1
            configuration.oracle = try StepTimeOracle.roofline.compile(for: facts)
            configuration.scheduler.asyncScheduling = isAsync
            load.arrivals = ArrivalProcess(rate: .infinite)
            load.classes[0].multiTurn = nil
            // Nor where blocks are free as soon as they are needed.
            configuration.scheduler.numBlocks = 10_000
            var alone = configuration
            alone.isLockstep = false
            var together = try RandomScenarios.run(configuration, load, timeout: nil)
            for i in together.steps.indices {
                #expect(together.steps[i].state.peerTokens == 0)
                together.steps[i].state.peerTokens = nil
            }
            let other = try RandomScenarios.run(alone, load, timeout: nil)
            #expect(together.steps == other.steps, "seed \(seed)")
            #expect(together.records == other.records, "seed \(seed)")
        }
    }

    @Test(arguments: [true, false])
    func `an idle group steps on to its 32nd step, and a request waits for the one that runs`(
        isAsync: Bool
    ) throws {
        let configuration = try Self.group(isAsync: isAsync, blocks: 500)
        var load = WorkloadSpecification()
        load.numPrompts = 2
        load.classes[0].inputLength = .constant(100)
        load.classes[0].outputLength = .constant(3)
        // The second comes while dummy steps run, or when they are over.
        func starts(gap: Double) throws -> [StepRecord] {
            load.arrivals = ArrivalProcess(gaps: .constant, rate: .steady(1 / gap))
            return try RandomScenarios.run(configuration, load, timeout: nil).steps.sorted {
                $0.start < $1.start
            }
        }
        let dummy = configuration.oracle.stepSeconds(
            {
                var state = StepState()
                (state.decodeRequests, state.decodeContextTokens) = (1, 1)
                return state
            }())
        let soon = try starts(gap: 20 * dummy)
        #expect(soon.count == 6)
        // It begins when a dummy step ends: a whole number of them after the last step.
        let pause = (soon[3].start - soon[2].end).seconds / dummy
        #expect(pause > 1 && abs(pause - pause.rounded()) < 1e-3, "\(pause)")
        let late = try starts(gap: 500 * dummy)
        let gap = (late[3].start - late[2].end).seconds / dummy
        #expect(gap > 100 && abs(gap - gap.rounded()) > 1e-3, "\(gap)")
    }

    @Test(arguments: [true, false]) func `a request that can never be admitted ends the run as unfinished`(
        isAsync: Bool
    ) throws {
        let configuration = try Self.group(isAsync: isAsync, blocks: 6)
        var load = WorkloadSpecification()
        load.numPrompts = 5
        load.classes[0].inputLength = .constant(500)
        let outcome = try RandomScenarios.run(configuration, load, timeout: nil)
        #expect(outcome.records.count == 5 && outcome.records.allSatisfy { $0.status == .unfinished })
        let timedOut = try RandomScenarios.run(configuration, load, timeout: 2)
        #expect(timedOut.records.count == 5 && timedOut.records.allSatisfy { $0.status == .timedOut })
    }
}
