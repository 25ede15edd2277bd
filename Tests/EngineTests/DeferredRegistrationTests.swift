import ServingCore
import Testing

@testable import Engine

/// Blocks that a request fills are registered in the prefix cache only when another request comes by that may look
/// them up; nothing that can be seen may tell that from registering each at once, as `exactSteps` does.
@Suite struct DeferredRegistrationTests {
    private struct Source {
        var stream: RandomStream
        mutating func below(_ bound: Int) -> Int { Int(stream.uniform() * Double(bound)) }
        mutating func happens(_ probability: Double) -> Bool { stream.uniform() < probability }
    }

    private static func configuration(_ random: inout Source) -> SchedulerConfiguration {
        var result = SchedulerConfiguration(
            maxNumBatchedTokens: 32 << random.below(3), maxNumSeqs: 1 + random.below(6), blockSize: 4,
            numBlocks: 34 + random.below(150), maxModelLen: 128)
        result.asyncScheduling = random.happens(0.5)
        result.policy = random.happens(0.3) ? .priority : .fcfs
        result.version = random.happens(0.3) ? .v015 : .v032
        result.checksInvariants = true
        return result
    }

    /// A request that often goes on where an earlier one, alive or not, was or will be, or repeats it.
    private static func request(_ random: inout Source, after earlier: [IncomingRequest]) -> IncomingRequest {
        var request = IncomingRequest()
        var tokens = 0
        func take(_ segments: [PromptSegment]) {
            for segment in segments where tokens + segment.tokens < 90 {
                request.sharedSegments.append(segment)
                tokens += segment.tokens
            }
        }
        if !earlier.isEmpty && random.happens(0.6) {
            let elder = earlier[max(0, earlier.count - 1 - random.below(5))]
            take(elder.sharedSegments)
            if random.happens(0.2) { request.outputSegment = elder.outputSegment }
            if request.outputSegment == nil, let output = elder.outputSegment, random.happens(0.9) {
                take([PromptSegment(segment: output, tokens: 1 + random.below(elder.outputTokens))])
            }
        }
        if tokens == 0 || random.happens(0.5) {
            let length = 1 + random.below(20)
            take([PromptSegment(segment: SegmentID(random.below(6)), tokens: length)])
        }
        request.outputTokens = 1 + random.below(36)
        request.maxTokens = request.outputTokens
        request.promptTokens = tokens
        if request.outputSegment == nil { request.outputSegment = SegmentID(1000 + earlier.count) }
        request.priority = random.below(3)
        return request
    }

    private struct Observation: Equatable {
        var tokens: Int
        var state: StepState
        var admissions: [Int32]
        var delivered: Int
        var freeBlocks: Int
        var distinctHashes: Int
        var running: [Int]
        var waiting: [Int]
    }

    private static func observe(_ seed: UInt64, exactSteps: Bool) -> [Observation] {
        var random = Source(stream: RandomStream(seed: seed, purpose: "deferred registration"))
        var configuration = configuration(&random)
        configuration.exactSteps = exactSteps
        var core = EngineCore(configuration: configuration)
        var requests: [IncomingRequest] = []
        var handles: [RequestHandle] = []
        var observations: [Observation] = []
        var outputs: [Scheduler.Output] = []
        var admissions: [ScheduledRequest] = []
        let count = 12 + random.below(20)
        for turn in 0..<4_000 {
            while requests.count < count && random.happens(0.15) {
                requests.append(request(&random, after: requests))
                handles.append(
                    core.scheduler.add(
                        requests[requests.count - 1], id: requests.count - 1,
                        arrivalTime: Double(requests.count)))
            }
            if !handles.isEmpty && random.happens(0.02) {
                core.scheduler.abort(handles[random.below(handles.count)])
            }
            var delivered = 0
            admissions.clear()
            switch core.advance() {
            case .idle: if requests.count == count { return observations }
            case .scheduled: core.newestAdmissions(into: &admissions)
            case .mustUpdate(let scheduled):
                if scheduled { core.newestAdmissions(into: &admissions) }
                delivered = core.update(stamp: Int64(turn), outputs: &outputs).tokens + outputs.count
            }
            observations.append(
                Observation(
                    tokens: core.newestTokens, state: core.newestState,
                    admissions: admissions.map(\.computedTokens), delivered: delivered,
                    freeBlocks: core.scheduler.freeBlocks, distinctHashes: core.scheduler.distinctHashes,
                    running: core.scheduler.runningIDs, waiting: core.scheduler.waitingIDs))
        }
        Issue.record("seed \(seed): does not end")
        return observations
    }

    @Test func `no observation tells deferred registration from registering each block at once`() {
        var hits = 0
        for seed in 0..<UInt64(300) {
            let fast = Self.observe(seed, exactSteps: false)
            let exact = Self.observe(seed, exactSteps: true)
            #expect(fast == exact, "seed \(seed)")
            hits += fast.reduce(0) { $0 + $1.admissions.count { $0 > 0 } }
        }
        #expect(hits > 1_000)
    }

    /// The first request of `tokens` tokens whose output others may repeat.
    private func first(tokens: Int, output: Int) -> IncomingRequest {
        var request = IncomingRequest()
        request.promptTokens = tokens
        request.outputTokens = output
        request.maxTokens = output
        request.sharedSegments = [PromptSegment(segment: 1, tokens: tokens)]
        request.outputSegment = 2
        return request
    }

    /// A request that repeats the first one's prompt and `repeated` tokens of its output.
    private func follower(of elder: IncomingRequest, repeated: Int) -> IncomingRequest {
        var request = IncomingRequest()
        request.sharedSegments = elder.sharedSegments + [PromptSegment(segment: 2, tokens: repeated)]
        request.promptTokens = elder.promptTokens + repeated + 1
        return request
    }

    private func hit(followerAfter steps: Int, abortsFirst: Bool) -> Int32 {
        var configuration = SchedulerConfiguration(
            maxNumBatchedTokens: 256, maxNumSeqs: 4, blockSize: 4, numBlocks: 100, maxModelLen: 256)
        configuration.asyncScheduling = false
        var core = EngineCore(configuration: configuration)
        let elder = first(tokens: 8, output: 100)
        let handle = core.scheduler.add(elder, id: 0, arrivalTime: 0)
        var outputs: [Scheduler.Output] = []
        for step in 0..<steps {
            _ = core.advance()
            _ = core.update(stamp: Int64(step), outputs: &outputs)
        }
        if abortsFirst { core.scheduler.abort(handle) }
        _ = core.scheduler.add(follower(of: elder, repeated: 60), id: 1, arrivalTime: 1)
        _ = core.advance()
        var admissions: [ScheduledRequest] = []
        core.newestAdmissions(into: &admissions)
        return admissions.first?.computedTokens ?? -1
    }

    @Test func `a follower hits what a live request has generated`() {
        // The first step computes the prompt, 20 more one token each; a block is full when all four are computed.
        #expect(hit(followerAfter: 21, abortsFirst: false) == 28)
    }

    @Test func `a follower hits what an ended request had generated`() {
        #expect(hit(followerAfter: 21, abortsFirst: true) == 28)
    }
}
