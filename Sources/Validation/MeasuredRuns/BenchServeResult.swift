import ByteStreams
import Scenarios
import ServingCore
import Workload

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What `vllm bench serve --save-result` measured.
public struct BenchServeResult: Sendable {
    /// Numbers of the top level by name.
    public var figures: [String: Double]
    /// With `--save-detailed`: when each request that was answered was sent, seconds on any clock.
    public var startTimes: [Double]
    /// With `--save-detailed`: prompt tokens of the same requests.
    public var inputLengths: [Int]
    /// With `--save-detailed`: output tokens of the same requests.
    public var outputLengths: [Int]
    private let source: String

    /// Reads a result file.
    /// - Throws: `InvalidInput` when it is no such file.
    public init(contentsOf path: String) throws {
        source = path
        let bytes = try readWholeFile(path, limit: 1 << 32)
        let file: File
        do { file = try JSONDecoder().decode(File.self, from: Data(bytes)) } catch let error as DecodingError
        {
            throw InvalidInput(error, source: path)
        }
        guard file.numbers["duration"] != nil, file.numbers["completed"] != nil else {
            throw InvalidInput(
                source: path, "is no result of `vllm bench serve`",
                accepted: "JSON with duration and completed")
        }
        figures = file.numbers
        var detailed = (starts: [Double](), inputs: [Int](), outputs: [Int]())
        if file.starts.count == file.inputs.count, file.starts.count == file.outputs.count {
            // Requests that failed have no output.
            for index in file.starts.indices where file.outputs[index] > 0 && file.inputs[index] > 0 {
                detailed.starts.append(file.starts[index])
                detailed.inputs.append(file.inputs[index])
                detailed.outputs.append(file.outputs[index])
            }
        }
        (startTimes, inputLengths, outputLengths) = detailed
    }

    /// The scenario with the load that was measured: the requests themselves where the file has them, otherwise what
    /// the scenario leaves open of rate, concurrency, number and mean lengths.
    ///
    /// - Returns: the scenario, and its requests where they are known one by one.
    /// - Throws: `InvalidInput` for details that cannot be.
    public func load(in scenario: Scenario) throws -> (Scenario, RequestTrace?) {
        var scenario = scenario
        let concurrency = figures["max_concurrency"].flatMap(Self.count)
        if !startTimes.isEmpty {
            var options = TraceOptions()
            options.maxConcurrency = scenario.loadRequest.maxConcurrency ?? concurrency
            let trace = try RequestTrace(
                arrivals: startTimes, promptTokens: inputLengths, outputTokens: outputLengths, source: source,
                options: options)
            return (scenario, trace)
        }
        guard case .random(var lengths) = scenario.load else { return (scenario, nil) }
        let rate = figures["request_rate"]
        scenario.loadRequest.requestRate = scenario.loadRequest.requestRate ?? rate
        scenario.loadRequest.burstiness = scenario.loadRequest.burstiness ?? figures["burstiness"]
        scenario.loadRequest.maxConcurrency = scenario.loadRequest.maxConcurrency ?? concurrency
        scenario.loadRequest.numPrompts =
            scenario.loadRequest.numPrompts ?? figures["num_prompts"].flatMap(Self.count)
        if lengths == Scenario.RandomLengths(), let completed = figures["completed"], completed > 0 {
            if let tokens = figures["total_input_tokens"] {
                lengths.inputLength = Self.count(tokens / completed) ?? lengths.inputLength
            }
            if let tokens = figures["total_output_tokens"] {
                lengths.outputLength = Self.count(tokens / completed) ?? lengths.outputLength
            }
            scenario.load = .random(lengths)
        }
        return (scenario, nil)
    }

    private static func count(_ value: Double) -> Int? {
        value >= 1 && value <= 1e9 ? Int(value.rounded()) : nil
    }

    private struct File: Decodable {
        var numbers: [String: Double] = [:]
        var starts: [Double] = []
        var inputs: [Int] = []
        var outputs: [Int] = []

        private struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init?(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: Key.self)
            for key in values.allKeys {
                switch key.stringValue {
                case "start_times": starts = (try? values.decode([Double].self, forKey: key)) ?? []
                case "input_lens": inputs = (try? values.decode([Int].self, forKey: key)) ?? []
                case "output_lens": outputs = (try? values.decode([Int].self, forKey: key)) ?? []
                case "itls", "ttfts", "generated_texts", "errors", "stepcast": break
                default:
                    if let number = try? values.decode(Double.self, forKey: key) {
                        numbers[key.stringValue] = number
                    }
                }
            }
        }
    }
}
