import ServingCore

extension WorkloadSpecification {
    /// Parts of an inference-perf profile that are about how to measure, not about the load.
    private static let ignored = [
        "api", "server", "metrics", "report", "storage", "tokenizer", "circuit_breakers", "otel",
    ]

    /// Reads a profile of inference-perf: `data.shared_prefix` (prompts that recur in shuffled turns), or `random`
    /// and `synthetic` data, under a `load` of constant or Poisson stages, each of which gets rate times duration
    /// requests (inference_perf/config and datagen/shared_prefix_datagen.py).
    init(inferencePerf root: YAMLFields, warnings: inout [String]) throws {
        try root.check(known: ["data", "load"] + Self.ignored)
        name = "inference-perf"
        numPrompts = nil
        guard
            let data = try root.fields(
                "data",
                known: [
                    "type", "shared_prefix", "input_distribution", "output_distribution", "path",
                ])
        else { throw root.failure("data", "is missing", accepted: "data.shared_prefix") }
        let kinds = ["shared_prefix", "random", "synthetic"]
        let type = try data.choice("type", of: kinds) ?? "shared_prefix"
        var requests = RequestClass()
        if type == "shared_prefix" {
            guard let shared = try data.fields("shared_prefix") else {
                throw data.failure("shared_prefix", "is missing", accepted: "the shared prefixes")
            }
            requests = try Self.sharedPrefix(shared, warnings: &warnings)
        } else {
            for (key, isInput) in [("input_distribution", true), ("output_distribution", false)] {
                guard let lengths = try data.distribution(key, .tokens, also: ["total_count"]) else {
                    throw data.failure(key, "is missing", accepted: "min, max, mean, std_dev")
                }
                if isInput { requests.inputLength = lengths } else { requests.outputLength = lengths }
            }
        }
        classes = [requests]
        guard let load = try root.fields("load") else {
            throw root.failure("load", "is missing", accepted: "type and stages")
        }
        try readLoad(load)
    }

    private static func sharedPrefix(
        _ shared: YAMLFields, warnings: inout [String]
    ) throws -> RequestClass {
        try shared.check(known: [
            "num_groups", "num_unique_system_prompts", "num_prompts_per_group", "num_users_per_system_prompt",
            "system_prompt_len", "question_len", "output_len", "enable_multi_turn_chat", "seed",
        ])
        var prefix = SharedPrefix()
        let limit = 1...SharedPrefix.mostPrompts
        prefix.groups =
            try shared.whole("num_groups", in: limit) ?? shared.whole("num_unique_system_prompts", in: limit)
            ?? 10
        let perGroup = 1...(SharedPrefix.mostPrompts / prefix.groups)
        prefix.questionsPerGroup =
            try shared.whole("num_prompts_per_group", in: perGroup)
            ?? shared.whole("num_users_per_system_prompt", in: perGroup) ?? 10
        prefix.popularity = .roundRobin
        prefix.length =
            try shared.distribution("system_prompt_len", .prefixTokens, also: ["total_count"])
            ?? .constant(100)
        var requests = RequestClass()
        requests.sharedPrefix = prefix
        requests.inputLength =
            try shared.distribution("question_len", .tokens, also: ["total_count"]) ?? .constant(50)
        requests.outputLength =
            try shared.distribution("output_len", .tokens, also: ["total_count"]) ?? .constant(50)
        if try shared.boolean("enable_multi_turn_chat") == true {
            warnings.append(
                "\(shared.source): \(shared.full("enable_multi_turn_chat")): prompts recur as they are; contexts that "
                    + "grow from turn to turn are not simulated")
        }
        return requests
    }

    private mutating func readLoad(_ load: YAMLFields) throws {
        let type = try load.choice("type", of: ["constant", "poisson", "concurrent"]) ?? "constant"
        try load.check(known: [
            "type", "stages", "interval", "num_workers", "worker_max_concurrency",
            "worker_max_tcp_connections",
            "request_timeout", "base_seed",
        ])
        clientTimeout = try load.number("request_timeout", in: 1e-9...1e9, accepted: "seconds above 0")
        guard let nodes = try load.list("stages") else {
            throw load.failure("stages", "is missing", accepted: "a list of rate and duration")
        }
        guard type == "concurrent" else {
            arrivals = ArrivalProcess(
                gaps: type == "poisson" ? .poisson : .constant,
                rate: .stages(try Self.stages(nodes, load)), normalized: true)
            return
        }
        guard nodes.count == 1 else {
            throw load.failure(
                "stages", "has \(nodes.count) entries", accepted: "one stage when type is concurrent")
        }
        let stage = try YAMLFields(
            nodes[0], path: "load.stages[0]", source: load.source,
            known: ["num_requests", "concurrency_level"])
        arrivals = ArrivalProcess(rate: .infinite)
        numPrompts = try stage.whole("num_requests", in: 1...ValueRange.mostRequests)
        maxConcurrency = try stage.whole("concurrency_level", in: 1...Int(Int32.max))
        if numPrompts == nil {
            throw stage.failure("num_requests", "is missing", accepted: "a number of requests")
        }
    }
}
