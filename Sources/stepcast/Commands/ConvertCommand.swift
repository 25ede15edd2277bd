import ArgumentParser
import Foundation
import ServingCore
import StepTraces

/// `stepcast convert`: any trace as a native step trace.
struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Convert traces of any kind to a native step trace.",
        discussion: """
            Writes the rows that can be trained on, each with its target and where target and context lengths come from; \
            compressed when the name ends in .zst. What was left out and why is said on standard error.

            EXAMPLES
              stepcast convert traces.json.zst steps.jsonl.zst
              stepcast convert runs/ steps.jsonl.zst --all
            """)

    @Argument(help: "Trace files and folders, and last the file to write.", completion: .file())
    var paths: [String]

    @OptionGroup var flags: TraceFlags

    @Flag(help: "Write rows that must not be trained on as well, each with the reason.")
    var all = false

    func validate() throws {
        if paths.count < 2 { throw ValidationError("Name at least one trace and the file to write.") }
    }

    func run() throws {
        var options = flags.options
        options.includeExcluded = all
        let output = paths[paths.count - 1]
        var reader = try StepTraceReader(paths: Array(paths.dropLast()), options: options)
        var row = StepRow()
        guard try reader.next(&row) else {
            say(reader.report.warnings)
            throw InvalidInput(source: paths[0], "has no step that can be used")
        }
        var group = reader.groups[row.group]
        var writer = try NativeStepTraceWriter(
            path: output, facts: group.facts, configuration: group.configuration, name: group.name)
        var current = row.group
        repeat {
            if row.group != current {
                current = row.group
                group = reader.groups[current]
                try writer.beginGroup(
                    facts: group.facts, configuration: group.configuration, name: group.name)
            }
            writer.append(row)
        } while try reader.next(&row)
        try writer.finish()
        say(reader.report.warnings)
        let (steps, usable) = (reader.report.steps, reader.report.usable)
        say(["\(steps) steps read, \(usable) of them usable"])
    }

    private func say(_ lines: [String]) {
        for line in lines { FileHandle.standardError.write(Data("stepcast: \(line)\n".utf8)) }
    }
}
