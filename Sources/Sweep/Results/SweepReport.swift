import Reports
import ServingCore

extension SweepResults {
    /// The results for people: the ranking's first rows, what cannot run and why, the frontier, the best and what it beats.
    /// - Parameter rows: of the ranking.
    public func report(rows: Int = 20) -> String {
        var text = ""
        let final = ranking.filter { $0.status == .completed && $0.isFinal }
        let objective = specification.objective.metric.name
        text += headline(final)
        text += table(Array(final.prefix(rows)), first: objective)
        if final.count > rows { text += "… \(grouped(final.count - rows)) more in results.csv\n" }
        text += "\n" + failures()
        let onFrontier = frontier.compactMap { index in outcomes.first { $0.index == index } }
        if onFrontier.count > 1 {
            text += "Pareto frontier: tokens/s/user against tokens/s/GPU\n\n"
            text += table(onFrontier, first: "output_throughput_per_user") + "\n"
        }
        return text + otherOracles() + conclusion()
    }

    private func headline(_ final: [SweepOutcome]) -> String {
        let given = ranking.count { $0.status == .completed && !$0.isFinal }
        let unable = ranking.count { $0.status == .cannotRun }
        var parts = [
            "\(grouped(outcomes.count)) configurations", "\(grouped(final.count)) simulated to the end",
        ]
        if given > 0 { parts.append("\(grouped(given)) given up on a prefix") }
        if unable > 0 { parts.append("\(grouped(unable)) cannot run") }
        if run.space.excluded > 0 {
            parts.append("\(grouped(run.space.excluded)) combinations left out by conditions")
        }
        return "\(specification.name): \(specification.objective.text)\n"
            + parts.joined(separator: ", ") + "\n\n"
    }

    private func table(_ outcomes: [SweepOutcome], first: String) -> String {
        guard !outcomes.isEmpty else { return "" }
        var figures = [first]
        let more =
            specification.constraints.map(\.metric.name)
            + [
                "output_throughput_per_gpu", "output_throughput_per_user", "request_throughput",
                "p99_ttft_ms", "p99_tpot_ms",
            ]
        for name in more where !figures.contains(name) && outcomes.contains(where: { $0.values[name] != nil })
        {
            figures.append(name)
        }
        let hasConstraints = !specification.constraints.isEmpty
        var columns: [TextTable.Column] = [.init("rank", .right), .init("#", .right)]
        columns += specification.axes.map { .init($0.name, .right) }
        columns.append(.init("gpus", .right))
        columns += figures.map { .init($0, .right) }
        if hasConstraints { columns.append(.init("holds")) }
        var table = TextTable(columns)
        let ranks = Dictionary(uniqueKeysWithValues: ranking.enumerated().map { ($1.index, $0 + 1) })
        for outcome in outcomes {
            var cells = ["\(ranks[outcome.index] ?? 0)", "\(outcome.index)"]
            cells += configuration(outcome).labels.map { shortened(plain($0)) }
            cells.append(NumberText.short(outcome.values["gpus"] ?? 0))
            cells += figures.map { name in
                outcome.values[name].map { significant($0, digits: 4) } ?? "-"
            }
            if hasConstraints {
                let reason = reasonText(outcome)
                cells.append(holdsText(outcome) + (reason.isEmpty ? "" : ": \(reason)"))
            }
            table.add(cells)
        }
        return table.text
    }

    private func shortened(_ text: String) -> String { text.count > 48 ? text.prefix(47) + "…" : text }

    /// What cannot run, by reason; reasons that differ in figures only are told once.
    private func failures() -> String {
        var order: [String] = []
        var members: [String: [SweepOutcome]] = [:]
        for outcome in outcomes where outcome.status == .cannotRun {
            let kind = outcome.reason.filter { !$0.isNumber && $0 != "." }
            if members[kind] == nil { order.append(kind) }
            members[kind, default: []].append(outcome)
        }
        guard !order.isEmpty else { return "" }
        var text = "Cannot run:\n"
        for kind in order {
            let all = members[kind]!
            let shown =
                all.prefix(12).map { "\($0.index)" }.joined(separator: ", ") + (all.count > 12 ? ", …" : "")
            let isOne = all.allSatisfy { $0.reason == all[0].reason }
            text += "  \(all.count) (#\(shown)): \(isOne ? "" : "for example ")\(all[0].reason)\n"
        }
        return text + "\n"
    }

    /// How the leaders fare under other oracles.
    private func otherOracles() -> String {
        guard let uncertainty else { return "" }
        let hasConstraints = !specification.constraints.isEmpty
        var columns: [TextTable.Column] = [.init("#", .right)]
        columns += specification.axes.map { .init($0.name, .right) }
        columns += [
            .init(specification.objective.metric.name, .right), .init(uncertainty.bandName, .right),
            .init("best with", .right),
        ]
        if hasConstraints { columns.append(.init("holds with", .right)) }
        var table = TextTable(columns)
        for leader in uncertainty.leaders {
            let outcome = outcomes.first { $0.index == leader.index }!
            var cells = ["\(leader.index)"]
            cells += configuration(outcome).labels.map { shortened(plain($0)) }
            cells += [objectiveText(outcome), bandText(leader), "\(leader.best)"]
            if hasConstraints { cells.append("\(leader.holds)") }
            table.add(cells)
        }
        return "The leaders with \(uncertainty.draws) other oracles that the training data allow\n\n"
            + table.text + "\n"
    }

    private func objectiveText(_ outcome: SweepOutcome) -> String {
        significant(outcome.values[specification.objective.metric.name] ?? 0, digits: 4)
    }

    private func bandText(_ leader: LeaderUncertainty.Leader) -> String {
        significant(leader.objective.lower, digits: 4) + " to "
            + significant(leader.objective.upper, digits: 4)
    }

    /// Whether the best stays the best when the oracle is off, or that nobody has looked.
    private func survival(of best: SweepOutcome) -> String {
        guard let uncertainty, let own = uncertainty[best.index] else {
            var text = "Intervals are those of sampling; the error of the latency oracle"
            if let oracle = try? run.oracleName(of: run.scenarioFile(configuration(best)).scenario()) {
                text += " (\(oracle)"
                if let share = best.values["in_domain_share"] {
                    text += ", \(percentage(share)) of the steps inside its training data"
                }
                text += ")"
            }
            return text
                + " comes on top: `uncertainty: 20` in the base reruns the leaders with other oracles.\n"
        }
        let of = "of \(uncertainty.draws) other oracles"
        var text = "Of the \(uncertainty.leaders.count) leaders it is the best with \(own.best) \(of)"
        if !specification.constraints.isEmpty { text += ", and holds the constraints with \(own.holds)" }
        text += "; \(uncertainty.bandName) \(bandText(own)).\n"
        let other = uncertainty.mostOftenBest
        if other.best > own.best { text += "#\(other.index) is the best with more of them: \(other.best).\n" }
        return text
    }

    private func conclusion() -> String {
        guard let best else {
            return "No configuration "
                + (specification.constraints.isEmpty ? "could be run.\n" : "holds the constraints.\n")
        }
        let objective = specification.objective.metric.name
        var text = "Best: #\(best.index), \(objective) \(significant(best.values[objective] ?? 0, digits: 4))"
        if let interval = best.intervals[objective], let lower = interval.lower, let upper = interval.upper {
            text += " (95 % interval \(significant(lower, digits: 4)) to \(significant(upper, digits: 4)))"
        }
        text += "\n"
        if holdsText(best) == "uncertain" {
            let reason = Standing(specification: specification).verdict(best).reason
            text += "It holds the constraints by its estimates only (\(reason)); more requests would tell.\n"
        }
        if tied.isEmpty {
            text += "It beats all others by more than the noise of the runs.\n"
        } else {
            let shown =
                tied.prefix(12).map { "#\($0)" }.joined(separator: ", ") + (tied.count > 12 ? ", …" : "")
            text += "Within the noise of the runs \(tied.count) others are as good: \(shown)\n"
        }
        text += survival(of: best)
        if let command = try? serveCommand(of: best) {
            text += "\n" + command + "\n"
            if let scenario = try? run.scenarioFile(configuration(best)).scenario(), scenario.replicas > 1 {
                text += "(\(scenario.replicas) times, behind a \(scenario.router.rawValue) router)\n"
            }
        }
        return text
    }
}
