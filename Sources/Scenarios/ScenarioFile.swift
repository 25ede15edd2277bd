import ByteStreams
import Catalog
import LatencyOracle
import ServingCore
import Simulation
import Workload

/// A scenario as it is written: a tree of names and values under which vLLM's flags keep their names.
///
/// Dashes and underscores mean the same. Later settings win: the file, then `--set path=value`, then flags.
public struct ScenarioFile: Sendable {
    var root: [String: ConfigValue]
    let source: String
    let folder: String

    /// Names beside vLLM's flags.
    static let ownKeys = [
        "gpu", "replicas", "router", "engine-version", "vllm-serve", "vllm-config", "workload", "trace",
        "request-rate",
        "burstiness",
        "max-concurrency", "num-prompts", "random-input-len", "random-output-len", "random-range-ratio",
        "random-prefix-len", "limit", "rate-scale", "client-timeout", "equal-lengths-share", "oracle",
        "latency",
        "uncertainty", "seed", "goodput", "warmup-requests", "warmup-seconds", "percentiles", "duration",
        "exact-steps",
        "host-memory",
    ]

    /// A scenario without any setting.
    public init() {
        root = [:]
        source = "--set"
        folder = ""
    }

    /// Reads a YAML or JSON file.
    /// - Throws: `InvalidInput` when it cannot be read or is no mapping.
    public init(contentsOf path: String) throws {
        let bytes = try readWholeFile(path, limit: 1 << 26)
        let value = try ConfigValue.parse(yaml: String(decoding: bytes, as: UTF8.self), source: path)
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        try self.init(value, source: path, folder: folder)
    }

    /// A tree that has been read already.
    /// - Parameters:
    ///   - source: what messages call it.
    ///   - folder: with a slash at its end; paths of traces are relative to it.
    /// - Throws: `InvalidInput` when it is no mapping, or has a name twice.
    public init(_ value: ConfigValue, source: String, folder: String) throws {
        guard case .object(let members) = value else {
            throw InvalidInput(
                source: source, "is not a mapping of names to values", accepted: "a scenario in YAML")
        }
        self.source = source
        self.folder = folder
        root = [:]
        for key in members.keys.sorted() {
            let name = Self.normalized(key)
            if root[name] != nil { throw InvalidInput(source: source, field: key, "is given twice") }
            root[name] = members[key]
        }
    }

    /// Applies one `path=value`, such as `max-num-seqs=64` or `workload.arrivals.rate=10`.
    /// - Throws: `InvalidInput` when it has another form or the path leads through a plain value.
    public mutating func set(_ assignment: String) throws {
        guard let equals = assignment.firstIndex(of: "="), equals != assignment.startIndex else {
            throw InvalidInput(
                .usage, field: "--set", value: assignment, "is no assignment", accepted: "PATH=VALUE")
        }
        let keys = assignment[..<equals].split(separator: ".", omittingEmptySubsequences: false).map(
            String.init)
        let text = String(assignment[assignment.index(after: equals)...])
        let value = try ConfigValue.parse(yaml: text, source: "--set \(assignment)")
        try set(path: keys, to: value, assignment)
    }

    /// Sets the value at a path of keys; messages call it `assignment`.
    mutating func set(path: [String], to value: ConfigValue, _ assignment: String) throws {
        let key = Self.normalized(path[0])
        root[key] = try Self.replacing(root[key], path.dropFirst(), by: value, assignment)
    }

    private static func replacing(
        _ old: ConfigValue?, _ keys: ArraySlice<String>, by value: ConfigValue, _ assignment: String
    ) throws -> ConfigValue {
        guard let key = keys.first else { return value }
        var members: [String: ConfigValue] = [:]
        switch old {
        case .object(let existing): members = existing
        case nil, .null: break
        case .array(let items):
            guard let index = Int(key), items.indices.contains(index) else {
                throw InvalidInput(
                    .usage, field: "--set", value: assignment, "names no element of the list",
                    accepted: "an index from 0 to \(items.count - 1)")
            }
            var items = items
            items[index] = try replacing(items[index], keys.dropFirst(), by: value, assignment)
            return .array(items)
        default:
            throw InvalidInput(
                .usage, field: "--set", value: assignment, "leads through a plain value",
                accepted: "a path of keys")
        }
        let same = members.keys.sorted().first { normalized($0) == normalized(key) } ?? key
        members[same] = try replacing(members[same], keys.dropFirst(), by: value, assignment)
        return .object(members)
    }

    static func normalized(_ key: String) -> String {
        var key = key
        while key.hasPrefix("-") { key.removeFirst() }
        return String(key.map { $0 == "_" ? "-" : $0 })
    }

    // MARK: Interpretation

    /// The scenario that the tree describes.
    /// - Throws: `InvalidInput` naming file and key for unknown names (with the nearest known one) and values that
    ///   cannot be used.
    public func scenario() throws -> Scenario {
        var scenario = Scenario()
        var engine = EngineConfiguration()
        if let path = try text("vllm-config") { engine = try EngineConfiguration(yamlFile: relative(path)) }
        if let line = try text("vllm-serve") {
            engine.override(with: try EngineConfiguration(serveCommand: line))
        }
        var flags = EngineConfiguration()
        for key in root.keys.sorted() where !Self.ownKeys.contains(key) {
            guard EngineConfiguration.isArgument(key) else { throw unknown(key) }
            try flags.set(key, to: root[key]!, source: source)
        }
        engine.override(with: flags)
        scenario.engine = engine
        scenario.gpu = try text("gpu")
        if let replicas = try whole("replicas", 1...Scenario.mostReplicas) { scenario.replicas = replicas }
        if let router = try text("router") { scenario.router = try RoutingPolicy(parsing: router) }
        if let version = try text("engine-version") {
            scenario.engineVersion = try EngineVersion(parsing: version)
        }
        try readLoad(into: &scenario)
        if let oracle = try text("oracle") { scenario.oracle = oracle }
        if let latency = try text("latency") { scenario.latency = try LatencyMode(parsing: latency) }
        if let count = try whole("uncertainty", 0...Scenario.mostUncertaintyReruns) {
            scenario.uncertaintyReruns = count
        }
        if let seed = try whole("seed", 0...Int.max) { scenario.seed = UInt64(seed) }
        if let limits = root["goodput"] {
            scenario.objectives = try ServiceLevelObjectives(parsing: pairs(limits, key: "goodput"))
        }
        if let count = try whole("warmup-requests", 0...Int.max) { scenario.warmUp = .requests(count) }
        if let seconds = try number("warmup-seconds", 0...1e9) {
            scenario.warmUp = .time(Ticks(seconds: seconds))
        }
        if let values = root["percentiles"] {
            scenario.percentiles = try numbers(values, key: "percentiles", 0...100)
        }
        scenario.horizon = try number("duration", 0...1e9)
        scenario.hostMemory = try number("host-memory", 0...1e9).map { $0 * 1_073_741_824 }
        if case .bool(let value)? = root["exact-steps"] { scenario.exactSteps = value }
        return scenario
    }

    private func readLoad(into scenario: inout Scenario) throws {
        scenario.loadRequest.requestRate = try number("request-rate", 0...Double.infinity)
        scenario.loadRequest.burstiness = try number("burstiness", 0...Double.infinity)
        scenario.loadRequest.maxConcurrency = try whole("max-concurrency", 1...Int.max)
        scenario.loadRequest.numPrompts = try whole("num-prompts", 1...Int.max)
        scenario.loadRequest.limit = try whole("limit", 1...Int.max)
        scenario.loadRequest.rateScale = try number("rate-scale", 0...Double.infinity)
        scenario.clientTimeout = try number("client-timeout", 0...1e9)
        var lengths = Scenario.RandomLengths()
        if let value = try whole("random-input-len", 0...Int.max) { lengths.inputLength = value }
        if let value = try whole("random-output-len", 1...Int.max) { lengths.outputLength = value }
        if let value = try number("random-range-ratio", 0...1) { lengths.rangeRatio = value }
        if let value = try whole("random-prefix-len", 0...Int.max) { lengths.prefixLength = value }
        scenario.load = .random(lengths)
        if let workload = root["workload"] {
            switch workload {
            case .string(let name):
                scenario.load = .workload(name)
            case .object:
                scenario.load = .specification(yaml: workload.json, source: "\(source): workload")
            default: throw wrong("workload", "a name, a path or a specification")
            }
        }
        if let path = try text("trace") {
            guard root["workload"] == nil else {
                throw InvalidInput(
                    source: source, field: "trace", "doesn't go with workload", accepted: "one of the two")
            }
            var options = TraceOptions()
            if case .bool(let value)? = root["equal-lengths-share"] { options.equalLengthsShare = value }
            scenario.load = .trace(path: relative(path), options: options)
        }
    }

    func relative(_ path: String) -> String { path.hasPrefix("/") ? path : folder + path }

    // MARK: Values

    private func unknown(_ key: String) -> InvalidInput { Self.unknown(key, key, source: source) }

    private func wrong(_ key: String, _ accepted: String) -> InvalidInput {
        InvalidInput(source: source, field: key, value: root[key]?.json, "cannot be used", accepted: accepted)
    }

    private func text(_ key: String) throws -> String? {
        switch root[key] {
        case nil, .null: return nil
        case .string(let value): return value
        case .integer(let value): return String(value)
        case .number(let value): return String(value)
        default: throw wrong(key, "text")
        }
    }

    private func number(_ key: String, _ range: ClosedRange<Double>) throws -> Double? {
        let value: Double?
        switch root[key] {
        case nil, .null: return nil
        case .integer(let whole): value = Double(whole)
        case .number(let number): value = number
        case .string(let text): value = text == "inf" ? .infinity : Double(text)
        default: value = nil
        }
        guard let value, range.contains(value) else {
            throw wrong(key, "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    private func whole(_ key: String, _ range: ClosedRange<Int>) throws -> Int? {
        switch root[key] {
        case nil, .null: return nil
        case .integer(let value) where range.contains(value): return value
        default:
            let end = range.upperBound == .max ? "a whole number of at least \(range.lowerBound)" : "\(range)"
            throw wrong(key, end)
        }
    }

    private func numbers(_ value: ConfigValue, key: String, _ range: ClosedRange<Double>) throws -> [Double] {
        guard case .array(let items) = value, !items.isEmpty else { throw wrong(key, "a list of numbers") }
        return try items.map { item in
            switch item {
            case .integer(let whole) where range.contains(Double(whole)): return Double(whole)
            case .number(let number) where range.contains(number): return number
            default: throw wrong(key, "a list of numbers from \(range.lowerBound) to \(range.upperBound)")
            }
        }
    }

    /// `{ttft: 500}` or `[ttft:500]` or `ttft:500 tpot:50` as `NAME:VALUE` pairs.
    private func pairs(_ value: ConfigValue, key: String) throws -> [String] {
        switch value {
        case .string(let text): return text.split(separator: " ").map(String.init)
        case .array(let items):
            return try items.map { item in
                guard case .string(let text) = item else { throw wrong(key, "NAME:MILLISECONDS pairs") }
                return text
            }
        case .object(let members):
            return try members.keys.sorted().map { name in
                switch members[name] {
                case .integer(let value)?: return "\(name):\(value)"
                case .number(let value)?: return "\(name):\(value)"
                default: throw wrong(key, "milliseconds for ttft, tpot and e2el")
                }
            }
        default: throw wrong(key, "milliseconds for ttft, tpot and e2el")
        }
    }
}

extension LatencyMode {
    /// Reads `mean`, `median`, `sample` or a percentile such as `p90`.
    /// - Throws: `InvalidInput` of kind `usage` for anything else.
    public init(parsing text: String) throws {
        switch text {
        case "mean": self = .mean
        case "median": self = .median
        case "sample": self = .sample
        default:
            guard text.hasPrefix("p"), let percent = Double(text.dropFirst()), percent > 0, percent < 100
            else {
                throw InvalidInput(
                    .usage, field: "--latency", value: text, "is not a way to take a step's time",
                    accepted: "mean, median, sample, or a percentile such as p90")
            }
            self = .quantile(percent / 100)
        }
    }
}
