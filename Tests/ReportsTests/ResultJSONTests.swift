import ByteStreams
import ServingCore
import Simulation
import Testing

@testable import Reports

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct ResultJSONTests {
    private struct Saved: Decodable {
        struct Stepcast: Decodable {
            struct Engine: Decodable { var prefixCacheHitRate: Double }
            var seed: UInt64
            var warnings: [String]
            var engine: Engine
            var band: Double
        }
        var modelId: String
        var requestRate: Double
        var completed: Int
        var requestGoodput: Double?
        var meanTtftMs: Double
        var stdE2ElMs: Double
        var p99ItlMs: Double
        var stepcast: Stepcast
    }

    @Test func `the top level has the keys of vllm's result file in its order`() throws {
        var options = ReportOptions()
        options.date = "20260101-000000"
        options.metadata = [("tp", "1")]
        guard case .object(let members) = resultJSON(try smallResult(), options) else {
            Issue.record("not an object")
            return
        }
        var expected = [
            "date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id", "num_prompts", "tp",
            "request_rate", "burstiness", "max_concurrency", "duration", "completed", "failed",
            "total_input_tokens", "total_output_tokens", "request_throughput", "request_goodput",
            "output_throughput", "total_token_throughput", "max_output_tokens_per_s",
            "max_concurrent_requests",
        ]
        for metric in ["ttft", "tpot", "itl", "e2el"] {
            expected += ["mean_\(metric)_ms", "median_\(metric)_ms", "std_\(metric)_ms"]
            expected += ["p50_\(metric)_ms", "p99_\(metric)_ms", "p99.9_\(metric)_ms"]
        }
        #expect(members.map(\.key) == expected + ["stepcast"])
    }

    @Test func `the file reads back with the same figures`() throws {
        let result = try smallResult()
        let json = resultJSON(result, extra: [("band", .number(0.1))])
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let saved = try decoder.decode(Saved.self, from: Data(json.text.utf8))
        #expect(saved.modelId == "llama-3.1-8b" && saved.requestRate == 1 && saved.completed == 3)
        #expect(saved.requestGoodput == 0.5)
        #expect(saved.meanTtftMs == result.metrics.ttft.mean.value)
        #expect(saved.stdE2ElMs == result.metrics.e2el.standardDeviation)
        #expect(saved.p99ItlMs == 200)
        #expect(saved.stepcast.seed == .max)
        #expect(saved.stepcast.warnings == ["a \"quoted\" warning"])
        #expect(saved.stepcast.engine.prefixCacheHitRate == 0.32)
        #expect(saved.stepcast.band == 0.1)
        // The compact form is the same document.
        let compact = try decoder.decode(Saved.self, from: Data(json.compactText.utf8))
        #expect(compact.meanTtftMs == saved.meanTtftMs)
        #expect(!json.compactText.contains("\n"))
    }

    @Test func `without a date the same result is the same bytes`() throws {
        #expect(resultJSON(try smallResult()).text == resultJSON(try smallResult()).text)
        #expect(!resultJSON(try smallResult()).text.contains("\"date\""))
        #expect(resultJSON(SimulationResult()).text.contains("\"request_rate\": \"inf\""))
    }

    @Test func `any text and any number make valid JSON`() throws {
        let text = (0..<256).map { String(UnicodeScalar(UInt8($0))) }.joined() + "ü𝄞\u{2028}"
        let values: [Double] = [.nan, .infinity, -.infinity, 1e300, .leastNonzeroMagnitude, 0.1, -0.0, 1e16]
        let json = JSONValue.object([
            ("a", .string(text)), (text, .array(values.map { .number($0) })), ("empty", .object([])),
            ("nested", .array([.array([]), .object([("b", .null)])])),
        ])
        struct Read: Decodable {
            var a: String
            var empty: [String: Int]
        }
        for form in [json.text, json.compactText] {
            let read = try JSONDecoder().decode(Read.self, from: Data(form.utf8))
            #expect(read.a == text)
            let lists = try JSONDecoder().decode([String: Lenient].self, from: Data(form.utf8))
            #expect(lists[text]?.numbers == values.map { $0.isFinite ? $0 : nil })
        }
    }

    /// A list of numbers and nulls, or something else.
    private struct Lenient: Decodable {
        var numbers: [Double?]?
        init(from decoder: any Decoder) throws {
            numbers = try? decoder.singleValueContainer().decode([Double?].self)
        }
    }

    @Test(arguments: ["result.json", "result.json.zst"])
    func `a result file appears whole, compressed by its name`(name: String) throws {
        let folder =
            FileManager.default.temporaryDirectory.path + "/stepcast-\(UInt64.random(in: 0...(.max)))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let json = resultJSON(try smallResult())
        try json.write(to: folder + "/" + name)
        var lines = try LineReader(path: folder + "/" + name)
        var count = 0
        while try lines.next() { count += 1 }
        #expect(count == json.text.split(separator: "\n").count)
        #expect(throws: InvalidInput.self) { try json.write(to: folder + "/absent/result.json") }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [name])
    }
}

@Suite struct RequestsCSVTests {
    @Test(arguments: ["requests.csv", "requests.csv.zst"])
    func `a row per request reads back exactly`(name: String) throws {
        let path =
            FileManager.default.temporaryDirectory.path + "/stepcast-\(UInt64.random(in: 0...(.max)))-\(name)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        var records = smallRecords()
        records[0].finished += 1
        records[3].outputTokens = 5
        var file = try RequestsCSVWriter(path: path)
        for record in records { file.append(record) }
        try file.finish()

        var reader = try CSVReader(path: path)
        let columns = reader.header
        #expect(columns.first == "request" && columns.last == "e2el_ms" && columns.count == 15)
        var rows: [[String]] = []
        while try reader.next() { rows.append(columns.indices.map { reader.string($0) }) }
        #expect(
            rows[0] == [
                "0", "completed", "1", "1", "1.001", "1.5", "2.500000001", "100", "32", "11", "0", "0", "500",
                "100.0000001", "1500.000001",
            ])
        #expect(rows[2][13].isEmpty && rows[2][14] == "500")
        #expect(
            rows[3] == ["3", "timed_out", "4", "4", "", "", "5", "100", "32", "5", "0", "0", "", "", "1000"])
    }
}
