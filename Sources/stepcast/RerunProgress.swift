import ArgumentParser
import Foundation
import Scenarios
import ServingCore
import Simulation
import Synchronization

/// Reruns for bands with a line on standard error that counts them, silent when that is no terminal.
final class RerunProgress: Sendable {
    private let total: Int
    private let isShown: Bool
    private let finished = Mutex(0)

    private init(total: Int) {
        self.total = total
        isShown = isatty(STDERR_FILENO) == 1
    }

    private func countOne() {
        guard isShown else { return }
        finished.withLock { count in
            count += 1
            write("\r\u{1B}[K\(count) of \(total) reruns")
        }
    }

    private func clear() { if isShown { write("\r\u{1B}[K") } }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

    /// The bands that the scenario asks for; nil if it asks for none. Ctrl-C ends the command.
    /// - Throws: `InvalidInput`, or the exit status of an interrupted command.
    static func bands(of prepared: PreparedScenario, jobs: Int?) throws -> UncertaintyBands? {
        let count = prepared.scenario.uncertaintyReruns
        guard count > 0 else { return nil }
        var reruns = UncertaintyReruns(count: count)
        reruns.threads = try jobs.map(checkedJobs) ?? availableCores
        let progress = RerunProgress(total: count)
        reruns.isCancelled = { Interruption.isPending }
        reruns.didFinishOne = { progress.countOne() }
        defer { progress.clear() }
        do {
            return try reruns.bands(of: prepared)
        } catch is CancellationError {
            throw ExitCode(130)
        }
    }

    /// Reruns as asked for on the command line.
    static func checked(_ count: Int) throws -> Int {
        guard (0...Scenario.mostUncertaintyReruns).contains(count) else {
            throw InvalidInput(
                .usage, field: "--uncertainty", value: "\(count)", "is out of range",
                accepted: "0 to \(Scenario.mostUncertaintyReruns)")
        }
        return count
    }

    private static func checkedJobs(_ count: Int) throws -> Int {
        guard (1...1024).contains(count) else {
            throw InvalidInput(
                .usage, field: "--jobs", value: "\(count)", "is out of range", accepted: "1 to 1024")
        }
        return count
    }
}
