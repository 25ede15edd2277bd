import ServingCore
import Synchronization

/// Finds outcomes: from the journal where a run before has left them, else by running, on all cores.
final class OutcomeLedger: Sendable {
    /// One outcome that is wanted.
    struct Job: Sendable {
        var configuration: SweepConfiguration
        /// Round of successive halving.
        var round = 0
    }

    /// How far a sweep is.
    public struct Progress: Sendable {
        /// Jobs done in this round, those found in the journal included.
        public var done: Int
        /// Jobs of the round.
        public var of: Int
        /// Jobs that this process has run.
        public var ran: Int
        /// Round of successive halving, from 1; nil without rounds.
        public var round: Int?
    }

    private struct State: ~Copyable {
        var known: [Key: SweepOutcome]
        var journal: Journal
        var ran = 0
    }

    private struct Key: Hashable {
        var index: Int
        var round: Int
    }

    private let state: Mutex<State>
    private let threads: Int
    private let report: @Sendable (Progress) -> Void

    init(
        known: [SweepOutcome], journal: consuming Journal, threads: Int,
        report: @escaping @Sendable (Progress) -> Void
    ) {
        var byKey: [Key: SweepOutcome] = [:]
        for outcome in known { byKey[Key(index: outcome.index, round: outcome.round)] = outcome }
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
            jobs.filter { state.known[Key(index: $0.configuration.index, round: $0.round)] == nil }
        }
        let found = jobs.count - missing.count
        let ranBefore = state.withLock { $0.ran }
        let round = isRound ? jobs.first.map { $0.round + 1 } : nil
        report(Progress(done: found, of: jobs.count, ran: ranBefore, round: round))
        // Outcomes go into the journal as they come; what comes back is in the order of the jobs.
        _ = try parallelMap(missing.count, threads: threads) { place in
            let outcome = try run(missing[place])
            try state.withLock { state in
                try state.journal.append(outcome.journalLine)
                state.known[Key(index: outcome.index, round: outcome.round)] = outcome
                state.ran += 1
                let done = found + state.ran - ranBefore
                report(Progress(done: done, of: jobs.count, ran: state.ran, round: round))
            }
        }
        return state.withLock { state in
            jobs.map { state.known[Key(index: $0.configuration.index, round: $0.round)]! }
        }
    }
}
