import ByteStreams
import ServingCore
import Yams

extension WorkloadSpecification {
    /// Reads a workload from a YAML (or JSON) file: our own keys, or an inference-perf profile.
    /// - Parameter warnings: gets a line for each part of the file that says nothing to a simulation.
    /// - Throws: `InvalidInput` that names file, line and key path; for an unknown key the nearest known one.
    public init(contentsOf path: String, warnings: inout [String]) throws {
        let bytes = try readWholeFile(path, limit: 64 << 20)
        try self.init(yaml: String(decoding: bytes, as: UTF8.self), source: path, warnings: &warnings)
    }

    /// Reads a workload from YAML text; `source` names it in messages, and files that it mentions are looked for in
    /// the folder of that path.
    public init(yaml: String, source: String, warnings: inout [String]) throws {
        try refuseDeepNesting(yaml, source: source)
        let root = try YAMLFields(composeYAML(yaml, source: source), path: "", source: source)
        if root.has("data") || root.has("api") {
            try self.init(inferencePerf: root, warnings: &warnings)
        } else {
            try self.init(root)
        }
    }

    private static let topKeys = [
        "name", "description", "load", "request_rate", "burstiness", "num_prompts", "duration",
        "max_concurrency", "client_timeout", "classes",
    ]
    private static let classKeys = ["input_len", "output_len", "shared_prefix", "multi_turn", "priority"]

    private init(_ root: YAMLFields) throws {
        try root.check(known: Self.topKeys + Self.classKeys)
        name = try root.string("name") ?? ""
        description = try root.string("description") ?? ""
        arrivals = try Self.arrivals(root)
        numPrompts = try root.whole("num_prompts", in: 1...ValueRange.mostRequests)
        duration = try root.number("duration", in: 1e-9...1e9, accepted: "seconds above 0, at most 1e9")
        maxConcurrency = try root.whole("max_concurrency", in: 1...Int(Int32.max))
        clientTimeout = try root.number(
            "client_timeout", in: 1e-9...1e9, accepted: "seconds above 0, at most 1e9")
        if let nodes = try root.list("classes") {
            for key in Self.classKeys where root.has(key) {
                throw root.failure(key, "doesn't go with classes", accepted: "\(key) in each class")
            }
            guard !nodes.isEmpty, nodes.count <= 65_535 else {
                throw root.failure("classes", "has \(nodes.count) entries", accepted: "1 to 65535 classes")
            }
            classes = []
            for (index, node) in nodes.enumerated() {
                let fields = try YAMLFields(
                    node, path: "classes[\(index)]", source: root.source,
                    known: ["name", "weight"] + Self.classKeys)
                classes.append(try RequestClass(fields))
            }
            guard classes.contains(where: { $0.weight > 0 }) else {
                throw root.failure("classes", "all have weight 0", accepted: "at least one weight above 0")
            }
        } else {
            classes = [try RequestClass(root)]
        }
        try checkEnd(root)
    }

    /// A workload must end, and normalised gaps need to know how many there are.
    private mutating func checkEnd(_ root: YAMLFields) throws(InvalidInput) {
        let ends: Bool
        switch arrivals.rate {
        case .infinite: ends = numPrompts != nil
        case .stages: ends = true
        case .steady:
            ends = numPrompts != nil || duration != nil
            if arrivals.normalized, numPrompts == nil, duration != nil {
                throw root.failure(
                    "num_prompts", "is missing", accepted: "a number of requests, which normalize needs")
            }
        case .bursts, .diurnal: ends = numPrompts != nil || duration != nil
        }
        // The default of vllm bench serve.
        if !ends { numPrompts = 1000 }
    }

    // MARK: Arrivals

    private static let largestRate = 1e9

    private static func arrivals(_ root: YAMLFields) throws -> ArrivalProcess {
        guard
            let load = try root.fields(
                "load",
                known: [
                    "type", "request_rate", "burstiness", "cv", "shape", "stages", "bursts", "diurnal",
                    "normalize",
                ])
        else {
            let gaps = try root.has("burstiness") ? gamma(root) : .poisson
            guard let rate = try Self.rate(root, "request_rate") else {
                if root.has("burstiness") {
                    throw root.failure("request_rate", "is missing", accepted: "requests per second, or inf")
                }
                return ArrivalProcess(rate: .infinite)
            }
            return ArrivalProcess(gaps: gaps, rate: rate.isInfinite ? .infinite : .steady(rate))
        }
        for key in ["request_rate", "burstiness"] where root.has(key) {
            throw root.failure(key, "doesn't go with load", accepted: "load.\(key)")
        }
        let gaps = try gaps(load)
        let rate = try rateProfile(load)
        let normalized = try load.boolean("normalize") ?? false
        if normalized {
            switch rate {
            case .steady, .stages: break
            default:
                throw load.failure(
                    "normalize", "doesn't go with this load", accepted: "a finite request_rate, or stages")
            }
        }
        return ArrivalProcess(gaps: gaps, rate: rate, normalized: normalized)
    }

    private static func gaps(_ load: YAMLFields) throws -> ArrivalProcess.Gaps {
        let type =
            try load.choice("type", of: ["constant", "poisson", "gamma", "weibull"])
            ?? (load.has("burstiness") || load.has("cv")
                ? "gamma" : load.has("shape") ? "weibull" : "poisson")
        let own = ["gamma": ["burstiness", "cv"], "weibull": ["shape"]][type] ?? []
        for key in ["burstiness", "cv", "shape"] where load.has(key) && !own.contains(key) {
            throw load.failure(key, "doesn't go with type \(type)", accepted: own.joined(separator: ", "))
        }
        switch type {
        case "constant": return .constant
        case "gamma": return try gamma(load)
        case "weibull":
            return .weibull(
                shape: try load.requiredNumber("shape", in: 0.05...1e6, accepted: "a number from 0.05 to 1e6")
            )
        default: return .poisson
        }
    }

    private static func gamma(_ fields: YAMLFields) throws -> ArrivalProcess.Gaps {
        if fields.has("cv") {
            if fields.has("burstiness") {
                throw fields.failure("cv", "doesn't go with burstiness", accepted: "one of the two")
            }
            let variation = try fields.requiredNumber("cv", in: 0...30, accepted: "a number from 0 to 30")
            return variation == 0 ? .constant : .gamma(shape: 1 / (variation * variation))
        }
        let shape = try fields.requiredNumber(
            "burstiness", in: ValueRange.smallestShape...Double.infinity,
            accepted: "a number of at least \(ValueRange.smallestShape), or inf")
        return shape.isInfinite ? .constant : .gamma(shape: shape)
    }

    private static func rateProfile(_ load: YAMLFields) throws -> ArrivalProcess.Rate {
        for (index, key) in ["stages", "bursts"].enumerated() where load.has(key) {
            for other in ["request_rate", "diurnal"] + (index == 0 ? ["bursts"] : []) where load.has(other) {
                throw load.failure(other, "doesn't go with \(key)", accepted: "one of the two")
            }
        }
        if let nodes = try load.list("stages") { return .stages(try stages(nodes, load)) }
        if let bursts = try load.fields("bursts", known: ["rate", "on", "base_rate", "off"]) {
            let seconds = "seconds above 0, at most 1e9"
            return .bursts(
                on: .init(
                    rate: try bursts.requiredNumber(
                        "rate", in: ValueRange.smallestRate...largestRate,
                        accepted: "requests per second above 0"),
                    duration: try bursts.requiredNumber("on", in: 1e-6...1e9, accepted: seconds)),
                off: .init(
                    rate: try bursts.number("base_rate", in: 0...largestRate, accepted: "requests per second")
                        ?? 0,
                    duration: try bursts.requiredNumber("off", in: 1e-6...1e9, accepted: seconds)))
        }
        guard let rate = try Self.rate(load, "request_rate") else {
            throw load.failure(
                "request_rate", "is missing", accepted: "request_rate, stages or bursts")
        }
        guard let wave = try load.fields("diurnal", known: ["amplitude", "period", "peak_at"]) else {
            return rate.isInfinite ? .infinite : .steady(rate)
        }
        guard rate.isFinite else {
            throw load.failure(
                "request_rate", "doesn't go with diurnal", accepted: "the mean rate, a finite number")
        }
        return .diurnal(
            mean: rate,
            amplitude: try wave.requiredNumber("amplitude", in: 0...1, accepted: "a number from 0 to 1"),
            period: try wave.number("period", in: 1e-3...1e9, accepted: "seconds from 0.001 to 1e9")
                ?? 86_400,
            peak: try wave.number("peak_at", in: -1e9...1e9, accepted: "seconds") ?? 0)
    }

    private static func rate(_ fields: YAMLFields, _ key: String) throws -> Double? {
        guard
            let rate = try fields.number(
                key, in: ValueRange.smallestRate...Double.infinity,
                accepted: "requests per second above 0, or inf")
        else { return nil }
        guard rate <= largestRate || rate.isInfinite else {
            throw fields.failure(key, "is out of range", accepted: "requests per second up to 1e9, or inf")
        }
        return rate
    }

    /// `[{rate: 5, duration: 600}, …]`, as in inference-perf.
    static func stages(_ nodes: [Node], _ load: YAMLFields) throws -> [ArrivalProcess.Stage] {
        guard !nodes.isEmpty, nodes.count <= 100_000 else {
            throw load.failure("stages", "has \(nodes.count) entries", accepted: "1 to 100000 stages")
        }
        var stages: [ArrivalProcess.Stage] = []
        for (index, node) in nodes.enumerated() {
            let stage = try YAMLFields(
                node, path: "\(load.full("stages"))[\(index)]", source: load.source,
                known: ["rate", "duration"])
            stages.append(
                .init(
                    rate: try stage.requiredNumber(
                        "rate", in: 0...largestRate, accepted: "requests per second of at least 0"),
                    duration: try stage.requiredNumber(
                        "duration", in: 1e-6...1e9, accepted: "seconds above 0, at most 1e9")))
        }
        guard stages.contains(where: { $0.rate > 0 }) else {
            throw load.failure("stages", "all have rate 0", accepted: "at least one rate above 0")
        }
        return stages
    }
}

extension RequestClass {
    fileprivate init(_ fields: YAMLFields) throws {
        name = try fields.path.isEmpty ? "" : fields.string("name") ?? ""
        weight =
            try fields.path.isEmpty
            ? 1 : fields.number("weight", in: 0...1e12, accepted: "a number of at least 0") ?? 1
        guard let input = try fields.distribution("input_len", .tokens) else {
            throw fields.failure("input_len", "is missing", accepted: "a number or a distribution of tokens")
        }
        guard let output = try fields.distribution("output_len", .tokens) else {
            throw fields.failure("output_len", "is missing", accepted: "a number or a distribution of tokens")
        }
        inputLength = input
        outputLength = output
        if let prefix = try fields.fields("shared_prefix", known: SharedPrefix.keys) {
            sharedPrefix = try SharedPrefix(prefix)
        }
        if let turns = try fields.fields(
            "multi_turn", known: ["turns", "think_time", "max_context_len"])
        {
            multiTurn = try MultiTurn(turns)
            if sharedPrefix?.questionsPerGroup != nil {
                throw fields.failure(
                    "multi_turn", "doesn't go with num_prompts_per_group",
                    accepted: "one of the two: recurring prompts or conversations")
            }
        }
        if let weights = try fields.fields("priority") {
            for (priority, weight) in try weights.numberPairs() {
                guard let whole = Int(exactly: priority), abs(priority) <= 2_147_483_647, weight >= 0 else {
                    throw weights.failure(
                        "holds \(priority): \(weight)",
                        accepted: "whole priorities with weights of at least 0")
                }
                priorities[whole] = weight
            }
            guard priorities.values.contains(where: { $0 > 0 }) else {
                throw fields.failure("priority", "has no weight above 0", accepted: "priority: weight pairs")
            }
        }
    }
}

extension SharedPrefix {
    static let keys = ["num_groups", "prefix_len", "num_prompts_per_group", "popularity", "zipf_exponent"]
    /// Most prompts of which a shuffled order is kept.
    static let mostPrompts = 10_000_000

    fileprivate init(_ fields: YAMLFields) throws {
        groups = try fields.whole("num_groups", in: 1...Self.mostPrompts) ?? 1
        guard let length = try fields.distribution("prefix_len", .prefixTokens) else {
            throw fields.failure("prefix_len", "is missing", accepted: "a number or a distribution of tokens")
        }
        self.length = length
        questionsPerGroup = try fields.whole("num_prompts_per_group", in: 1...(Self.mostPrompts / groups))
        switch try fields.choice("popularity", of: ["uniform", "zipf", "round_robin"]) ?? "uniform" {
        case "zipf":
            popularity = .zipf(
                exponent: try fields.number("zipf_exponent", in: 0...20, accepted: "a number from 0 to 20")
                    ?? 1)
        case "round_robin": popularity = .roundRobin
        default: popularity = .uniform
        }
        if fields.has("zipf_exponent"), try fields.string("popularity") != "zipf" {
            throw fields.failure("zipf_exponent", "needs popularity: zipf", accepted: "popularity: zipf")
        }
    }
}

extension MultiTurn {
    fileprivate init(_ fields: YAMLFields) throws {
        guard let turns = try fields.distribution("turns", .turns) else {
            throw fields.failure("turns", "is missing", accepted: "a number or a distribution of turns")
        }
        self.turns = turns
        if let time = try fields.distribution("think_time", .seconds) { thinkTime = time }
        maxContextLength = try fields.whole("max_context_len", in: 1...Int(Int32.max))
    }
}

/// Refuses text nested so deep that a recursive parser would run out of stack.
private func refuseDeepNesting(_ yaml: String, source: String) throws(InvalidInput) {
    var depth = 0
    var deepest = 0
    var indentation = 0
    var inIndentation = true
    for byte in yaml.utf8 {
        switch byte {
        case UInt8(ascii: "\n"):
            indentation = 0
            inIndentation = true
            continue
        case UInt8(ascii: " ") where inIndentation: indentation += 1
        case UInt8(ascii: "-") where inIndentation, UInt8(ascii: "?") where inIndentation,
            UInt8(ascii: ":") where inIndentation:
            // Block lists may nest on one line: "- - - x".
            indentation += 1
            deepest = max(deepest, indentation / 2)
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            inIndentation = false
            depth += 1
            deepest = max(deepest, depth)
        case UInt8(ascii: "]"), UInt8(ascii: "}"):
            inIndentation = false
            depth = max(0, depth - 1)
        default:
            if inIndentation { deepest = max(deepest, indentation / 2) }
            inIndentation = false
        }
        if deepest > 200 {
            throw InvalidInput(source: source, "is nested too deep", accepted: "at most 200 levels")
        }
    }
}
