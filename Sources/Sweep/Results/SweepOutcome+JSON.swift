import Catalog
import Reports
import ServingCore

extension SweepOutcome {
    /// The outcome on one line, from which it can be read again exactly.
    var journalLine: String {
        var members: [(key: String, value: JSONValue)] = [
            ("index", .integer(index)), ("round", .integer(round)), ("final", .boolean(isFinal)),
            ("status", .string(status.rawValue)), ("reason", .string(reason)),
            ("requests", .integer(requests)),
            ("saturation", .string(saturation)),
            ("values", .object(values.sorted { $0.key < $1.key }.map { ($0.key, .number($0.value)) })),
            (
                "intervals",
                .object(
                    intervals.sorted { $0.key < $1.key }.map {
                        ($0.key, .array([JSONValue($0.value.lower), JSONValue($0.value.upper)]))
                    })
            ),
            ("deviations", .array(deviations.map { .number($0) })),
        ]
        if let draw { members.append(("draw", .integer(draw))) }
        if !trials.isEmpty { members.append(("trials", .array(trials.map(\.json)))) }
        return JSONValue.object(members).compactText
    }

    /// Reads such a line; nil when it is not one.
    init?(journal value: ConfigValue) {
        guard case .object(let members) = value, case .integer(let index)? = members["index"], index >= 0,
            case .integer(let round)? = members["round"], case .bool(let isFinal)? = members["final"],
            case .string(let text)? = members["status"], let status = Status(rawValue: text),
            case .string(let reason)? = members["reason"], case .integer(let requests)? = members["requests"],
            case .string(let saturation)? = members["saturation"],
            case .object(let values)? = members["values"],
            case .object(let intervals)? = members["intervals"],
            case .array(let deviations)? = members["deviations"]
        else { return nil }
        self.init(index: index)
        self.round = round
        self.isFinal = isFinal
        self.status = status
        self.reason = reason
        self.requests = requests
        self.saturation = saturation
        for (name, value) in values { self.values[name] = Self.number(value) }
        for (name, value) in intervals {
            guard case .array(let ends) = value, ends.count == 2 else { return nil }
            self.intervals[name] = Interval(lower: Self.number(ends[0]), upper: Self.number(ends[1]))
        }
        self.deviations = deviations.compactMap(Self.number)
        switch members["draw"] {
        case nil: break
        case .integer(let draw)? where draw >= 0: self.draw = draw
        default: return nil
        }
        if case .array(let trials)? = members["trials"] {
            self.trials = trials.compactMap(Trial.init(json:))
        }
    }

    static func number(_ value: ConfigValue) -> Double? {
        switch value {
        case .integer(let whole): Double(whole)
        case .number(let number): number
        default: nil
        }
    }
}

extension SweepOutcome.Trial {
    var json: JSONValue {
        .object([
            ("rate", .number(rate)), ("holds", .boolean(holds)), ("broken", .boolean(isBroken)),
            ("reason", .string(reason)),
        ])
    }

    init?(json value: ConfigValue) {
        guard case .object(let members) = value, let rate = members["rate"].flatMap(SweepOutcome.number),
            case .bool(let holds)? = members["holds"], case .bool(let isBroken)? = members["broken"],
            case .string(let reason)? = members["reason"]
        else { return nil }
        self.init(rate: rate, holds: holds, isBroken: isBroken, reason: reason)
    }
}
