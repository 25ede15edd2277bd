import LatencyOracle
import ServingCore
import StepTraces

/// What the step before a row is expected to have prefilled, where the row's time belongs to that step and the trace does
/// not say what it did.
///
/// The interval between two `schedule()` calls under asynchronous scheduling is the time of the step before
/// (`TargetSource.asynchronousCycle`). A decode batch changes slowly, so its row tells what that step decoded; whether
/// it prefilled as well, only the share of rows nearby that do can tell. Features are linear, so their expectation is what
/// the expected time goes with: left out, decode steps would be charged with the prefill of others.
struct PrefillBefore: Equatable, Sendable {
    /// Share of the rows nearby with prefill.
    var share: Double
    /// Tokens of one of them: the median.
    var tokens: Int
    /// Whether the row has prefill of its own, which belongs to the step after.
    var isOwn: Bool

    /// Rows to either side that are nearby.
    static let reach = 50

    /// A row's state with such a prefill: one request with the context of those that decode.
    func adding(to state: StepState) -> StepState {
        var result = state
        let context = state.decodeRequests > 0 ? state.decodeContextTokens / state.decodeRequests : 0
        result.addPrefill(newTokens: tokens, computedTokens: max(0, context - tokens))
        result.runningRequests += 1
        return result
    }

    /// Of each row of one run, in order of time; nil of rows without prefill nearby.
    /// - Parameter prefillTokens: of each row, usable or not.
    static func of(_ prefillTokens: [Int]) -> [PrefillBefore?] {
        prefillTokens.indices.map { row in
            let near = prefillTokens[max(0, row - reach)...min(prefillTokens.count - 1, row + reach)]
            let some = near.filter { $0 > 0 }.sorted()
            guard !some.isEmpty else { return nil }
            return PrefillBefore(
                share: Double(some.count) / Double(near.count), tokens: some[some.count / 2],
                isOwn: prefillTokens[row] > 0)
        }
    }
}

/// Gathers what rows of one file after the other prefilled, and takes it out of those whose time belongs to another step.
struct PrefillBeforeCollector {
    private var run = -1
    private var tokens: [Int] = []
    private var rows: [Int] = []
    /// Of rows of the data set.
    private(set) var found: [Int: PrefillBefore] = [:]

    /// Removes the prefill of a row whose time belongs to the step before.
    /// - Returns: its tokens; nil of a row whose time is its own.
    static func takeOut(of row: inout StepRow) -> Int? {
        guard row.targetSource == .asynchronousCycle else { return nil }
        guard row.exclusion == .misaligned else { return row.state.prefillTokens == 0 ? 0 : nil }
        let tokens = row.state.prefillTokens
        row.state.runningRequests = max(0, row.state.runningRequests - row.state.prefillRequests)
        row.state.prefillRequests = 0
        row.state.prefillTokens = 0
        row.state.prefillContextTokens = 0
        row.state.prefillAttentionPairs = 0
        return tokens
    }

    /// Notes a row of the data set.
    /// - Parameter tokens: what `takeOut` gave.
    mutating func add(_ tokens: Int, run: Int, index: Int) {
        if run != self.run { finishRun() }
        self.run = run
        rows.append(index)
        self.tokens.append(tokens)
    }

    /// Ends the run under way.
    mutating func finishRun() {
        for (row, before) in zip(rows, PrefillBefore.of(tokens)) { found[row] = before }
        tokens.removeAll()
        rows.removeAll()
    }
}
