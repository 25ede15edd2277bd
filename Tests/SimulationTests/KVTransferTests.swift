import Engine
import LatencyOracle
import ServingCore
import Testing
import Workload

@testable import Simulation

@Suite struct KVTransferTests {
    /// A small dense model on a GPU with a block pool that two or three prompts fill.
    private func configuration(hostLink: HostLinkConfiguration?) throws -> SimulationConfiguration {
        var facts = DeploymentFacts()
        facts.hiddenSize = 4096
        facts.layers = 32
        facts.totalParameters = 8e9
        facts.activeParameters = 8e9
        facts.denseWeightBytesPerRank = 15e9
        facts.flopsPerTokenPerRank = 14e9
        facts.attentionFlopsPerPairPerRank = 524_288
        facts.kvBytesPerTokenPerRank = 131_072
        facts.peakFlops = 989e12
        facts.memoryBandwidth = 3.35e12
        facts.hostLinkBandwidth = 64e9
        facts.kvBlocks = 119
        var scheduler = SchedulerConfiguration(
            maxNumBatchedTokens: 512, maxNumSeqs: 8, numBlocks: 120, maxModelLen: 1024)
        scheduler.asyncScheduling = false
        var offload = OffloadConfiguration(cpuChunks: 2000)
        offload.offloadPromptOnly = false
        scheduler.offload = offload
        var result = SimulationConfiguration(
            scheduler: scheduler, oracle: try StepTimeOracle.roofline.compile(for: facts))
        result.hostLink = hostLink
        result.collectsSteps = true
        result.collectsRecords = true
        return result
    }

    /// Prompts that share one of six prefixes, all sent at once.
    private func requests() throws -> RequestStream {
        var specification = WorkloadSpecification()
        specification.numPrompts = 120
        var kind = RequestClass()
        kind.inputLength = .constant(40)
        kind.outputLength = .constant(24)
        var prefix = SharedPrefix()
        prefix.groups = 6
        prefix.length = .constant(400)
        kind.sharedPrefix = prefix
        specification.classes = [kind]
        return RequestStream(specification, seed: 3)
    }

    private func link(_ bandwidth: Double, latency: Double) -> HostLinkConfiguration {
        var link = HostLinkConfiguration(bandwidth: bandwidth, bytesPerBlock: 2_097_152)
        link.latency = latency
        return link
    }

    private func simulate(_ link: HostLinkConfiguration?) throws -> (
        result: SimulationResult, steps: [StepRecord], records: [RequestRecord]
    ) {
        var run = try SimulationRun(try configuration(hostLink: link), requests: try requests())
        while try run.advance(events: 1 << 16) {}
        let result = run.finish()
        return (result, run.takeSteps(), run.takeRecords())
    }

    @Test func `with infinite bandwidth and no latency every step is that of the engine without a clock`()
        throws
    {
        let timed = try simulate(link(.infinity, latency: 0))
        let offload = try #require(timed.result.offload)
        #expect(offload.transfers.loads > 0 && offload.transfers.stores > 0)

        // The engine alone: what a step begins is complete when its output is processed, a store a step later.
        let configuration = try configuration(hostLink: nil)
        var core = EngineCore(configuration: configuration.scheduler)
        var stream = try requests()
        var request = IncomingRequest()
        var queued: [(time: Ticks, index: Int, request: IncomingRequest)] = []
        let records = timed.records.sorted { $0.index < $1.index }
        while try stream.next(&request) {
            queued.append((records[queued.count].queued, queued.count, request))
        }
        var deferred: [Int] = []
        var outputs: [Scheduler.Output] = []
        var states: [StepState] = []
        var nextRequest = 0
        while true {
            let due = states.count < timed.steps.count ? timed.steps[states.count].scheduled : .max
            while nextRequest < queued.count && queued[nextRequest].time <= due {
                let next = queued[nextRequest]
                _ = core.scheduler.add(
                    next.request, id: next.index, arrivalTime: records[next.index].sent.seconds)
                nextRequest += 1
            }
            if case .idle = core.advance() { break }
            let batch = core.newestBatch
            if batch.totalTokens > 0 { states.append(batch.state) }
            let done = deferred + batch.transfers.loads.map(\.id)
            deferred = batch.transfers.stores.map(\.id)
            let flushed = deferred.filter { batch.transfers.flush.contains($0) }
            deferred.removeAll { flushed.contains($0) }
            _ = core.update(stamp: Int64(states.count), outputs: &outputs)
            core.completeTransfers((done + flushed).sorted())
        }
        #expect(states.count == timed.steps.count)
        for (alone, step) in zip(states, timed.steps) { #expect(alone == step.state) }
        // Leaving the link out is the same.
        #expect(try simulate(nil).steps == timed.steps)
    }

    @Test func `half the bandwidth doubles the time of an isolated load`() {
        func time(_ bandwidth: Double) -> Ticks {
            var transfers = KVTransfers(link(bandwidth, latency: 0))
            var plan = TransferPlan()
            plan.loads = [TransferJob(id: 0, request: 0, chunks: Array(0..<100), blocks: 100)]
            let taken1 = transfers.begin(plan, start: 1_000)
            #expect(taken1 == 1_000, "a load must not delay the step")
            let end = transfers.metrics.longestLoad + 1_000
            let taken2 = transfers.complete(by: end - 1)
            #expect(taken2.isEmpty)
            let taken3 = transfers.complete(by: end)
            #expect(taken3 == [0])
            return transfers.metrics.longestLoad
        }
        let full = time(64e9)
        #expect(full == Ticks(seconds: 100 * 2_097_152 / (64e9 * 0.85)))
        #expect(abs(time(32e9) - 2 * full) <= 1)
    }

    @Test func `copies of one direction queue, those of the other don't`() {
        var transfers = KVTransfers(link(1e9, latency: 1e-3))
        let one = Ticks(seconds: 1e-3 + 10 * 2_097_152 / 0.85e9)
        var plan = TransferPlan()
        plan.stores = [TransferJob(id: 0, request: 0, chunks: [0], blocks: 10)]
        _ = transfers.begin(plan, start: 0)
        let taken4 = transfers.complete(by: .max)
        #expect(taken4.isEmpty, "a store begins with the next step")
        plan = TransferPlan()
        plan.loads = (1...2).map { TransferJob(id: $0, request: $0, chunks: [0], blocks: 10) }
        _ = transfers.begin(plan, start: 0)
        let taken5 = transfers.complete(by: one)
        #expect(taken5 == [0, 1])
        let taken6 = transfers.complete(by: 2 * one - 1)
        #expect(taken6.isEmpty)
        let taken7 = transfers.complete(by: 2 * one)
        #expect(taken7 == [2])
    }

    @Test func `a step waits for the stores whose blocks it is given`() {
        var transfers = KVTransfers(link(1e9, latency: 0))
        var plan = TransferPlan()
        plan.stores = [TransferJob(id: 0, request: 0, chunks: [0], blocks: 10)]
        _ = transfers.begin(plan, start: 0)
        plan = TransferPlan()
        plan.flush = [0]
        let ready = transfers.begin(plan, start: 500)
        #expect(ready == 500 + Ticks(seconds: 10 * 2_097_152 / 0.85e9))
        #expect(transfers.metrics.flushes == 1 && transfers.metrics.flushTime == ready - 500)
        let taken8 = transfers.complete(by: ready)
        #expect(taken8 == [0])
    }

    @Test func `a slower link makes requests wait, and never loses one`() throws {
        let fast = try simulate(link(64e9, latency: 1e-5)).result
        let slow = try simulate(link(1e9, latency: 1e-5)).result
        #expect(fast.metrics.completed == 120 && slow.metrics.completed == 120)
        let (f, s) = (try #require(fast.offload), try #require(slow.offload))
        #expect(s.meanLoadTime > f.meanLoadTime)
        #expect(f.promptTokens == f.gpuHitTokens + f.cpuHitTokens + f.missedTokens)
        #expect(s.linkUtilizationToDevice > f.linkUtilizationToDevice)
    }
}
