import ServingCore
import Testing

@testable import Workload

@Suite struct RequestStreamTests {
    static let rich = """
        load: {type: gamma, request_rate: 20, burstiness: 0.5}
        num_prompts: 3000
        max_concurrency: 64
        client_timeout: 300
        classes:
          - name: chat
            weight: 3
            input_len: {type: lognormal, median: 120, sigma: 1, max: 4000}
            output_len: {type: exponential, mean: 200, max: 1000}
            shared_prefix: {num_groups: 20, prefix_len: {type: uniform, min: 100, max: 200}, popularity: zipf, zipf_exponent: 1}
            multi_turn: {turns: {type: uniform, min: 1, max: 5}, think_time: {type: exponential, mean: 10}}
            priority: {0: 0.8, 3: 0.2}
          - name: batch
            weight: 1
            input_len: 2000
            output_len: 10
        """

    @Test func `the same seed gives the same requests and another seed others`() throws {
        let read = try specification(Self.rich)
        let first = try drain(RequestStream(read, seed: 5))
        #expect(try drain(RequestStream(read, seed: 5)) == first)
        #expect(try drain(RequestStream(read, seed: 6)) != first)
        #expect(first.count == 3000)
        let stream = RequestStream(read, seed: 5)
        #expect(stream.count == 3000)
        #expect(stream.maxConcurrency == 64)
        #expect(stream.clientTimeout == Ticks(seconds: 300))
    }

    @Test func `a change of one quantity leaves the others alone`() throws {
        let read = try specification(Self.rich)
        var changed = read
        changed.classes[0].outputLength = .constant(9)
        changed.arrivals.rate = .steady(3)
        let before = try drain(RequestStream(read, seed: 5))
        let after = try drain(RequestStream(changed, seed: 5))
        #expect(before.map(\.promptTokens) == after.map(\.promptTokens))
        #expect(before.map(\.sharedSegments) == after.map(\.sharedSegments))
        #expect(before.map(\.priority) == after.map(\.priority))
    }

    @Test func `classes and priorities come by weight`() throws {
        var read = try specification(Self.rich)
        read.numPrompts = 40_000
        let all = try drain(RequestStream(read, seed: 9))
        let batch = all.filter { $0.promptTokens == 2000 && $0.sharedSegments.isEmpty }.count
        #expect(abs(Double(batch) / 40_000 - 0.25) < 0.01)
        let urgent = all.filter { $0.priority == 3 }.count
        #expect(abs(Double(urgent) / 30_000 - 0.2) < 0.012)
    }

    @Test func `the random data set of vllm bench has its lengths and prefix`() throws {
        let random = try WorkloadSpecification.random(
            inputLength: 1000, outputLength: 100, rangeRatio: 0.25, prefixLength: 64, requestRate: 10,
            burstiness: 0.7,
            numPrompts: 5000, maxConcurrency: 8)
        let stream = RequestStream(random, seed: 0)
        let all = try drain(stream)
        #expect(stream.maxConcurrency == 8)
        #expect(all.map(\.promptTokens).min() == 814 && all.map(\.promptTokens).max() == 1314)
        #expect(all.map(\.outputTokens).min() == 75 && all.map(\.outputTokens).max() == 125)
        #expect(Set(all.map(\.sharedSegments)).count == 1)
        #expect(all[0].sharedSegments.map(\.tokens) == [64])
        #expect(abs(all[4999].arrival.seconds - 500) < 1e-6)
        #expect(all.allSatisfy { $0.maxTokens == $0.outputTokens && $0.session == -1 })
    }

    @Test func `zipf popularity falls with rank and groups keep their prefix`() throws {
        let read = try specification(
            """
            num_prompts: 50000
            input_len: 10
            output_len: 10
            shared_prefix: {num_groups: 100, prefix_len: {type: uniform, min: 50, max: 500}, popularity: zipf, zipf_exponent: 1.2}
            """)
        var counts: [SegmentID: Int] = [:]
        var lengths: [SegmentID: Set<Int>] = [:]
        for request in try drain(RequestStream(read, seed: 2)) {
            counts[request.sharedSegments[0].segment, default: 0] += 1
            lengths[request.sharedSegments[0].segment, default: []].insert(request.sharedSegments[0].tokens)
            #expect(request.promptTokens == request.sharedSegments[0].tokens + 10)
        }
        #expect(lengths.values.allSatisfy { $0.count == 1 })
        #expect(Set(lengths.values.map { $0.first! }).count > 50)
        let sorted = counts.sorted { $0.key < $1.key }.map(\.value)
        let harmonic = (1...100).reduce(0.0) { $0 + ContinuousSampling.power(Double($1), -1.2) }
        #expect(abs(Double(sorted[0]) / 50_000 - 1 / harmonic) < 0.01)
        #expect(abs(Double(sorted[0]) / Double(sorted[1]) - 2.2974) < 0.15)
    }

    @Test func `conversations repeat what was said and end after their turns`() throws {
        let read = try specification(
            """
            load: {type: constant, request_rate: 1}
            num_prompts: 200
            input_len: {type: uniform, min: 5, max: 50}
            output_len: {type: uniform, min: 5, max: 50}
            shared_prefix: {num_groups: 3, prefix_len: 32}
            multi_turn: {turns: {type: uniform, min: 1, max: 6}, think_time: {type: constant, value: 2.5}}
            """)
        var stream = RequestStream(read, seed: 4)
        var request = IncomingRequest()
        var turnCounts: [Int: Int] = [:]
        while try stream.next(&request) {
            var turns = 1
            while request.session >= 0 {
                let last = request
                let shared = last.sharedSegments.reduce(0) { $0 + $1.tokens }
                #expect(shared == last.promptTokens)
                let finished = last.arrival + 7_000_000_000
                try #require(stream.followUp(session: last.session, finishedAt: finished, &request))
                turns += 1
                #expect(request.arrival == finished + 2_500_000_000)
                // The prompt begins with the last prompt and the last answer.
                let answer = try #require(last.outputSegment)
                let history =
                    last.sharedSegments + [PromptSegment(segment: answer, tokens: last.outputTokens)]
                #expect(Array(request.sharedSegments.prefix(history.count)) == history)
                #expect(request.promptTokens > last.promptTokens + last.outputTokens)
            }
            #expect(request.outputSegment == nil)
            turnCounts[turns, default: 0] += 1
        }
        #expect(turnCounts.keys.sorted() == [1, 2, 3, 4, 5, 6])
        #expect(stream.openConversations == 0)
        #expect(!stream.followUp(session: 0, finishedAt: 0, &request))
        #expect(!stream.followUp(session: -1, finishedAt: 0, &request))
        #expect(!stream.followUp(session: 1 << 20, finishedAt: 0, &request))
    }

    @Test func `the turns of a conversation don't depend on when they happen`() throws {
        let read = try specification(
            """
            num_prompts: 2
            input_len: {type: uniform, min: 5, max: 5000}
            output_len: {type: uniform, min: 5, max: 5000}
            multi_turn: {turns: 4}
            """)
        func play(_ order: [Int]) throws -> [Int: [Int]] {
            var stream = RequestStream(read, seed: 8)
            var open = [IncomingRequest(), IncomingRequest()]
            for index in 0..<2 { _ = try stream.next(&open[index]) }
            var prompts: [Int: [Int]] = [:]
            for index in order {
                let session = open[index].session
                let more = stream.followUp(session: session, finishedAt: 1, &open[index])
                #expect(more)
                prompts[index, default: []].append(open[index].promptTokens)
            }
            #expect(stream.openConversations == 0)
            return prompts
        }
        #expect(try play([0, 0, 0, 1, 1, 1]) == play([1, 0, 1, 0, 1, 0]))
    }

    @Test func `an abandoned conversation is forgotten and a long one stops at its context`() throws {
        let read = try specification(
            """
            num_prompts: 10
            input_len: 100
            output_len: 100
            multi_turn: {turns: 50, max_context_len: 500}
            """)
        var stream = RequestStream(read, seed: 8)
        var request = IncomingRequest()
        _ = try stream.next(&request)
        #expect(stream.openConversations == 1)
        stream.end(session: request.session)
        stream.end(session: request.session)
        #expect(stream.openConversations == 0)
        _ = try stream.next(&request)
        var prompts = [request.promptTokens]
        while stream.followUp(session: request.session, finishedAt: 0, &request) {
            prompts.append(request.promptTokens)
        }
        #expect(prompts == [100, 300])
        #expect(stream.openConversations == 0)
    }

    @Test func `texts of different purposes never share a name`() {
        let names: [SegmentID] = [
            SegmentNames.sharedPrefix(class: 0, group: 5), SegmentNames.question(class: 0, number: 5),
            SegmentNames.userText(conversation: 0, turn: 5), SegmentNames.output(conversation: 0, turn: 5),
            SegmentNames.traceBlock(5), SegmentNames.tracePrompt(5),
            SegmentNames.sharedPrefix(class: 1, group: 5), SegmentNames.question(class: 1, number: 5),
            SegmentNames.userText(conversation: 1, turn: 5), SegmentNames.output(conversation: 1, turn: 5),
            SegmentNames.userText(conversation: (1 << 43) - 1, turn: 65_535),
            SegmentNames.output(conversation: (1 << 43) - 1, turn: 65_535),
        ]
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { $0 > 0 })
    }
}

extension PromptSegment: Hashable {
    /// Hashes both parts.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(segment)
        hasher.combine(tokens)
    }
}
