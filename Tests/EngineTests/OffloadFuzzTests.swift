import Foundation
import ServingCore
import Testing

@testable import Engine

/// Random scenarios with every feature on, aborts, asynchronous scheduling and both eviction policies included.
/// `STEPCAST_FUZZ_SCENARIOS` sets how many.
@Suite struct OffloadFuzzTests {
    private static let scenarios =
        ProcessInfo.processInfo.environment["STEPCAST_FUZZ_SCENARIOS"].flatMap { Int($0) } ?? 150

    private struct Source {
        var stream: RandomStream
        mutating func below(_ bound: Int) -> Int { Int(stream.uniform() * Double(bound)) }
        mutating func pick<T>(_ values: [T]) -> T { values[below(values.count)] }
        mutating func happens(_ probability: Double) -> Bool { stream.uniform() < probability }
    }

    private static func configuration(_ random: inout Source) -> SchedulerConfiguration {
        let maxModelLen = random.pick([64, 128, 256])
        let blockSize = random.pick([4, 8, 16])
        var result = SchedulerConfiguration(
            maxNumBatchedTokens: random.pick([16, 64, 256]), maxNumSeqs: random.pick([2, 4, 8]),
            blockSize: blockSize,
            numBlocks: maxModelLen / blockSize + 2 + random.pick([0, 2, maxModelLen / blockSize, 200]),
            maxModelLen: maxModelLen)
        result.enablePrefixCaching = random.happens(0.7)
        result.policy = random.pick([.fcfs, .fcfs, .priority])
        result.asyncScheduling = random.happens(0.5)
        result.schedulerReserveFullISL = random.happens(0.6)
        result.watermark = random.pick([0, 0, 0.05])
        result.version = random.pick([.v032, .v032, .v015])
        var offload = OffloadConfiguration(cpuChunks: random.pick([1, 5, 20, 60, 400]))
        offload.blocksPerChunk = random.pick([1, 1, 2, 3])
        offload.evictionPolicy = random.pick([.lru, .arc])
        offload.offloadPromptOnly = random.happens(0.5)
        result.offload = offload
        result.checksInvariants = true
        return result
    }

    private static func request(_ random: inout Source, limit: Int, number: Int) -> IncomingRequest {
        var request = IncomingRequest()
        var tokens = 0
        let shared = random.below(3)
        for depth in 0..<shared {
            let length = 1 + random.below(limit / 4)
            request.sharedSegments.append(
                PromptSegment(segment: SegmentID(depth * 4 + random.below(4)), tokens: length))
            tokens += length
        }
        if number > 0 && random.happens(0.3) {
            let length = 1 + random.below(limit / 8)
            request.sharedSegments.append(
                PromptSegment(segment: SegmentID(1000 + random.below(number)), tokens: length))
            tokens += length
        }
        let own = shared == 0 || random.happens(0.5) ? 1 + random.below(limit / 4) : 0
        request.promptTokens = min(max(tokens + own, 1), limit - 1)
        if tokens > request.promptTokens {
            request.sharedSegments = []
        }
        request.outputTokens = 1 + random.below(limit / 3)
        request.maxTokens = request.outputTokens + (random.happens(0.3) ? random.below(10) : 0)
        request.priority = random.below(3)
        request.outputSegment = SegmentID(1000 + number)
        return request
    }

    /// What a scenario moved, to compare with what the tier holds.
    private struct Ledger {
        var stored = 0
        var evicted = 0
        var loads = 0
        var refused = 0
        var flushed = 0
        var finished = 0
    }

    private static func run(_ index: Int) -> Ledger {
        var random = Source(
            stream: RandomStream(seed: 7, purpose: "offload fuzz", index: UInt64(index)))
        let configuration = configuration(&random)
        var core = EngineCore(configuration: configuration)
        let count = 6 + random.below(20)
        let span = random.pick([1, 30, 80])
        let arrivals = (0..<count).map { _ in random.below(span) }.sorted()
        let requests = (0..<count).map { request(&random, limit: configuration.maxModelLen, number: $0) }
        let delays = (load: random.below(4), store: random.below(3))
        var aborts: [Int: [Int]] = [:]
        for id in 0..<count where random.happens(0.15) {
            aborts[arrivals[id] + random.below(40), default: []].append(id)
        }
        var handles = [RequestHandle](repeating: .none, count: count)
        var ledger = Ledger()
        var due: [Int: Int] = [:]
        var outputs: [Scheduler.Output] = []
        var nextArrival = 0
        var blocksOf: [Int: Int] = [:]
        let blockSize = configuration.blockSize
        let perChunk = configuration.offload!.blocksPerChunk
        for step in 0..<4000 {
            while nextArrival < count && arrivals[nextArrival] <= step {
                handles[nextArrival] = core.scheduler.add(
                    requests[nextArrival], id: nextArrival, arrivalTime: Double(nextArrival))
                nextArrival += 1
            }
            for id in aborts[step] ?? [] where handles[id] != .none {
                if core.scheduler.abort(handles[id]) { ledger.finished += 1 }
            }
            let turn = core.advance()
            if case .idle = turn {
                if nextArrival == count { break }
                continue
            }
            var mustUpdate = true
            if case .scheduled = turn { mustUpdate = false }
            if case .mustUpdate(scheduled: false) = turn {
            } else {
                let plan = core.newestBatch.transfers
                for (load, hit) in zip(plan.loads, plan.externalHits) {
                    let total = hit.localTokens + hit.externalTokens
                    #expect(load.blocks == (total + blockSize - 1) / blockSize - hit.localTokens / blockSize)
                    due[load.id] = step + delays.load
                    blocksOf[load.id] = load.blocks
                }
                for store in plan.stores {
                    #expect(store.blocks == store.chunks.count * perChunk)
                    ledger.stored += store.chunks.count
                    due[store.id] = step + 1 + delays.store
                }
                for id in plan.flush { if let end = due[id] { due[id] = min(end, step) } }
                ledger.loads += plan.loads.count
                ledger.evicted += plan.evictedChunks
                ledger.refused += plan.refusedStores
                ledger.flushed += plan.flush.count
                #expect(ledger.stored - ledger.evicted == plan.residentChunks, "chunks are lost or doubled")
            }
            if mustUpdate {
                _ = core.update(stamp: Int64(step), outputs: &outputs)
                ledger.finished += outputs.count(where: \.isFinished)
                let done = due.filter { $0.value <= step }.keys.sorted()
                for id in done { due[id] = nil }
                core.completeTransfers(done)
            }
        }
        #expect(ledger.finished == count, "scenario \(index): a request never ended")
        #expect(!core.scheduler.hasRequests && !core.scheduler.hasTransfers)
        #expect(core.scheduler.freeBlocks == core.scheduler.usableBlocks, "scenario \(index): blocks leak")
        return ledger
    }

    @Test func `nothing is lost, doubled, or free while in use`() {
        var total = Ledger()
        for index in 0..<Self.scenarios {
            let ledger = Self.run(index)
            total.stored += ledger.stored
            total.evicted += ledger.evicted
            total.loads += ledger.loads
            total.refused += ledger.refused
            total.flushed += ledger.flushed
        }
        // The scenarios must reach what they are about.
        #expect(
            min(total.stored, total.evicted, total.loads, total.refused, total.flushed) > 0, "\(total)")
    }
}
