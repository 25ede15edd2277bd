import ServingCore

/// How an outcome stands: whether it holds its constraints, and against others.
struct Standing: Sendable {
    let specification: SweepSpecification

    /// Whether all constraints hold. With constraints, a deployment that falls behind holds none, since its latencies
    /// depend on how long the run was; one of which that cannot be told is not shown to hold any.
    func verdict(_ outcome: SweepOutcome) -> (verdict: Constraint.Verdict, reason: String) {
        if specification.constraints.isEmpty { return (.holds, "") }
        if outcome.saturation == "saturated" { return (.broken, "saturated") }
        var worst = (verdict: Constraint.Verdict.holds, reason: "")
        for constraint in specification.constraints {
            let name = constraint.metric.name
            let interval = outcome.intervals[name]
            let verdict = constraint.verdict(
                value: outcome.values[name], lower: interval?.lower, upper: interval?.upper,
                isMeasured: interval != nil)
            if verdict == .broken { return (.broken, constraint.text) }
            if verdict == .uncertain, worst.verdict == .holds { worst = (.uncertain, constraint.text) }
        }
        if worst.verdict == .holds, outcome.saturation != "stable" {
            return (.uncertain, "cannot tell whether it keeps up")
        }
        return worst
    }

    /// The objective's value; nil without one.
    func objective(_ outcome: SweepOutcome) -> Double? {
        guard outcome.status == .completed else { return nil }
        return outcome.values[specification.objective.metric.name]
    }

    /// How much better `best` is than `other` in the objective; negative when it is worse.
    func lead(of best: SweepOutcome, over other: SweepOutcome) -> Double? {
        guard let a = objective(best), let b = objective(other) else { return nil }
        return specification.objective.isMaximized ? a - b : b - a
    }

    /// How far `other` may be behind `best` by chance: half of the confidence interval of their difference. Over the same
    /// requests what both have in common falls out; otherwise both intervals count, each on the side of the other. An end
    /// that a run doesn't bound is taken to be as far as the one that it does.
    func noise(between best: SweepOutcome, and other: SweepOutcome, probability: Double = 0.05) -> Double {
        if best.deviations.count == other.deviations.count, best.requests == other.requests,
            let half = Statistics.halfWidth(
                zip(best.deviations, other.deviations).map { $0 - $1 }, probability: probability)
        {
            return half
        }
        let name = specification.objective.metric.name
        func half(_ outcome: SweepOutcome, up: Bool) -> Double? {
            guard let interval = outcome.intervals[name] else { return 0 }
            guard let value = outcome.values[name] else { return nil }
            let upper = interval.upper.map { $0 - value }
            let lower = interval.lower.map { value - $0 }
            return (up ? upper ?? lower : lower ?? upper).map { max(0, $0) }
        }
        let isMaximized = specification.objective.isMaximized
        guard let x = half(best, up: !isMaximized), let y = half(other, up: isMaximized) else {
            return .infinity
        }
        return (x * x + y * y).squareRoot()
    }

    /// Outcomes from the best to the worst: those that hold their constraints, those of which that is uncertain, those that
    /// break one, those that were given up, those that cannot run; each by the objective, then by number.
    func ranked(_ outcomes: [SweepOutcome]) -> [SweepOutcome] {
        let keyed = outcomes.map { outcome in (outcome, tier(outcome), objective(outcome)) }
        return keyed.sorted { a, b in
            if a.1 != b.1 { return a.1 < b.1 }
            switch (a.2, b.2) {
            case (let x?, let y?) where x != y: return specification.objective.prefers(x, to: y)
            case (nil, .some): return false
            case (.some, nil): return true
            default: return a.0.index < b.0.index
            }
        }.map(\.0)
    }

    /// Those of a ranking that may be the best: run to the end, breaking no constraint for certain, with an objective.
    func candidates(_ ranking: [SweepOutcome]) -> [SweepOutcome] {
        ranking.filter {
            $0.status == .completed && $0.isFinal && verdict($0).verdict != .broken && objective($0) != nil
        }
    }

    private func tier(_ outcome: SweepOutcome) -> Int {
        if outcome.status == .cannotRun { return 4 }
        if !outcome.isFinal { return 3 }
        switch verdict(outcome).verdict {
        case .holds: return 0
        case .uncertain: return 1
        case .broken: return 2
        }
    }
}
