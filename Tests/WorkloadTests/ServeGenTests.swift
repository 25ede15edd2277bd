import ServingCore
import Testing

@testable import Workload

@Suite struct ServeGenTests {
    private func folder(_ files: [String: String]) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for (name, text) in files { _ = try folder.write(text, as: name) }
        return folder
    }

    private static let good = [
        "chunk-1-trace.csv": "1200,2,1.5,Gamma,0.444,1.1\n1800,0,nan,,,\n2400.0,4.0,0.7,Weibull,1.5,0.3\n",
        "chunk-1-dataset.json":
            #"{"1200": {"input_tokens": "{100: 0.25, 200: 0.75}", "output_tokens": "{7: 1.0}"}, "2400": {"input_tokens": {"5": 1}, "output_tokens": "{1: 0.5, 0: 0.5}", "other": [1]}}"#,
        "chunk-10-trace.csv": "1200,1,1,Exponential,,\n1800,3,1,Gamma,1,1\n",
        "chunk-10-dataset.json": #"{"1200": {"input_tokens": "{50: 1}", "output_tokens": "{9: 1}"}}"#,
        "README.md": "not data",
    ]

    @Test func `a folder's clients send at their rates with their lengths`() throws {
        let folder = try folder(Self.good)
        defer { folder.remove() }
        let stream = try RequestStream(contentsOf: folder.path, seed: 5)
        #expect(stream.count == nil)
        #expect(stream.warnings.count == 1 && stream.warnings[0].contains("1 windows without lengths"))
        let all = try drain(stream)
        #expect(try drain(RequestStream(contentsOf: folder.path, seed: 5)) == all)
        #expect(zip(all, all.dropFirst()).allSatisfy { $0.arrival <= $1.arrival })
        let early = all.filter { $0.arrival < 600 * .perSecond && $0.outputTokens == 7 }
        #expect(abs(Double(early.count) - 1200) < 5 * 1.5 * 34.6)
        #expect(
            abs(Double(early.filter { $0.promptTokens == 100 }.count) / Double(early.count) - 0.25) < 0.07)
        let late = all.filter { $0.arrival >= 1200 * .perSecond }
        #expect(
            abs(Double(late.count) - 2400) < 5 * 49
                && late.allSatisfy { $0.promptTokens == 5 && $0.outputTokens == 1 })
        #expect(all.filter { $0.arrival >= 600 * .perSecond && $0.arrival < 1200 * .perSecond }.isEmpty)
        #expect(abs(Double(all.filter { $0.outputTokens == 9 }.count) - 600) < 125)
    }

    @Test func `limit and rate scale apply`() throws {
        let folder = try folder(Self.good)
        defer { folder.remove() }
        var options = TraceOptions()
        options.limit = 10
        #expect(try drain(RequestStream(contentsOf: folder.path, options: options, seed: 5)).count == 10)
        options.limit = nil
        options.rateScale = 3
        let all = try drain(RequestStream(contentsOf: folder.path, options: options, seed: 5))
        #expect(abs(Double(all.count) - 12_600) < 900)
    }

    @Test(arguments: [
        ("chunk-1-trace.csv", "0,x,1,Gamma,1,1", "chunk-1-trace.csv:1: rate: \"x\""),
        ("chunk-1-trace.csv", "0,1,1,Cauchy,1,1", "chunk-1-trace.csv:1: distribution: \"Cauchy\""),
        (
            "chunk-1-trace.csv", "600,1,1,Gamma,1,1\n0,1,1,Gamma,1,1",
            "chunk-1-trace.csv:2: window start: \"0\""
        ),
        ("chunk-1-trace.csv", "0", "chunk-1-trace.csv:1: has 1 fields"),
        ("chunk-1-trace.csv", "", "holds no window"),
        ("chunk-1-dataset.json", "{\"1200\": ", "chunk-1-dataset.json: is not valid JSON"),
        (
            "chunk-1-dataset.json", #"{"1200": {"input_tokens": "{-5: 1}", "output_tokens": "{1: 1}"}}"#,
            "1200.input_tokens: \"-5: 1\""
        ),
        (
            "chunk-1-dataset.json", #"{"1200": {"input_tokens": "{5: nan}", "output_tokens": "{1: 1}"}}"#,
            "1200.input_tokens"
        ),
    ])
    func `bad folders are refused`(file: String, text: String, part: String) throws {
        var files = Self.good.filter { !$0.key.hasPrefix("chunk-10") }
        files[file] = text
        let folder = try folder(files)
        defer { folder.remove() }
        let message = complaint { _ = try RequestStream(contentsOf: folder.path, seed: 1) }
        #expect(message.contains(part), "\(message)")
    }

    @Test func `a folder without chunks is refused`() throws {
        let folder = try folder(["a.txt": ""])
        defer { folder.remove() }
        #expect(
            complaint { _ = try RequestStream(contentsOf: folder.path, seed: 1) }.contains(
                "chunk-N-trace.csv"))
    }
}
