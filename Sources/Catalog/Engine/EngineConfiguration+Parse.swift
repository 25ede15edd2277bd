import ServingCore

extension EngineConfiguration {
    /// Reads a command line as one pastes it: `vllm serve MODEL --flag value …`, or `python -m
    /// vllm.entrypoints.openai.api_server …`, with environment assignments in front, quotes and continued lines.
    /// A `--config FILE` in it is read first; flags override it.
    /// - Throws: `InvalidInput` as `set` does, and for text that isn't such a command.
    public init(serveCommand line: String) throws {
        self.init()
        var words = try shellWords(line)[...]
        while let word = words.first, word != "vllm" && !word.hasSuffix("/vllm") {
            if word == "-m", let module = words.dropFirst().first, module.hasPrefix("vllm.entrypoints.") {
                break
            }
            if word.hasPrefix("vllm/vllm-openai") || word.contains("/vllm-openai:") { break }
            if let equals = word.firstIndex(of: "="),
                word[..<equals].allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" })
            {
                withoutEffect.append(String(word[..<equals]))
            }
            words.removeFirst()
        }
        guard let launcher = words.popFirst() else {
            throw InvalidInput(
                .usage, field: "vllm serve", value: String(line.prefix(60)), "is not a vLLM command line",
                accepted: "vllm serve MODEL [--flag value …]")
        }
        if launcher == "-m" {
            words.removeFirst()
        } else if launcher == "vllm" || launcher.hasSuffix("/vllm") {
            guard words.popFirst() == "serve" else {
                throw InvalidInput(
                    .usage, field: "vllm", "only the command serve is known",
                    accepted: "vllm serve MODEL [--flag value …]")
            }
        }
        try parse(arguments: Array(words))
    }

    /// Reads vLLM's arguments as a shell hands them over: `MODEL --flag value --flag=value -tp 2 --no-flag`.
    /// - Throws: `InvalidInput` as `set` does, for a missing value and for an extra word.
    public init(arguments: [String]) throws {
        self.init()
        try parse(arguments: arguments)
    }

    /// Reads the YAML file of `vllm serve --config`: flag names with dashes or underscores, one per key.
    /// - Throws: `InvalidInput` as `set` does, naming the file.
    public init(yamlFile path: String) throws {
        try self.init(yaml: try ConfigValue.read(file: path), source: path)
    }

    /// Reads the parsed content of such a file.
    public init(yaml value: ConfigValue, source: String) throws {
        self.init()
        if value == .null { return }
        let reader = try ConfigReader(value, source: source)
        for name in reader.fields.keys.sorted() {
            let key = name == "model_tag" || name == "model-tag" ? "model" : name
            try set(key, to: reader.fields[name]!, source: source)
        }
    }

    private mutating func parse(arguments: [String]) throws {
        var fromFile: EngineConfiguration?
        var given = EngineConfiguration()
        var rest = arguments[...]
        while let word = rest.popFirst() {
            guard word.hasPrefix("-"), word.count > 1, !word.dropFirst().first!.isNumber else {
                guard given.model == nil else {
                    throw InvalidInput(
                        .usage, field: "vllm serve", value: word, "is one word too many",
                        accepted: "one model")
                }
                given.model = word
                continue
            }
            if word == "--" { continue }
            var (name, inline) = Self.split(word)
            var negated = false
            var flag = EngineFlag.resolve(name)
            if flag == nil, name.hasPrefix("no_"),
                let positive = EngineFlag.resolve(String(name.dropFirst(3))),
                positive.arity == .none
            {
                flag = positive
                negated = true
                name = positive.name
            }
            guard let flag else {
                // Says what is wrong and which flag is near.
                try given.set(word.hasPrefix("--") ? "--" + name : name, to: .string(""))
                continue
            }
            let isValue: (String) -> Bool = { !$0.hasPrefix("-") || $0.dropFirst().first?.isNumber == true }
            let value: ConfigValue
            switch flag.arity {
            case .none:
                if inline == nil, let next = rest.first,
                    next == "true" || next == "True" || next == "false" || next == "False"
                {
                    inline = next
                    rest.removeFirst()
                }
                let text = inline?.lowercased() ?? "true"
                guard text == "true" || text == "false" else {
                    throw InvalidInput(.usage, field: word, "takes no value")
                }
                value = .bool((text == "true") != negated)
            case .one:
                if let inline {
                    value = .string(inline)
                } else if let next = rest.first, isValue(next) {
                    rest.removeFirst()
                    value = .string(next)
                } else {
                    throw InvalidInput(.usage, field: word, "has no value")
                }
            case .many:
                var values: [String] = inline.map { [$0] } ?? []
                while inline == nil, let next = rest.first, isValue(next) {
                    values.append(next)
                    rest.removeFirst()
                }
                guard !values.isEmpty else { throw InvalidInput(.usage, field: word, "has no value") }
                value = .string(values.joined(separator: " "))
            }
            if flag.name == "config", case .string(let path) = value {
                fromFile = try EngineConfiguration(yamlFile: path)
                continue
            }
            try given.set(name, to: value)
        }
        if let fromFile { override(with: fromFile) }
        override(with: given)
    }

    /// Name with underscores and the value after `=`; `-O3` and `-tp2` are taken apart.
    private static func split(_ word: String) -> (name: String, inline: String?) {
        var body = word.drop { $0 == "-" }
        var inline: String?
        if let equals = body.firstIndex(of: "=") {
            inline = String(body[body.index(after: equals)...])
            body = body[..<equals]
        } else if word.hasPrefix("-O"), word.count == 3, word.last!.isNumber {
            inline = String(word.last!)
            body = "O"
        }
        return (String(body.map { $0 == "-" ? "_" : $0 }), inline)
    }
}

extension EngineFlag {
    /// The flag that a name on a command line means, abbreviations and dotted keys included.
    static func resolve(_ name: String) -> EngineFlag? {
        let base = name.firstIndex(of: ".").map { String(name[..<$0]) } ?? name
        return named(abbreviations[base] ?? base)
    }
}
