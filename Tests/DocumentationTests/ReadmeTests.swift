import Foundation
import Testing

/// Runs what the README tells people to type.
///
/// A `console` block holds commands after `$ ` and, where it shows any, their standard output, which must be the
/// same; a line of `…` stands for any number of lines.
@Suite struct ReadmeTests {
    struct Command: Sendable {
        var line: String
        var output: [String]
    }

    /// A block's commands run one after another in one folder, since later ones may read what earlier ones wrote.
    struct Block: CustomTestStringConvertible, Sendable {
        var commands: [Command] = []
        var testDescription: String { commands.map(\.line).joined(separator: "; ") }
        var needsShared: Bool { commands.contains { $0.line.contains("../shared") } }
    }

    static let blocks: [Block] = {
        var blocks: [Block] = []
        var isInside = false
        for line in ((try? contents("README.md")) ?? "").split(
            separator: "\n", omittingEmptySubsequences: false)
        {
            if line.hasPrefix("```") {
                isInside = line == "```console"
                if isInside { blocks.append(Block()) }
            } else if isInside, line.hasPrefix("$ ") {
                blocks[blocks.count - 1].commands.append(Command(line: String(line.dropFirst(2)), output: []))
            } else if isInside, let last = blocks.last?.commands.indices.last {
                blocks[blocks.count - 1].commands[last].output.append(String(line))
            }
        }
        return blocks
    }()

    static let isBuilt = FileManager.default.isExecutableFile(
        atPath: packageRoot + "/.build-stepcast/release/stepcast")
    static let hasShared = FileManager.default.fileExists(atPath: packageRoot + "/../shared")

    @Test func `the README shows commands`() {
        #expect(Self.blocks.count >= 2)
        for command in Self.blocks.flatMap(\.commands) { #expect(command.line.hasPrefix("./stepcast ")) }
    }

    @Test(
        .enabled(if: isBuilt, "needs the release build that ./test makes"),
        arguments: blocks.filter { !$0.needsShared })
    func `the commands of the README work`(block: Block) throws { try check(block) }

    @Test(
        .enabled(if: isBuilt, "needs the release build that ./test makes"),
        .enabled(if: hasShared, "needs ../shared"), arguments: blocks.filter(\.needsShared))
    func `the commands of the README that read shared data work`(block: Block) throws { try check(block) }

    private func check(_ block: Block) throws {
        // A folder with the package's files in reach, so that outputs do not land in the package.
        let parent =
            FileManager.default.temporaryDirectory.path + "/stepcast-readme-\(UInt64.random(in: 0...(.max)))"
        let folder = parent + "/stepcast"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: parent) }
        for name in ["stepcast", "models", "workloads", "Examples", "docs"]
        where FileManager.default.fileExists(atPath: packageRoot + "/" + name) {
            try FileManager.default.createSymbolicLink(
                atPath: folder + "/" + name, withDestinationPath: packageRoot + "/" + name)
        }
        if Self.hasShared {
            try FileManager.default.createSymbolicLink(
                atPath: parent + "/shared", withDestinationPath: packageRoot + "/../shared")
        }
        for command in block.commands {
            let outcome = try run(command.line, in: folder)
            #expect(outcome.status == 0, "\(command.line)\n\(outcome.errors)")
            #expect(
                command.output.isEmpty || matches(command.output[...], outcome.output[...]),
                "the README shows another output than\n\(outcome.output.joined(separator: "\n"))")
        }
    }

    private func run(_ command: String, in folder: String) throws -> (
        status: Int32, output: [String], errors: String
    ) {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = ["-c", command]
        process.currentDirectoryURL = URL(filePath: folder)
        // `./test` has built it; a test does not build for minutes.
        process.environment = ProcessInfo.processInfo.environment.merging(["STEPCAST_SKIP_BUILD": "1"]) { $1 }
        // Files, not pipes: neither fills up.
        for name in ["output", "errors"] {
            _ = FileManager.default.createFile(atPath: folder + "/../" + name, contents: nil)
        }
        process.standardOutput = try FileHandle(forWritingTo: URL(filePath: folder + "/../output"))
        process.standardError = try FileHandle(forWritingTo: URL(filePath: folder + "/../errors"))
        try process.run()
        process.waitUntilExit()
        func text(_ name: String) throws -> String {
            String(decoding: try Data(contentsOf: URL(filePath: folder + "/../" + name)), as: UTF8.self)
        }
        var lines = try text("output").split(separator: "\n", omittingEmptySubsequences: false).map(
            String.init)
        if lines.last == "" { lines.removeLast() }
        return (process.terminationStatus, lines, try text("errors"))
    }

    /// Whether lines match a pattern, spaces at their ends aside.
    private func matches(_ pattern: ArraySlice<String>, _ lines: ArraySlice<String>) -> Bool {
        guard let first = pattern.first else { return lines.isEmpty }
        if first == "…" {
            return (lines.startIndex...lines.endIndex).contains { matches(pattern.dropFirst(), lines[$0...]) }
        }
        guard let line = lines.first, trimmed(line) == trimmed(first) else { return false }
        return matches(pattern.dropFirst(), lines.dropFirst())
    }

    private func trimmed(_ line: String) -> Substring {
        var line = line[...]
        while line.last == " " { line.removeLast() }
        return line
    }

    @Test func `an ellipsis stands for any lines`() {
        #expect(matches(["a", "…", "c"], ["a", "b", "b", "c "]))
        #expect(matches(["…"], []))
        #expect(!matches(["a", "…", "c"], ["a", "b"]))
        #expect(!matches(["a"], ["a", "b"]))
    }

    @Test func `every file that a document links to exists`() throws {
        for document in ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "Benchmarks/README.md"] {
            let folder = document.split(separator: "/").dropLast().map { $0 + "/" }.joined()
            for part in try contents(document).components(separatedBy: "](").dropFirst() {
                let link = part.prefix { $0 != ")" && $0 != "#" }
                guard !link.isEmpty, !link.contains("://") else { continue }
                #expect(
                    FileManager.default.fileExists(atPath: packageRoot + "/" + folder + link),
                    "\(document) links to \(link)")
            }
        }
    }
}
