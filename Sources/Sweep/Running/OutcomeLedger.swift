import ServingCore
import Synchronization

/// Finds outcomes: from the journal where a run before has left them, else by running, on all cores.
final class OutcomeLedger: Sendable {
    /// One outcome that is wanted.
    struct Job: Sendable {
        var configuration: SweepConfiguration
        /// Round of successive halving.
        var round = 0
        /// Which other oracle it is run with; nil with the oracle as it is.
        var draw: Int?

        fileprivate var key: Key { Key(index: configuration.index, round: round, draw: draw) }
    }

    private struct State: ~Copyable {
        var known: [Key: SweepOutcome]
        var journal: Journal
        var ran = 0
    }

    fileprivate struct Key: Hashable {
        var index: Int
        var round: Int
        var draw: Int?
    }

    private let state: Mutex<State>
    private let threads: Int
    private let report: @Sendable (SweepRun.Progress) -> Void

    init(
        known: [SweepOutcome], journal: consuming Journal, threads: Int,
        report: @escaping @Sendable (SweepRun.Progress) -> Void
    ) {
        var byKey: [Key: SweepOutcome] = [:]
        for outcome in known { byKey[outcome.key] = outcome }
        state = Mutex(State(known: byKey, journal: journal))
        self.threads = max(1, threads)
        self.report = report
    }

    /// Every outcome so far.
    var all: [SweepOutcome] { state.withLock { Array($0.known.values) } }

    /// The outcomes of jobs, in their order. Each is in the journal before the next one starts on its thread.
    /// - Throws: the first error that is none of a configuration: a journal that cannot be written, an interruption.
    func outcomes(
        of jobs: [Job], isRound: Bool, _ run: @Sendable (Job) throws -> SweepOutcome
    ) throws -> [SweepOutcome] {
        let missing = state.withLock { state in
            jobs.filter { state.known[$0.key] == nil }
        }
        let found = jobs.count - missing.count
        let ranBefore = state.withLock { $0.ran }
        let round = isRound ? jobs.first.map { $0.round + 1 } : nil
        let before = SweepRun.Progress(
            done: found, of: jobs.count, ran: ranBefore, round: round, isRerun: jobs.first?.draw != nil)
        report(before)
        // Outcomes go into the journal as they come; what comes back is in the order of the jobs.
        _ = try parallelMap(missing.count, threads: threads) { place in
            let outcome = try run(missing[place])
            try state.withLock { state in
                try state.journal.append(outcome.journalLine)
                state.known[outcome.key] = outcome
                state.ran += 1
                var progress = before
                progress.done += state.ran - ranBefore
                progress.ran = state.ran
                report(progress)
            }
        }
        return state.withLock { state in
            jobs.map { state.known[$0.key]! }
        }
    }
}

extension SweepOutcome {
    fileprivate var key: OutcomeLedger.Key { .init(index: index, round: round, draw: draw) }
}
