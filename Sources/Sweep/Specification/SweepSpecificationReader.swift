import ByteStreams
import Catalog
import Scenarios
import ServingCore

extension SweepSpecification {
    /// Reads a specification in YAML.
    /// - Throws: `InvalidInput` naming file and key for unknown names (with the nearest known one), values that cannot be
    ///   used, and limits that contradict each other.
    public init(contentsOf path: String) throws {
        let bytes = try readWholeFile(path, limit: 1 << 26)
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        try self.init(yaml: String(decoding: bytes, as: UTF8.self), source: path, folder: folder)
    }

    /// Reads a specification from text.
    /// - Parameter folder: with a slash at its end; paths in it are relative to it.
    /// - Throws: as `init(contentsOf:)`.
    public init(yaml: String, source: String, folder: String = "") throws {
        let reader = try SpecificationReader(yaml: yaml, source: source, folder: folder)
        try reader.checkKeys()
        name = try reader.text("name") ?? reader.fileStem
        description = try reader.text("description") ?? ""
        self.source = source
        self.folder = folder
        base = try reader.base()
        axes = try AxisReader(reader).axes()
        conditions = try reader.conditions()
        sampling = try reader.sampling()
        search = try reader.search()
        constraints = try reader.constraints()
        prices = try reader.prices()
        targetRate = try reader.number("target-rate", above: 0)
        if let objective = reader.value("objective") {
            self.objective = try Objective(objective, source: source)
        } else if case .highestRate = search {
            objective = Objective(
                metric: try Metric(parsing: "max_request_rate", source: nil, field: "objective"),
                isMaximized: true)
        } else {
            objective = .throughputPerGPU
        }
        selfContained = reader.selfContained(name: name, base: base, prices: prices)
        try checkTogether()
    }

    private func checkTogether() throws {
        func wrong(_ field: String, _ value: String? = nil, _ problem: String, _ accepted: String)
            -> InvalidInput
        {
            InvalidInput(source: source, field: field, value: value, problem, accepted: accepted)
        }
        if sampling == nil, let axis = axes.first(where: { $0.continuous != nil }) {
            throw wrong(
                "axes.\(axis.name)", nil, "is a range without steps",
                "step or count in it, or sample: {count: N}")
        }
        let used = constraints.map(\.metric) + [objective.metric]
        for metric in used {
            if metric.name.hasPrefix("cost_"), prices.isEmpty {
                throw wrong(
                    "prices", metric.name, "needs prices", "prices: {ACCELERATOR: price per GPU and hour}")
            }
            if metric.name == "gpus_for_target_rate", targetRate == nil {
                throw wrong("target-rate", metric.name, "needs a rate", "target-rate: requests per second")
            }
            if ["request_goodput", "good_share", "request_goodput_per_gpu"].contains(metric.name),
                base.value(at: "goodput") == nil,
                !axes.contains(where: { $0.fields.contains("goodput") })
            {
                throw wrong(
                    "base.goodput", metric.name, "needs limits", "goodput: {ttft: MS, tpot: MS, e2el: MS}")
            }
        }
        if case .highestRate(let rates) = search {
            guard !constraints.isEmpty else {
                throw wrong(
                    "constraints", nil, "is missing: without limits every rate holds", "p99_ttft_ms <= 500")
            }
            guard !axes.contains(where: { $0.fields.contains(rates.field) }) else {
                throw wrong("axes.\(rates.field)", nil, "is what the search varies", "another axis")
            }
        } else if used.contains(where: { $0.name == "max_request_rate" }) {
            throw wrong("search", "max_request_rate", "needs another search", "search: highest-rate")
        }
        try Constraint.checkTogether(constraints, source: source)
    }
}

/// Reads the members of a specification other than its axes.
struct SpecificationReader {
    static let keys = [
        "name", "description", "base", "axes", "conditions", "sample", "search", "objective", "constraints",
        "prices", "target-rate",
    ]

    let yaml: String
    let source: String
    let folder: String
    private let members: [String: ConfigValue]

    init(yaml: String, source: String, folder: String) throws {
        self.yaml = yaml
        self.source = source
        self.folder = folder
        guard case .object(let given) = try ConfigValue.parse(yaml: yaml, source: source) else {
            throw InvalidInput(
                source: source, "is not a mapping of names to values", accepted: "a sweep in YAML")
        }
        var members: [String: ConfigValue] = [:]
        for (key, value) in given { members[Self.normalized(key)] = value }
        self.members = members
    }

    static func normalized(_ key: String) -> String { String(key.map { $0 == "_" ? "-" : $0 }) }

    func checkKeys() throws {
        for key in members.keys.sorted() { try check(key, among: Self.keys, field: key) }
    }

    /// Refuses a name that is not known, naming the nearest.
    func check(_ key: String, among known: [String], field: String) throws {
        guard !known.contains(key) else { return }
        let near = nearestName(to: key, among: known).map { "; did you mean \($0)?" } ?? ""
        throw InvalidInput(
            source: source, field: field, "is not a known name" + near,
            accepted: known.joined(separator: ", "))
    }

    var fileStem: String {
        let file = source.split(separator: "/").last.map(String.init) ?? source
        return file.lastIndex(of: ".").map { String(file[..<$0]) } ?? file
    }

    func value(_ key: String) -> ConfigValue? { members[key] == .null ? nil : members[key] }

    func wrong(_ field: String, _ value: ConfigValue?, _ accepted: String) -> InvalidInput {
        InvalidInput(source: source, field: field, value: value?.text, "cannot be used", accepted: accepted)
    }

    func text(_ key: String) throws -> String? {
        guard let value = value(key) else { return nil }
        guard case .string(let text) = value else { throw wrong(key, value, "text") }
        return text
    }

    func number(_ key: String, above least: Double) throws -> Double? {
        guard let value = value(key) else { return nil }
        return try Self.number(value, above: least)
            ?? { throw wrong(key, value, "a number above \(least)") }()
    }

    static func number(_ value: ConfigValue, above least: Double) -> Double? {
        let number: Double
        switch value {
        case .integer(let whole): number = Double(whole)
        case .number(let given): number = given
        default: return nil
        }
        return number > least && number.isFinite ? number : nil
    }

    func object(_ field: String, _ value: ConfigValue, among known: [String]) throws -> [String: ConfigValue]
    {
        guard case .object(let given) = value else { throw wrong(field, value, "names and values") }
        var members: [String: ConfigValue] = [:]
        for (key, value) in given { members[Self.normalized(key)] = value }
        for key in members.keys.sorted() { try check(key, among: known, field: "\(field).\(key)") }
        return members
    }

    /// The specification with everything in it that other files say: a member a line, values in JSON.
    func selfContained(name: String, base: ScenarioFile, prices: [String: Double]) -> String {
        var tree = base
        if case .string? = value("base"), case .string(let trace)? = base.value(at: "trace") {
            try? tree.set("trace", to: .string(absolutePath(base.path(relative: trace))))
        }
        var lines = ["name: " + name.quotedForJSON, "base: " + tree.tree.json]
        if case .object(let axes)? = value("axes") {
            let ordered = ConfigValue.memberNames(yaml: yaml, at: ["axes"])
            let names = ordered.count == axes.count ? ordered : axes.keys.sorted()
            lines.append("axes:")
            lines += names.map { "  \($0.quotedForJSON): \(axes[$0]!.json)" }
        }
        if !prices.isEmpty {
            lines.append("prices: " + ConfigValue.object(prices.mapValues { .number($0) }).json)
        }
        for key in Self.keys where !["name", "base", "axes", "prices"].contains(key) {
            if let value = value(key) { lines.append("\(key): \(value.json)") }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    // MARK: Members

    func base() throws -> ScenarioFile {
        switch value("base") {
        case .string(let path)?:
            return try ScenarioFile(contentsOf: path.hasPrefix("/") ? path : folder + path)
        case .object?:
            let file = try ScenarioFile(value("base")!, source: "\(source): base", folder: folder)
            for name in file.fieldNames where !ScenarioFile.isField(name) {
                throw ScenarioFile.unknown(name, "base.\(name)", source: source)
            }
            return file
        case nil:
            return try ScenarioFile(.object([:]), source: "\(source): base", folder: folder)
        default:
            throw wrong("base", value("base"), "a scenario, or the path of one")
        }
    }

    func conditions() throws -> [Condition] {
        guard let value = value("conditions") else { return [] }
        let items: [ConfigValue]
        if case .array(let list) = value { items = list } else { items = [value] }
        return try items.map { item in
            guard case .string(let text) = item else {
                throw wrong("conditions", item, "text such as tensor-parallel-size * replicas == 8")
            }
            return try Condition(text, source: source, field: "conditions")
        }
    }

    func constraints() throws -> [Constraint] {
        guard let value = value("constraints") else { return [] }
        func text(_ value: ConfigValue, _ field: String) throws -> String {
            switch value {
            case .string(let text): return text
            case .integer(let whole): return "\(whole)"
            case .number(let number): return "\(number)"
            default: throw wrong(field, value, "such as p99_ttft_ms <= 500")
            }
        }
        func named(_ members: [String: ConfigValue]) throws -> [Constraint] {
            try members.sorted { $0.key < $1.key }.map { name, value in
                let field = "constraints.\(name)"
                return try Constraint(
                    name: name, limit: try text(value, field), source: source, field: field)
            }
        }
        switch value {
        case .object(let members): return try named(members)
        case .array(let items):
            return try items.flatMap { item -> [Constraint] in
                if case .object(let members) = item { return try named(members) }
                return [
                    try Constraint(parsing: text(item, "constraints"), source: source, field: "constraints")
                ]
            }
        default:
            return [try Constraint(parsing: text(value, "constraints"), source: source, field: "constraints")]
        }
    }

    func prices() throws -> [String: Double] {
        guard let value = value("prices") else { return [:] }
        var members: [String: ConfigValue]
        switch value {
        case .object(let given): members = given
        case .string(let path):
            let file = path.hasPrefix("/") ? path : folder + path
            guard case .object(let given) = try ConfigValue.read(file: file) else {
                throw InvalidInput(source: file, "is not a mapping of accelerators to prices")
            }
            members = given
        default:
            throw wrong("prices", value, "accelerators and their prices per hour, or the path of such a file")
        }
        return try members.reduce(into: [:]) { prices, member in
            guard let price = Self.number(member.value, above: 0) else {
                throw wrong("prices.\(member.key)", member.value, "a number above 0")
            }
            prices[member.key] = price
        }
    }

    func sampling() throws -> Sampling? {
        guard let value = value("sample") else { return nil }
        let members = try object("sample", value, among: ["method", "count", "seed"])
        guard case .integer(let count)? = members["count"],
            (1...ConfigurationSpace.mostConfigurations).contains(count)
        else {
            throw wrong(
                "sample.count", members["count"],
                "a whole number from 1 to \(ConfigurationSpace.mostConfigurations)")
        }
        var sampling = Sampling(method: .random, count: count, seed: 0)
        if let method = members["method"] {
            guard case .string(let text) = method,
                let known = Sampling.Method(rawValue: Self.normalized(text))
            else {
                throw wrong("sample.method", method, "random or latin-hypercube")
            }
            sampling.method = known
        }
        if let seed = members["seed"] {
            guard case .integer(let whole) = seed, whole >= 0 else {
                throw wrong("sample.seed", seed, "a whole number of at least 0")
            }
            sampling.seed = UInt64(whole)
        }
        return sampling
    }

    func search() throws -> Search {
        guard let value = value("search") else { return .grid }
        let names = ["grid", "successive-halving", "highest-rate"]
        if case .string(let text) = value { return try search(Self.normalized(text), [:], names) }
        let known = [
            "method", "reduction", "first-requests", "group-size", "field", "from", "lowest", "highest",
            "tolerance",
        ]
        var members = try object("search", value, among: known)
        guard case .string(let method)? = members.removeValue(forKey: "method") else {
            throw wrong("search.method", nil, names.joined(separator: ", "))
        }
        return try search(Self.normalized(method), members, names)
    }

    private func search(_ method: String, _ members: [String: ConfigValue], _ names: [String]) throws
        -> Search
    {
        func positive(_ key: String, above least: Double = 0) throws -> Double? {
            guard let value = members[key] else { return nil }
            guard let number = Self.number(value, above: least) else {
                throw wrong("search.\(key)", value, "a number above \(NumberText.short(least))")
            }
            return number
        }
        func whole(_ key: String, from least: Int) throws -> Int? {
            guard let value = members[key] else { return nil }
            guard case .integer(let number) = value, number >= least else {
                throw wrong("search.\(key)", value, "a whole number of at least \(least)")
            }
            return number
        }
        func checkNames(_ known: [String]) throws {
            for key in members.keys.sorted() { try check(key, among: known, field: "search.\(key)") }
        }
        switch method {
        case "grid":
            try checkNames([])
            return .grid
        case "successive-halving":
            try checkNames(["reduction", "first-requests", "group-size"])
            var halving = Search.Halving()
            halving.reduction = try positive("reduction", above: 1) ?? halving.reduction
            halving.firstRequests = try whole("first-requests", from: 20)
            halving.groupSize = try whole("group-size", from: 2) ?? halving.groupSize
            return .successiveHalving(halving)
        case "highest-rate":
            try checkNames(["field", "from", "lowest", "highest", "tolerance"])
            var rates = Search.RateSearch()
            if let field = members["field"] {
                guard case .string(let name) = field,
                    ["request-rate", "rate-scale"].contains(Self.normalized(name))
                else { throw wrong("search.field", field, "request-rate or rate-scale") }
                rates.field = Self.normalized(name)
            }
            rates.lowest = try positive("lowest") ?? rates.lowest
            rates.highest = try positive("highest", above: rates.lowest) ?? rates.highest
            rates.from = try positive("from") ?? rates.from
            rates.from = min(max(rates.from, rates.lowest), rates.highest)
            rates.tolerance = try positive("tolerance") ?? rates.tolerance
            guard rates.tolerance >= 1e-6, rates.tolerance <= 0.5 else {
                throw wrong("search.tolerance", members["tolerance"], "a share from 0.000001 to 0.5")
            }
            return .highestRate(rates)
        default:
            try check(method, among: names, field: "search")
            return .grid
        }
    }
}
