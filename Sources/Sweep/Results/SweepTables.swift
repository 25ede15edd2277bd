import Catalog
import Reports
import ServingCore
import Simulation

extension SweepResults {
    /// Figures of the results in order: the plain ones, then every latency's mean and percentiles.
    var columns: [String] {
        let latencies = Metric.Latency.allCases.flatMap { latency in
            [Metric(latency, .mean).name]
                + specification.percentiles.map { Metric(latency, .percentile($0)).name }
        }
        let all = Metric.plain.map(\.name) + latencies
        let used = Set(outcomes.flatMap(\.values.keys))
        return all.filter(used.contains)
    }

    func statusText(_ outcome: SweepOutcome) -> String {
        outcome.status == .completed && !outcome.isFinal ? "given up" : outcome.status.rawValue
    }

    /// Whether an outcome holds the constraints: `yes`, `no`, `uncertain`, or nothing where it was not run to the end.
    func holdsText(_ outcome: SweepOutcome) -> String {
        guard outcome.status == .completed, outcome.isFinal else { return "" }
        switch Standing(specification: specification).verdict(outcome).verdict {
        case .holds: return "yes"
        case .uncertain: return "uncertain"
        case .broken: return "no"
        }
    }

    /// Why an outcome can't run, breaks a constraint, or what keeps its rate down.
    func reasonText(_ outcome: SweepOutcome) -> String {
        if !outcome.reason.isEmpty { return outcome.reason }
        guard outcome.status == .completed, outcome.isFinal else { return "" }
        return Standing(specification: specification).verdict(outcome).reason
    }

    /// A row per configuration, by number.
    public var csv: String {
        let ranks = Dictionary(uniqueKeysWithValues: ranking.enumerated().map { ($1.index, $0 + 1) })
        let onFrontier = Set(frontier)
        let objective = specification.objective.metric.name
        var head = ["index", "rank", "status", "holds", "frontier"]
        head += specification.axes.map(\.name)
        head += ["requests", "saturation", "objective", "objective_lower", "objective_upper"]
        if uncertainty != nil { head += ["oracle_lower", "oracle_upper", "oracle_best", "oracle_holds"] }
        let columns = columns
        var text = (head + columns + ["reason"]).map(quoted).joined(separator: ",") + "\n"
        for outcome in outcomes {
            var cells = [
                "\(outcome.index)", "\(ranks[outcome.index] ?? 0)", statusText(outcome), holdsText(outcome),
            ]
            cells.append(onFrontier.contains(outcome.index) ? "yes" : "")
            cells += configuration(outcome).labels.map(plain)
            cells += [outcome.status == .completed ? "\(outcome.requests)" : "", outcome.saturation]
            let interval = outcome.intervals[objective]
            cells += [number(outcome.values[objective]), number(interval?.lower), number(interval?.upper)]
            if let uncertainty {
                let leader = uncertainty[outcome.index]
                cells += [number(leader?.objective.lower), number(leader?.objective.upper)]
                cells += [leader?.best, leader?.holds].map { $0.map { "\($0)" } ?? "" }
            }
            cells += columns.map { number(outcome.values[$0]) }
            cells.append(reasonText(outcome))
            text += cells.map(quoted).joined(separator: ",") + "\n"
        }
        return text
    }

    private func number(_ value: Double?) -> String { value.map(NumberText.short) ?? "" }

    /// An axis's value as a cell shows it.
    func plain(_ label: ConfigValue) -> String {
        if case .string(let text) = label { return text }
        if case .number(let value) = label { return NumberText.short(value) }
        return label.json
    }

    /// A cell as RFC 4180 has it.
    private func quoted(_ cell: String) -> String {
        guard cell.contains(where: { "\",\n\r".contains($0) }) else { return cell }
        return "\"" + cell.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
            + "\""
    }

    /// The results for programs.
    public var json: JSONValue {
        .object([
            ("stepcast", .string(stepcastVersion)), ("name", .string(specification.name)),
            ("fingerprint", .string(run.fingerprint)), ("search", .string(specification.search.name)),
            ("objective", .string(specification.objective.text)),
            ("constraints", .array(specification.constraints.map { .string($0.text) })),
            ("axes", .array(specification.axes.map { .string($0.name) })),
            ("excluded_by_conditions", .integer(run.space.excluded)),
            ("best", bestJSON), ("ranking", .array(ranking.map { .integer($0.index) })),
            ("frontier", .array(frontier.map { .integer($0) })),
            ("uncertainty", uncertaintyJSON),
            ("configurations", .array(outcomes.map(json))),
        ])
    }

    private var bestJSON: JSONValue {
        guard let best else { return .null }
        return .object([
            ("index", .integer(best.index)), ("holds", .string(holdsText(best))),
            ("tied_within_noise", .array(tied.map { .integer($0) })),
            ("vllm_serve", JSONValue(try? serveCommand(of: best))),
        ])
    }

    private var uncertaintyJSON: JSONValue {
        guard let uncertainty else { return .null }
        return .object([
            ("draws", .integer(uncertainty.draws)), ("level", .number(UncertaintyBands.level)),
            (
                "leaders",
                .array(
                    uncertainty.leaders.map { leader in
                        .object([
                            ("index", .integer(leader.index)),
                            (
                                "objective",
                                .array([leader.objective.lower, leader.objective.upper].map { .number($0) })
                            ),
                            ("median", .number(leader.objective.median)),
                            ("best_with", .integer(leader.best)), ("holds_with", .integer(leader.holds)),
                        ])
                    })
            ),
        ])
    }

    private func json(_ outcome: SweepOutcome) -> JSONValue {
        var members: [(key: String, value: JSONValue)] = [
            ("index", .integer(outcome.index)), ("status", .string(statusText(outcome))),
            ("holds", .string(holdsText(outcome))), ("reason", .string(reasonText(outcome))),
            (
                "axes",
                .object(
                    zip(specification.axes, configuration(outcome).labels).map { axis, label in
                        (axis.name, Self.json(label))
                    })
            ),
        ]
        guard outcome.status == .completed else { return .object(members) }
        members += [
            ("requests", .integer(outcome.requests)), ("saturation", .string(outcome.saturation)),
            (
                "metrics",
                .object(columns.compactMap { name in outcome.values[name].map { (name, .number($0)) } })
            ),
            (
                "confidence_intervals",
                .object(
                    columns.compactMap { name in
                        outcome.intervals[name].map {
                            (name, .array([JSONValue($0.lower), JSONValue($0.upper)]))
                        }
                    })
            ),
        ]
        if !outcome.trials.isEmpty { members.append(("trials", .array(outcome.trials.map(\.json)))) }
        return .object(members)
    }

    private static func json(_ value: ConfigValue) -> JSONValue {
        switch value {
        case .null: .null
        case .bool(let flag): .boolean(flag)
        case .integer(let whole): .integer(whole)
        case .number(let number): .number(number)
        case .string(let text): .string(text)
        case .array(let items): .array(items.map(json))
        case .object(let members):
            .object(members.sorted { $0.key < $1.key }.map { ($0.key, json($0.value)) })
        }
    }
}
