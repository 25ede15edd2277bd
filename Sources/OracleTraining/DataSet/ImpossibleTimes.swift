import LatencyOracle
import ServingCore

extension StepDataSet {
    /// Of a deployment's rows with prefill, the share that may take an impossible time: where more do, it is the facts of
    /// the hardware that are wrong, or the times are made up, and the rows stay.
    private static let mostImpossible = 0.25

    /// Leaves out single rows that cannot have been so short: batches that failed or were cut, which a relative loss would
    /// weigh more than all honest rows. O(rows).
    mutating func leaveOutImpossibleTimes() {
        var prefills = [Int](repeating: 0, count: groups.count)
        var impossible = prefills
        for row in 0..<count where states[row].prefillTokens > 0 {
            prefills[group[row]] += 1
            if isImpossible(row) { impossible[group[row]] += 1 }
        }
        let isTrusted = groups.indices.map {
            impossible[$0] > 0 && Double(impossible[$0]) <= Self.mostImpossible * Double(prefills[$0])
        }
        guard isTrusted.contains(true) else { return }
        let kept = (0..<count).filter { !isTrusted[group[$0]] || !isImpossible($0) }
        let left = count - kept.count
        self = selecting(kept)
        count(dropped: left, "under half the time that its matrix products need at the accelerator's peak")
    }

    /// Whether half of what a row's matrix products need at the peak rate is more than its time. Peaks on data sheets and
    /// of measured machines are right within a factor of 2.
    private func isImpossible(_ row: Int) -> Bool {
        let facts = groups[group[row]].facts
        guard facts.peakFlops > 0 else { return false }
        let tokens = Double(states[row].prefillTokens) + Double(states[row].decodeRequests)
        return seconds[row] < 0.5 * tokens * facts.flopsPerTokenPerRank / facts.peakFlops
    }
}
