import ServingCore

/// Decides which configurations go on to a longer prefix of the requests.
///
/// After each round the best `1/reduction` of a group go on, and with them every one that may still turn out to be the
/// best: its distance to the best is inside the confidence interval of their difference, or it has been catching up from
/// round to round so fast that it may get there. Nobody leaves after the first round, because catching up shows in the
/// second. What the leader is measured by must itself be certain: with constraints it must hold them and keep up.
struct SuccessiveHalving: Sendable {
    let settings: Search.Halving
    let standing: Standing

    /// Chance of a wrong exit in one comparison of one round.
    private static let probability = 0.01

    /// Requests of each round for a configuration with so many, ascending, the last one all of them.
    static func prefixes(_ settings: Search.Halving, requests: Int) -> [Int] {
        // At least three rounds, since the first two only watch.
        let share = Double(requests) / (settings.reduction * settings.reduction)
        var length = Double(settings.firstRequests ?? max(100, Int(share)))
        var lengths: [Int] = []
        while length < Double(requests) {
            lengths.append(Int(length))
            length *= settings.reduction
        }
        return lengths + [requests]
    }

    /// Those of a group that go on.
    /// - Parameters:
    ///   - now: outcomes of the round.
    ///   - before: outcomes of the same configurations in the round before; empty in the first.
    ///   - roundsLeft: rounds to come.
    func survivors(_ now: [SweepOutcome], before: [Int: SweepOutcome], roundsLeft: Int) -> Set<Int> {
        let running = now.filter { $0.status == .completed }
        guard !before.isEmpty else { return Set(running.map(\.index)) }
        let kept = max(1, Int((Double(running.count) / settings.reduction).rounded(.up)))
        let ranked = ranked(running)
        var survivors = Set(ranked.prefix(kept).map(\.index))
        let leader = ranked.first { standing.verdict($0).verdict == .holds }
        for outcome in running where !survivors.contains(outcome.index) {
            if isOut(outcome, before: before[outcome.index], leader, before, roundsLeft) { continue }
            survivors.insert(outcome.index)
        }
        return survivors
    }

    /// From the best to the worst, as if this were the last round.
    private func ranked(_ outcomes: [SweepOutcome]) -> [SweepOutcome] {
        standing.ranked(
            outcomes.map { outcome in
                var outcome = outcome
                outcome.isFinal = true
                return outcome
            })
    }

    private func isOut(
        _ outcome: SweepOutcome, before: SweepOutcome?, _ leader: SweepOutcome?, _ all: [Int: SweepOutcome],
        _ roundsLeft: Int
    ) -> Bool {
        if let before, isHopeless(outcome), isHopeless(before) { return true }
        guard let leader, let lead = standing.lead(of: leader, over: outcome),
            lead > standing.noise(between: leader, and: outcome, probability: Self.probability)
        else { return false }
        guard let before, let leaderBefore = all[leader.index],
            let leadBefore = standing.lead(of: leaderBefore, over: before)
        else { return false }
        // In shares of the leader, since longer prefixes may have larger figures.
        guard let scale = standing.objective(leader).map(abs),
            let scaleBefore = standing.objective(leaderBefore).map(abs),
            scale > 0, scaleBefore > 0
        else { return false }
        let gain = max(0, leadBefore / scaleBefore - lead / scale)
        let noise = standing.noise(between: leader, and: outcome, probability: Self.probability) / scale
        return lead / scale - gain * Double(roundsLeft) > noise
    }

    /// It falls behind its load and breaks a constraint for certain, which longer runs only make worse; or breaks one for
    /// certain whatever its load.
    private func isHopeless(_ outcome: SweepOutcome) -> Bool { standing.verdict(outcome).verdict == .broken }
}
