import ServingCore
import Testing

@testable import Workload

@Suite struct SpecificationTests {
    @Test func `a specification without a load sends everything at once`() throws {
        let read = try specification("num_prompts: 5\ninput_len: 10\noutput_len: 20\n")
        #expect(read.arrivals.rate == .infinite)
        #expect(try drain(RequestStream(read, seed: 0)).map(\.outputTokens) == [20, 20, 20, 20, 20])
    }

    @Test func `vllm bench's rate and burstiness may stand at the top`() throws {
        let read = try specification("request_rate: 5\nburstiness: 0.5\ninput_len: 1\noutput_len: 1\n")
        #expect(read.arrivals == ArrivalProcess(gaps: .gamma(shape: 0.5), rate: .steady(5)))
        #expect(read.numPrompts == 1000)
    }

    @Test(arguments: [
        (
            "input_len: 1\noutput_len: 1\nnum_prompt: 5",
            "w.yaml:3: num_prompt: is not a known key (accepted: did you mean num_prompts?)"
        ),
        (
            "input_len: 1\noutput_len: 1\nload:\n  request_rat: 5",
            "w.yaml:4: load.request_rat: is not a known key (accepted: did you mean request_rate?)"
        ),
        ("input_len: {type: lognorml, mean: 1}\noutput_len: 1", "input_len.type: \"lognorml\""),
        (
            "input_len: {type: exponential, maen: 1}\noutput_len: 1",
            "input_len.maen: is not a known key (accepted: did you mean mean?)"
        ),
        ("input_len: -5\noutput_len: 1", "w.yaml:1: input_len: \"-5\" is negative"),
        ("input_len: 5\noutput_len: 0", "output_len: \"0\" is out of range"),
        ("input_len: nan\noutput_len: 1", "input_len: \"nan\" is not a number"),
        ("input_len: 5", "output_len: is missing"),
        ("input_len: 5\noutput_len: 5\nload: {request_rate: -2}", "load.request_rate: \"-2\" is negative"),
        (
            "input_len: 5\noutput_len: 5\nload: {request_rate: 5, normalize: true}\nduration: 5",
            "num_prompts: is missing"
        ),
        ("input_len: 5\noutput_len: 5\nload: {request_rate: 5, stages: []}", "load.request_rate"),
        ("input_len: 5\noutput_len: 5\nload: {stages: []}", "load.stages: has 0 entries"),
        (
            "input_len: 5\noutput_len: 5\nload: {stages: [{rate: 1, duration: 5}, {rate: 1, durtion: 5}]}",
            "load.stages[1].durtion: is not a known key (accepted: did you mean duration?)"
        ),
        ("input_len: 5\noutput_len: 5\nnum_prompts: 1e30", "num_prompts: \"1e30\" is out of range"),
        ("input_len: 5\noutput_len: 5\nnum_prompts: 2.5", "num_prompts: \"2.5\" is not a whole number"),
        (
            "input_len: {type: empirical, values: [1, 2], weights: [0, 0]}\noutput_len: 5",
            "input_len.weights: are all zero"
        ),
        (
            "input_len: {type: empirical, values: [1, 2], weights: [1]}\noutput_len: 5",
            "input_len.weights: has 1 entries"
        ),
        ("input_len: {type: uniform, min: 9, max: 3}\noutput_len: 5", "input_len.max: \"3\""),
        ("input_len: {type: quantiles, quantiles: {0: 5, 0.5: 2, 1: 9}}\noutput_len: 5", "falls"),
        ("- 1\n- 2\n", "is not a mapping"),
        ("input_len: [\n", "is not YAML"),
        ("input_len: 1\ninput_len: 2\n", "stands twice"),
        ("classes: []\n", "classes: has 0 entries"),
        (
            "input_len: 5\nclasses: [{input_len: 1, output_len: 1}]",
            "input_len: \"5\" doesn't go with classes"
        ),
        (
            "input_len: 5\noutput_len: 5\nload: {type: poisson, burstiness: 2, request_rate: 1}",
            "load.burstiness"
        ),
        (
            "input_len: 5\noutput_len: 5\nshared_prefix: {num_groups: 99999999999, prefix_len: 5}",
            "shared_prefix.num_groups"
        ),
        ("input_len: 5\noutput_len: 5\npriority: {a: 1}", "priority.a"),
        (String(repeating: "[", count: 100_000), "nested too deep"),
        (String(repeating: "- ", count: 100_000), "nested too deep"),
        (String(repeating: "? ", count: 100_000), "nested too deep"),
        ((0..<5000).map { String(repeating: " ", count: $0) + "a:\n" }.joined(), "nested too deep"),
    ])
    func `bad specifications are refused in one line`(yaml: String, part: String) {
        let message = complaint { _ = try specification(yaml) }
        #expect(message.contains(part), "\(message)")
        #expect(!message.contains("\n"))
    }

    @Test func `lengths may come from a column of a file beside the specification`() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        _ = try folder.write("id,tokens\n1,10\n2,20\n3,20\n4,20\n", as: "lengths.csv")
        let path = try folder.write(
            "num_prompts: 4000\ninput_len: {type: empirical, file: lengths.csv, column: tokens}\noutput_len: 1\n",
            as: "w.yaml")
        let all = try drain(RequestStream(contentsOf: path, seed: 1))
        #expect(Set(all.map(\.promptTokens)) == [10, 20])
        #expect(abs(all.filter { $0.promptTokens == 10 }.count - 1000) < 140)
        let message = complaint {
            _ = try specification(
                "input_len: {type: empirical, file: lengths.csv, column: token}\noutput_len: 1", source: path)
        }
        #expect(message.contains("tokens"))
    }

    static let profile =
        #"{"api": {"streaming": true, "type": "completion"}, "data": {"shared_prefix": {"question_len": 447, "system_prompt_len": 100, "output_len": 248, "enable_multi_turn_chat": true, "num_unique_system_prompts": 9, "num_users_per_system_prompt": 5}, "type": "shared_prefix"}, "load": {"stages": [{"duration": 60, "rate": 8}, {"duration": 60, "rate": 20}], "type": "constant"}, "server": {"type": "vllm"}}"#

    @Test func `an inference-perf profile gives recurring prompts in constant stages`() throws {
        try withFile(Self.profile, name: "profile.yaml") { path in
            let stream = try RequestStream(contentsOf: path, seed: 3)
            #expect(stream.count == 1680)
            #expect(stream.warnings.count == 1)
            let all = try drain(stream)
            #expect(all.count == 1680)
            #expect(all.allSatisfy { $0.promptTokens == 547 && $0.outputTokens == 248 })
            #expect(Set(all.map(\.sharedSegments)).count == 45)
            #expect(Set(all.map { $0.sharedSegments[0] }).count == 9)
            #expect(Set(all.prefix(45).map(\.sharedSegments)).count == 45)
            #expect(all[45].sharedSegments == all[0].sharedSegments)
            #expect(all.filter { $0.arrival < 60 * .perSecond }.count == 480)
        }
    }

    @Test func `a profile in YAML with distributions and Poisson stages is read`() throws {
        let yaml = """
            load:
              type: poisson
              stages:
              - rate: 2
                duration: 50
            data:
              type: shared_prefix
              shared_prefix:
                num_groups: 4
                num_prompts_per_group: 3
                system_prompt_len: {min: 10, max: 500, mean: 250, std_dev: 50, total_count: 100}
                question_len: 20
                output_len: {mean: 30, std_dev: 5}
            """
        try withFile(yaml) { path in
            let all = try drain(RequestStream(contentsOf: path, seed: 3))
            #expect(all.count == 100)
            #expect(Set(all.map(\.sharedSegments)).count == 12)
            #expect(Set(all.map(\.outputTokens)).count > 5)
        }
        #expect(
            complaint { _ = try specification(yaml.replacing("question_len", with: "question_length")) }
                .contains(
                    "data.shared_prefix.question_length: is not a known key (accepted: did you mean question_len?)"
                ))
    }

    @Test(arguments: [
        "--random-input-len", "--random-range-ratio", "--request-rate", "--burstiness", "--num-prompts",
    ])
    func `flags out of range are named`(flag: String) {
        let message = complaint {
            _ = try WorkloadSpecification.random(
                inputLength: flag == "--random-input-len" ? -1 : 1,
                rangeRatio: flag == "--random-range-ratio" ? 1 : 0,
                requestRate: flag == "--request-rate" ? .nan : 1,
                burstiness: flag == "--burstiness" ? 0 : 1, numPrompts: flag == "--num-prompts" ? 0 : 1)
        }
        #expect(message.hasPrefix(flag + ": "), "\(message)")
    }
}
