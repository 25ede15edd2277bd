import ServingCore
import Testing

@testable import Workload

@Suite struct ShippedWorkloadTests {
    private static let catalog = WorkloadCatalog(
        folder: #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(
            separator: "/")
            + "/workloads")

    @Test func `the promised workloads ship`() {
        #expect(
            Set(Self.catalog.names).isSuperset(of: [
                "chat", "code", "summarise", "reasoning", "rag", "agents", "burst",
            ]))
    }

    @Test(arguments: catalog.names)
    func `a shipped workload is sound and described`(name: String) throws {
        var warnings: [String] = []
        let read = try WorkloadSpecification(contentsOf: Self.catalog.path(of: name), warnings: &warnings)
        #expect(warnings.isEmpty)
        #expect(read.name == name && !read.description.isEmpty)
        let summary = try WorkloadSummary(RequestStream(read, seed: 0), limit: 500)
        #expect(summary.arrivals == 500 || !summary.isPartial)
        #expect(summary.requestRate > 0)
        #expect(summary.inputLengths.min >= 1 && summary.outputLengths.min >= 1)
    }

    @Test func `chat has the statistics that its header gives`() throws {
        let stream = try RequestStream(contentsOf: Self.catalog.path(of: "chat"), seed: 0)
        let summary = try WorkloadSummary(stream, limit: .max)
        #expect(summary.arrivals == 19_366)
        #expect(abs(summary.requestRate / 5.53 - 1) < 0.04)
        #expect(abs(summary.gapVariation - 1.09) < 0.04)
        #expect(abs(Double(summary.inputLengths.p50) / 1020 - 1) < 0.03)
        #expect(abs(Double(summary.outputLengths.p90) / 424 - 1) < 0.03)
        #expect(abs(summary.inputLengths.mean / 1154.7 - 1) < 0.06)
        #expect(abs(summary.outputLengths.mean / 211.1 - 1) < 0.06)
    }

    @Test func `names resolve before paths and mistyped ones are helped`() throws {
        #expect(try Self.catalog.path(of: "rag") == Self.catalog.folder + "/rag.yaml")
        let path = Self.catalog.folder + "/chat.yaml"
        #expect(try Self.catalog.path(of: path) == path)
        let message = complaint { _ = try Self.catalog.path(of: "caht") }
        #expect(message.contains("did you mean chat?"))
    }

    @Test func `a summary sees what is shared`() throws {
        let read = try specification(
            """
            load: {type: constant, request_rate: 2}
            num_prompts: 101
            input_len: 50
            output_len: 25
            shared_prefix: {num_groups: 1, prefix_len: 150}
            """)
        let summary = try WorkloadSummary(RequestStream(read, seed: 0), limit: 1000)
        #expect(summary.arrivals == 101 && !summary.isPartial)
        #expect(abs(summary.sharedPrefixShare - 15_000.0 / 20_200) < 1e-12)
        #expect(summary.duration == 50 && summary.gapVariation < 1e-6 && summary.peakRequestsPerSecond == 2)
        #expect(summary.totalInputTokens == 20_200 && summary.totalOutputTokens == 2525)
        #expect(try WorkloadSummary(RequestStream(read, seed: 0), limit: 100).isPartial)
    }
}

@Suite struct LoadRequestTests {
    private static let trace =
        "arrival_s,prompt_tokens,output_tokens\n" + (0..<100).map { "\($0),\($0 + 1),7\n" }.joined()

    @Test func `flags override a trace's rate, number and concurrency`() throws {
        try withFile(Self.trace) { path in
            var load = LoadRequest()
            load.limit = 50
            load.numPrompts = 40
            load.maxConcurrency = 3
            load.rateScale = 2
            let stream = try load.stream(contentsOf: path, seed: 0)
            let plain = try drain(stream)
            #expect(stream.maxConcurrency == 3 && plain.count == 40)
            #expect(plain[39].arrival == Ticks(seconds: 19.5))
            load.requestRate = 5
            let replaced = try drain(load.stream(contentsOf: path, seed: 0))
            #expect(replaced.map(\.promptTokens) == plain.map(\.promptTokens))
            #expect(abs(replaced[39].arrival.seconds - 4) < 1e-6)
            load.requestRate = .infinity
            #expect(try drain(load.stream(contentsOf: path, seed: 0)).allSatisfy { $0.arrival == 0 })
            load.requestRate = nil
            load.burstiness = 0.5
            #expect(
                complaint { _ = try load.stream(contentsOf: path, seed: 0) }.hasPrefix("--burstiness: needs"))
        }
    }

    @Test func `flags override a workload's rate and number`() throws {
        try withFile("load: {stages: [{rate: 1, duration: 1000}]}\ninput_len: 9\noutput_len: 9\n") { path in
            var load = LoadRequest()
            load.requestRate = 10
            load.numPrompts = 200
            load.rateScale = 2
            let all = try drain(load.stream(contentsOf: path, seed: 0))
            #expect(all.count == 200 && abs(all[199].arrival.seconds - 10) < 1e-6)
        }
    }

    @Test func `the random load has the defaults of vllm bench`() throws {
        let stream = try LoadRequest().randomStream(
            inputLength: 1024, outputLength: 128, rangeRatio: 0, prefixLength: 0, seed: 0)
        let all = try drain(stream)
        #expect(all.count == 1000 && all.allSatisfy { $0.arrival == 0 && $0.promptTokens == 1024 })
    }

    @Test(arguments: ["--rate-scale", "--limit", "--num-prompts", "--max-concurrency"])
    func `flags out of range are named`(flag: String) throws {
        var load = LoadRequest()
        if flag == "--rate-scale" { load.rateScale = .nan }
        if flag == "--limit" { load.limit = 0 }
        if flag == "--num-prompts" { load.numPrompts = -1 }
        if flag == "--max-concurrency" { load.maxConcurrency = 0 }
        try withFile(Self.trace) { path in
            #expect(complaint { _ = try load.stream(contentsOf: path, seed: 0) }.hasPrefix(flag + ": "))
        }
    }
}
