import Catalog
import Scenarios
import ServingCore

/// Reads the axes of a specification.
struct AxisReader {
    private let reader: SpecificationReader
    private var source: String { reader.source }
    /// More values than anyone means to list.
    private static let mostValues = 100_000

    init(_ reader: SpecificationReader) { self.reader = reader }

    /// The axes in the order of the text.
    func axes() throws -> [Axis] {
        guard let value = reader.value("axes") else { return [] }
        guard case .object(let members) = value else {
            throw reader.wrong("axes", value, "fields and their values")
        }
        let ordered = ConfigValue.memberNames(yaml: reader.yaml, at: ["axes"])
        let names = ordered.count == members.count ? ordered : members.keys.sorted()
        var fields: [String: String] = [:]
        return try names.map { name in
            let axis = try axis(name, members[name]!)
            for field in axis.fields {
                if let other = fields[field] {
                    throw InvalidInput(
                        source: source, field: "axes.\(name)", value: field,
                        "is set by the axis \(other), too",
                        accepted: "one axis for a field")
                }
                fields[field] = name
            }
            return axis
        }
    }

    private func axis(_ name: String, _ value: ConfigValue) throws -> Axis {
        let isField = ScenarioFile.isField(name)
        let items: [ConfigValue]
        switch value {
        case .array(let list): items = list
        case .object(let members)
        where members["from"] != nil || members["range"] != nil || members["values"] != nil:
            guard isField else { throw ScenarioFile.unknown(name, "axes.\(name)", source: source) }
            return try range(name, members)
        case .object where !isField: items = [value]
        case .null: items = []
        default: items = [value]
        }
        guard !items.isEmpty else {
            throw InvalidInput(
                source: source, field: "axes.\(name)", "has no values, so the grid is empty",
                accepted: "at least one value")
        }
        if isField {
            let field = ScenarioFile.canonicalField(name)
            let values = items.map { Axis.Value(label: $0, assignments: [.init(field: field, value: $0)]) }
            try checkDistinct(name, values)
            return Axis(name: name, fields: [field], values: values, continuous: nil)
        }
        guard items.allSatisfy({ if case .object = $0 { true } else { false } }) else {
            throw ScenarioFile.unknown(name, "axes.\(name)", source: source)
        }
        let values = try items.map { try group(name, $0) }
        let fields = Set(values.flatMap { $0.assignments.map(\.field) }).sorted()
        return Axis(name: name, fields: fields, values: values, continuous: nil)
    }

    private func checkDistinct(_ name: String, _ values: [Axis.Value]) throws {
        var seen: Set<String> = []
        for value in values where !seen.insert(value.label.json).inserted {
            throw InvalidInput(
                source: source, field: "axes.\(name)", value: value.label.text, "is given twice",
                accepted: "different values")
        }
    }

    /// Fields that change together.
    private func group(_ name: String, _ item: ConfigValue) throws -> Axis.Value {
        guard case .object(let members) = item, !members.isEmpty else {
            throw reader.wrong("axes.\(name)", item, "fields and their values")
        }
        let assignments = try members.keys.sorted().map { key in
            guard ScenarioFile.isField(key) else {
                throw ScenarioFile.unknown(key, "axes.\(name).\(key)", source: source)
            }
            return Axis.Assignment(field: ScenarioFile.canonicalField(key), value: members[key]!)
        }
        let label = assignments.map { assignment in
            let text = if case .string(let text) = assignment.value { text } else { assignment.value.json }
            return "\(assignment.field)=\(text)"
        }
        return Axis.Value(label: .string(label.joined(separator: " ")), assignments: assignments)
    }

    // MARK: Ranges

    private func range(_ name: String, _ members: [String: ConfigValue]) throws -> Axis {
        let field = "axes.\(name)"
        let known = ["from", "to", "step", "count", "scale", "integer"]
        let members = try reader.object(field, .object(members), among: known)
        func number(_ key: String) throws -> Double? {
            guard let value = members[key] else { return nil }
            guard let number = SpecificationReader.number(value, above: -.greatestFiniteMagnitude) else {
                throw reader.wrong("\(field).\(key)", value, "a number")
            }
            return number
        }
        guard let from = try number("from"), let to = try number("to"), from <= to else {
            throw reader.wrong(field, .object(members), "from and to, the smaller one first")
        }
        let isLogarithmic = try isLogarithmic(members["scale"], field)
        guard !isLogarithmic || from > 0 else {
            throw reader.wrong("\(field).from", members["from"], "a number above 0 on a logarithmic scale")
        }
        let isWhole: Bool
        switch members["integer"] {
        case .bool(let given)?: isWhole = given
        case nil: isWhole = Self.takesWholeNumbersOnly(name)
        default: throw reader.wrong("\(field).integer", members["integer"], "true or false")
        }
        let path = ScenarioFile.canonicalField(name)
        let continuous = Axis.Continuous(
            field: path, from: from, to: to, isLogarithmic: isLogarithmic, isWhole: isWhole)
        var numbers: [Double] = []
        if let step = try number("step") {
            guard members["count"] == nil, !isLogarithmic, step > 0,
                (to - from) / step < Double(Self.mostValues)
            else {
                throw reader.wrong(
                    "\(field).step", members["step"], "a number above 0, without count, on a linear scale")
            }
            let steps = Int(((to - from) / step + 1e-9).rounded(.down))
            numbers = (0...steps).map { from + Double($0) * step }
        } else if let count = members["count"] {
            guard case .integer(let count) = count, (1...Self.mostValues).contains(count) else {
                throw reader.wrong("\(field).count", members["count"], "a whole number of at least 1")
            }
            numbers = (0..<count).map { place in
                if place == 0 { return from }
                if place == count - 1 { return to }
                let share = Double(place) / Double(count - 1)
                return Axis.Continuous.between(from, to, share, isLogarithmic)
            }
        } else {
            let ends = from == to ? [0.0] : [0.0, 1.0]
            return Axis(
                name: name, fields: [path], values: ends.map { continuous.value(at: $0) },
                continuous: continuous)
        }
        var values: [Axis.Value] = []
        for number in numbers {
            let rounded = isWhole ? number.rounded() : number
            let whole = Int(exactly: rounded)
            let value: ConfigValue = whole.map { .integer($0) } ?? .number(rounded)
            // Rounding may give the same number twice.
            if values.last?.label == value { continue }
            values.append(Axis.Value(label: value, assignments: [.init(field: path, value: value)]))
        }
        return Axis(name: name, fields: [path], values: values, continuous: nil)
    }

    private func isLogarithmic(_ value: ConfigValue?, _ field: String) throws -> Bool {
        switch value {
        case nil, .string("linear")?: return false
        case .string("log")?, .string("logarithmic")?: return true
        default: throw reader.wrong("\(field).scale", value, "linear or log")
        }
    }

    /// Whether a field refuses fractions.
    private static func takesWholeNumbersOnly(_ name: String) -> Bool {
        guard !name.contains("."), var file = try? ScenarioFile(.object([:]), source: "", folder: "") else {
            return false
        }
        func accepts(_ value: Double) -> Bool {
            guard (try? file.set(name, to: .number(value))) != nil else { return false }
            return (try? file.scenario()) != nil
        }
        return !accepts(0.5) && !accepts(1.5)
    }
}
