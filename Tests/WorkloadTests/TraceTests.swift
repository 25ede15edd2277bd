import ServingCore
import Testing

@testable import Workload

@Suite(.enabled(if: SharedData.isThere, "needs ../shared"))
struct PublicTraceTests {
    private func summary(_ requests: [IncomingRequest]) -> (Double, Double) {
        (mean(requests.map { Double($0.promptTokens) }), mean(requests.map { Double($0.outputTokens) }))
    }

    @Test(arguments: [
        ("azure2023_conv.csv", RequestTrace.Format.azure, 19_366, 1154.70, 211.126, 3501.72),
        ("azure2023_code.csv", .azure, 8819, 2047.85, 27.8825, 3435.95),
        ("mooncake_conversation_trace.jsonl", .mooncake, 12_031, 12_035.1, 343.0, 3536.999),
        ("mooncake_synthetic_trace.jsonl", .mooncake, 3993, 15_325.3, 149.0, 1022.0),
    ])
    func `public traces have their requests, lengths and span`(
        name: String, format: RequestTrace.Format, count: Int, prompt: Double, output: Double, span: Double
    ) throws {
        let trace = try RequestTrace(contentsOf: SharedData.traces + "/" + name)
        #expect(trace.format == format)
        #expect(trace.warnings == [])
        let all = try drain(RequestStream(trace))
        #expect(all.count == count)
        let (prompts, outputs) = summary(all)
        #expect(abs(prompts - prompt) < 0.5)
        #expect(abs(outputs - output) < 0.6)
        #expect(abs(all[count - 1].arrival.seconds - span) < 0.7)
        #expect(all[0].arrival == 0)
    }

    @Test(arguments: [("conversation", 0.3664, 288_500), ("synthetic", 0.6396, 121_877)])
    func `an unlimited cache hits the ideal share of Mooncake's blocks`(
        name: String, ideal: Double, blocks: Int
    ) throws {
        let trace = try RequestTrace(contentsOf: SharedData.traces + "/mooncake_\(name)_trace.jsonl")
        var seen: Set<SegmentID> = []
        var hits = 0
        var total = 0
        for request in try drain(RequestStream(trace)) {
            var prefix = true
            for piece in request.sharedSegments {
                prefix = prefix && seen.contains(piece.segment)
                if prefix { hits += 1 }
                total += 1
            }
            #expect(request.sharedSegments.reduce(0) { $0 + $1.tokens } == request.promptTokens)
            for piece in request.sharedSegments { seen.insert(piece.segment) }
        }
        #expect(total == blocks)
        #expect(abs(Double(hits) / Double(total) - ideal) < 0.001)
    }

    @Test(arguments: [
        ("codellama-34b-tp2-general", 16_800, 574.24, 250.455),
        ("llama-2-7b-tp1-codegen", 9000, 591.63, 247.0),
        ("qwen3-14b-tp1-unique1024-18rps", 10_829, 985.74, 128.0),
    ])
    func `measured runs are read with their options`(
        name: String, count: Int, prompt: Double, output: Double
    ) throws {
        var options = TraceOptions()
        options.equalLengthsShare = true
        options.maxConcurrency = 256
        options.clientTimeout = 300
        if name.hasPrefix("llama") { options.outputLength = 247 }
        let stream = RequestStream(
            try RequestTrace(contentsOf: SharedData.runs + "/\(name).csv.zst", options: options))
        #expect(stream.maxConcurrency == 256 && stream.clientTimeout == Ticks(seconds: 300))
        let all = try drain(stream)
        #expect(all.count == count)
        let (prompts, outputs) = summary(all)
        #expect(abs(prompts - prompt) < 0.01)
        #expect(abs(outputs - output) < (name.hasPrefix("llama") ? 2 : 0.01))
        for request in all.prefix(100) {
            #expect(request.sharedSegments.map(\.tokens) == [request.promptTokens])
        }
        // A hundred prompts in turn, a few of them equally long; the unique ones are told apart by length alone.
        guard !name.hasPrefix("qwen") else { return }
        #expect(Set(all.prefix(100).map { $0.sharedSegments[0].segment }).count == 100)
        let first = all[..<100].map { $0.sharedSegments[0].segment }
        let later = all[5000..<5100].map { $0.sharedSegments[0].segment }
        #expect(zip(first, later).count { $0 == $1 } >= 95)
        #expect(Set(all.map { $0.sharedSegments[0].segment }).count <= 110)
    }

    @Test func `all measured runs can be read, those with failures too`() throws {
        let counts: [String: Int] = [
            "codegen": 9000, "roleplay": 7200, "general": 16_800, "reasoning": 4800,
        ]
        for name in try entries(of: SharedData.runs) where name.hasSuffix(".csv.zst") {
            let trace = try RequestTrace(contentsOf: SharedData.runs + "/" + name)
            #expect(trace.format == .measuredRun)
            for (kind, count) in counts where name.contains(kind) { #expect(trace.count == count) }
            let (prompts, outputs) = summary(try drain(RequestStream(trace)))
            #expect(prompts > 500 && outputs > 100, "\(name)")
        }
        let benches = SharedData.root + "/data/bench-runs"
        for name in try entries(of: benches) where name.hasSuffix(".csv") {
            let trace = try RequestTrace(contentsOf: benches + "/" + name)
            #expect(trace.format == .csv && trace.count == 300)
        }
    }
}

@Suite struct TraceReaderTests {
    @Test(arguments: [
        (
            RequestTrace.Format.vidur,
            "arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,100,10\n1.25,200,20\n",
            0.75
        ),
        (
            .burstGPT,
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,100,10,110,Conversation log\n6,GPT-4,50,0,50,API log\n45,GPT-4,200,20,220,API log\n",
            40
        ),
        (
            .azure,
            "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2024-05-10 23:59:59.500000+00:00,100,10\r\n2024-05-11 00:00:00.750000+00:00,200,20",
            1.25
        ),
        (.csv, "\"time\",isl,osl\n\n1e0,100,10.0\n\"3\",200,20\n", 2),
        (.csv, "timestamp_ms,input_tokens,output_tokens\n10,100,10\n1510.5,200,20\n", 1.5005),
        (
            .mooncake,
            "{\"timestamp\": 1000, \"input_length\": 100, \"output_length\": 10, \"hash_ids\": [7]}\n\n{\"timestamp\": 4000, \"input_length\": 200, \"output_length\": 20, \"hash_ids\": [18446744073709551615], \"extra\": {\"a\": [1]}}",
            3
        ),
        (
            .bailian,
            "{\"chat_id\": 1, \"parent_chat_id\": -1, \"timestamp\": 1.5, \"input_length\": 100, \"output_length\": 10, \"type\": \"text\", \"turn\": 1, \"hash_ids\": [1,2,3,4,5,6,7]}\n{\"chat_id\": 2, \"parent_chat_id\": 1, \"timestamp\": 4, \"input_length\": 200, \"output_length\": 20, \"type\": \"text\", \"turn\": 2, \"hash_ids\": [1,2,3,4,5,6,8,9,10,11,12,13,14]}\n",
            2.5
        ),
    ])
    func `every form is recognised by its content`(
        format: RequestTrace.Format, text: String, span: Double
    ) throws {
        try withFile(text) { path in
            let trace = try RequestTrace(contentsOf: path)
            #expect(trace.format == format)
            let all = try drain(RequestStream(trace))
            #expect(all.map(\.promptTokens) == [100, 200])
            #expect(all.map(\.outputTokens) == [10, 20])
            #expect(all.map(\.arrival) == [0, Ticks(seconds: span)])
            if format == .bailian {
                #expect(all[0].sharedSegments.map(\.tokens) == [16, 16, 16, 16, 16, 16, 4])
                #expect(all[0].sharedSegments.prefix(6) == all[1].sharedSegments.prefix(6))
                #expect(all[0].sharedSegments[6] != all[1].sharedSegments[6])
                #expect(all[1].sharedSegments.map(\.tokens).reduce(0, +) == 200)
            }
            #expect(trace.warnings.count == (format == .burstGPT ? 1 : 0))
        }
    }

    @Test func `an unsorted trace is sorted stably with a warning`() throws {
        let text = "arrival_s,prompt_tokens,output_tokens\n5,1,1\n2,2,1\n5,3,1\n2,4,1\n"
        try withFile(text) { path in
            let stream = try RequestStream(contentsOf: path, seed: 0)
            #expect(stream.warnings.count == 1 && stream.warnings[0].contains("sorted"))
            let all = try drain(stream)
            #expect(all.map(\.promptTokens) == [2, 4, 1, 3])
            #expect(all.map(\.arrival) == [0, 0, 3, 3].map { Ticks($0) * .perSecond })
        }
    }

    @Test func `hashes stay with their requests when sorted and limited`() throws {
        var text = ""
        for (time, hashes) in [(3, [1, 2]), (1, [1]), (2, [3, 4, 5])] {
            text +=
                "{\"timestamp\":\(time),\"input_length\":\(hashes.count * 512),\"output_length\":1,\"hash_ids\":\(hashes)}\n"
        }
        try withFile(text) { path in
            var options = TraceOptions()
            options.limit = 2
            options.rateScale = 4
            let all = try drain(RequestStream(contentsOf: path, options: options, seed: 0))
            #expect(all.map(\.promptTokens) == [512, 1536])
            #expect(all.map { $0.sharedSegments.count } == [1, 3])
            #expect(all.map(\.arrival) == [0, 250_000])
        }
    }

    @Test func `blocks that don't match the prompt are reported`() throws {
        let text = """
            {"timestamp":0,"input_length":700,"output_length":1,"hash_ids":[1,2,3]}
            {"timestamp":0,"input_length":700,"output_length":1,"hash_ids":[1]}
            """
        try withFile(text) { path in
            let stream = try RequestStream(contentsOf: path, seed: 0)
            #expect(stream.warnings.count == 1 && stream.warnings[0].contains("2 requests"))
            let all = try drain(stream)
            #expect(all[0].sharedSegments.map(\.tokens) == [512, 188])
            #expect(all[1].sharedSegments.map(\.tokens) == [512])
        }
    }

    @Test(arguments: [
        ("arrival_s,prompt_tokens,output_tokens\n0,5,5\n1,-3,5\n", ":3: prompt_tokens: \"-3\" is negative"),
        ("arrival_s,prompt_tokens,output_tokens\n0,5,0\n", ":2: output_tokens: \"0\" is zero"),
        ("arrival_s,prompt_tokens,output_tokens\nnan,5,5\n", ":2: arrival_s: \"nan\" is not a time"),
        ("arrival_s,prompt_tokens,output_tokens\ninf,5,5\n", ":2: arrival_s: \"inf\" is not a time"),
        ("arrival_s,prompt_tokens,output_tokens\n1e300,5,5\n", ":2: arrival_s: \"1e300\" is out of range"),
        (
            "arrival_s,prompt_tokens,output_tokens\n0,5,99999999999\n",
            ":2: output_tokens: \"99999999999\" is out of range"
        ),
        (
            "arrival_s,prompt_tokens,output_tokens\n0,5,2.5\n",
            ":2: output_tokens: \"2.5\" is not a whole number"
        ),
        ("arrival_s,prompt_tokens,output_tokens\n0,5,x\n", ":2: output_tokens: \"x\" is not a number"),
        ("arrival_s,prompt_tokens,output_tokens\n0,5\n", ":2:"),
        ("arrival_s,prompt_tokens,output_tokens\n", "holds no requests"),
        ("arrival_s,prompt_tokens,output_tokens\n0,1,1\n3e9,1,1\n", "s apart"),
        ("", "is empty"),
        ("arrival_s,prompt\n0,5\n", "no column for the prompt's length"),
        ("a,b,c\n1,2,3\n", "no column for the time of arrival"),
        (
            "arrival_s,prompt_tokens,output_tokens_recorded,succeeded\n0,5,0,1\n0,0,0,1\n",
            ":3: prompt_tokens: \"0\" is zero"
        ),
        ("arrival_s,prompt_tokens,output_tokens_recorded,succeeded\n0,0,0,0\n", "is 0 for every request"),
        (
            "{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 1}\n{\"timestamp\": 0, \"input\n",
            ":2:"
        ),
        (
            "{\"timestamp\": 0, \"input_length\": -5, \"output_length\": 1}",
            ":1: input_length: \"-5\" is negative"
        ),
        ("{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 0}", ":1: output_length: \"0\" is zero"),
        ("{\"timestamp\": NaN, \"input_length\": 5, \"output_length\": 1}", ":1: timestamp:"),
        ("{\"timestamp\": 0, \"output_length\": 1}", ":1: input_length: is missing"),
        (
            "{\"timestamp\": 1e300, \"input_length\": 5, \"output_length\": 1}",
            ":1: timestamp: \"1e+300\" is out of range"
        ),
        (
            "{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 1, \"hash_ids\": [1, 2.5]}",
            ":1: hash_ids: \"2.5\""
        ),
    ])
    func `bad traces are refused with file, line, field and value`(text: String, part: String) throws {
        try withFile(text) { path in
            let message = complaint { _ = try RequestTrace(contentsOf: path) }
            #expect(message.hasPrefix(path), "\(message)")
            #expect(message.contains(part), "\(message)")
            #expect(!message.contains("\n"))
        }
    }

    @Test func `a missing file is named`() {
        let message = complaint { _ = try RequestStream(contentsOf: "no/such.csv", seed: 0) }
        #expect(message.contains("no/such.csv"))
    }

    @Test(arguments: [
        ("1970-01-01 00:00:00", 0), ("1970-01-02T00:00:01.5Z", 86_401_500_000_000),
        ("2023-11-16 18:17:03.9799600", 1_700_158_623_979_960_000),
        ("2024-02-29 00:00:00+01:00", 1_709_161_200_000_000_000), ("1969-12-31 23:59:59.999999999", -1),
        ("2024-05-10 00:00:00.009930+00:00", 1_715_299_200_009_930_000),
    ])
    func `dates and times are exact to the nanosecond`(text: String, expected: Ticks) {
        #expect(Array(text.utf8).withUnsafeBytes { parseDateAndTime(RawSpan(_unsafeBytes: $0)) } == expected)
    }

    @Test(arguments: [
        "", "2023", "2023-13-01 00:00:00", "2023-01-01 00:00", "2023-01-01 00:00:00x", "2023-01-01 00:00:00.",
    ])
    func `what is no date is none`(text: String) {
        #expect(Array(text.utf8).withUnsafeBytes { parseDateAndTime(RawSpan(_unsafeBytes: $0)) } == nil)
    }
}
