import LatencyOracle
import ServingCore

extension DeploymentFacts {
    /// Whether a step cannot have been so short: half of what its matrix products need at the peak rate is more.
    ///
    /// Peaks on data sheets and of measured machines are right within a factor of 2. Such a time is a batch that
    /// failed or was cut, or has the wrong unit; a relative loss would weigh it more than all honest rows.
    func cannotTake(_ seconds: Double, for state: StepState) -> Bool {
        guard seconds > 0, peakFlops > 0 else { return false }
        let tokens = Double(state.prefillTokens) + Double(state.decodeRequests)
        return seconds < 0.5 * tokens * flopsPerTokenPerRank / peakFlops
    }
}
