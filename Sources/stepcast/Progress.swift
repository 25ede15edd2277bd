import ArgumentParser
import Foundation

/// One line on standard error that says how far a long run is; silent for the first two seconds and when
/// standard error is no terminal.
struct ProgressLine {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let start = ContinuousClock.now
    private var last = ContinuousClock.now
    private var isShown = false

    mutating func show(requests: Int, of total: Int?, simulated: Double) {
        guard isTerminal else { return }
        let now = ContinuousClock.now
        guard now - start > .seconds(2), now - last > .milliseconds(200) else { return }
        last = now
        isShown = true
        let share = total.map { " of \($0)" } ?? ""
        let text = "\r\u{1B}[K\(requests)\(share) requests sent, \(Int(simulated)) s simulated"
        FileHandle.standardError.write(Data(text.utf8))
    }

    mutating func clear() {
        guard isShown else { return }
        FileHandle.standardError.write(Data("\r\u{1B}[K".utf8))
        isShown = false
    }
}

/// Ctrl-C ends a command between two pieces of work, so that no half-written file stays behind.
enum Interruption {
    nonisolated(unsafe) private static var wasInterrupted: sig_atomic_t = 0

    static func catchInterrupts() {
        signal(SIGINT) { _ in Interruption.wasInterrupted = 1 }
        signal(SIGTERM) { _ in Interruption.wasInterrupted = 1 }
    }

    /// Whether the command was interrupted.
    static var isPending: Bool { wasInterrupted != 0 }

    /// - Throws: the exit status of an interrupted command.
    static func check() throws {
        if wasInterrupted != 0 { throw ExitCode(130) }
    }
}
