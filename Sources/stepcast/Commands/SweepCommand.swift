import ArgumentParser
import Catalog
import Foundation
import Reports
import ServingCore
import Sweep

/// `stepcast sweep`: many configurations, the best of them, and the trade-off between them.
struct SweepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sweep",
        abstract: "Find the configuration that carries the traffic best, within limits, at a price.",
        discussion: """
            A specification names a base scenario, the fields to vary and what makes one configuration better than \
            another; docs/sweeps.md describes it. Every configuration is simulated. A finished one is in the \
            folder at once: after Ctrl-C or a crash the same command goes on where it stopped.

            The folder gets results.csv and results.json (a row per configuration), frontier.svg, and of the best \
            configuration best.yaml, which `stepcast simulate` runs, and best.sh, which starts `vllm serve`.

            With `uncertainty: 20` in the base, the ten leaders are run again with 20 other oracles that the training \
            data allow: does the best stay the best, and does it still hold the constraints?

            EXAMPLES
              stepcast sweep sweep.yaml --output results
              stepcast sweep sweep.yaml --output part-2 --shard 2/4
              stepcast sweep merge part-1 part-2 part-3 part-4 --output results

            EXIT STATUS
              0 done   1 no configuration surely holds the constraints   64 usage   65 bad data
              66 no such input   74 could not write   130 interrupted
            """,
        subcommands: [Run.self, Merge.self], defaultSubcommand: Run.self)

    /// `stepcast sweep SPEC.yaml`.
    struct Run: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "run", abstract: "Run a sweep or a shard of it. (default)")

        @Argument(
            help: "Specification in YAML: a path, or the name of one that ships in sweeps/.",
            completion: .file(extensions: ["yaml", "yml", "json"]))
        var specification: String

        @Option(
            name: [.long, .customShort("o")],
            help: ArgumentHelp("Folder for the results; made if it isn't there.", valueName: "folder"),
            completion: .directory)
        var output: String

        @Option(help: ArgumentHelp("Run part I of N only.", valueName: "I/N"))
        var shard: String?

        @Option(name: [.long, .customShort("j")], help: "Simulations at a time; all cores unless said.")
        var jobs: Int?

        @Flag(help: "List the configurations and run none.")
        var dryRun = false

        func run() throws {
            let shipped = try ShippedFiles.locate()
            let part = try shard.map { try Shard(parsing: $0) } ?? .whole
            if let jobs, !(1...4096).contains(jobs) {
                throw InvalidInput(
                    .usage, field: "--jobs", value: "\(jobs)", "is out of range", accepted: "1 to 4096")
            }
            let sweep = try SweepRun(
                SweepSpecification(contentsOf: Self.path(of: specification, shipped)), shard: part,
                shipped: shipped)
            if dryRun { return print(sweep.listing, terminator: "") }
            Interruption.catchInterrupts()
            // A limit on file sizes becomes an error of writing, with its message and status.
            signal(SIGXFSZ, SIG_IGN)
            let progress = SweepProgress()
            let results = try sweep.run(
                into: output, jobs: jobs ?? availableCores,
                progress: { progress.show($0) }, shouldStop: { Interruption.isPending })
            progress.clear()
            guard let results else {
                FileHandle.standardError.write(
                    Data("stepcast: stopped; the same command goes on from here\n".utf8))
                throw ExitCode(130)
            }
            try SweepCommand.show(results)
        }

        private static func path(of name: String, _ shipped: ShippedFiles) throws -> String {
            if FileManager.default.fileExists(atPath: name) { return name }
            let names = shipped.files(in: "sweeps", extensions: ["yaml"]).map { String($0.dropLast(5)) }
            if names.contains(name) { return shipped.path("sweeps/\(name).yaml") }
            let near = nearestName(to: name, among: names).map { "; did you mean \($0)?" } ?? ""
            throw InvalidInput(
                .noSuchInput, value: name, "is neither a file nor a sweep that ships" + near,
                accepted: names.joined(separator: ", ") + ", or a path")
        }
    }

    /// `stepcast sweep merge DIR...`.
    struct Merge: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "merge",
            abstract: "Join the folders of all shards and prove that none is missing or doubled.")

        @Argument(help: "Folders of all shards, in any order.", completion: .directory)
        var folders: [String]

        @Option(
            name: [.long, .customShort("o")],
            help: ArgumentHelp(
                "Folder for the joined results; without it they are only shown.", valueName: "folder"),
            completion: .directory)
        var output: String?

        func run() throws {
            signal(SIGXFSZ, SIG_IGN)
            try SweepCommand.show(try SweepRun.merge(folders, into: output, shipped: .locate()))
        }
    }

    private static func show(_ results: SweepResults) throws {
        print(results.report(), terminator: "")
        if !results.hasAnswer { throw ExitCode(1) }
    }
}

/// How far a sweep is and how long it will take, on a terminal only.
final class SweepProgress: @unchecked Sendable {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let start = ContinuousClock.now
    private var last = ContinuousClock.now
    private var isShown = false
    private let lock = NSLock()

    func show(_ progress: SweepRun.Progress) {
        guard isTerminal else { return }
        lock.lock()
        defer { lock.unlock() }
        let now = ContinuousClock.now
        guard now - start > .seconds(1), now - last > .milliseconds(200) else { return }
        last = now
        isShown = true
        let what = progress.isRerun ? "reruns of the leaders" : "configurations"
        var text = "\(progress.done) of \(progress.of) \(what)"
        if let round = progress.round { text += ", round \(round)" }
        if progress.ran > 0, progress.done < progress.of {
            let elapsed = (now - start) / .seconds(1)
            let left = elapsed / Double(progress.ran) * Double(progress.of - progress.done)
            text += ", \(Self.time(left)) left" + (progress.round == nil ? "" : " in it")
        }
        FileHandle.standardError.write(Data("\r\u{1B}[K\(text)".utf8))
    }

    func clear() {
        guard isShown else { return }
        FileHandle.standardError.write(Data("\r\u{1B}[K".utf8))
        isShown = false
    }

    private static func time(_ seconds: Double) -> String {
        let whole = Int(min(max(seconds, 0), 1e9).rounded(.up))
        if whole < 90 { return "\(whole) s" }
        if whole < 5400 { return "\((whole + 30) / 60) min" }
        return "\(whole / 3600) h \(whole % 3600 / 60) min"
    }
}
