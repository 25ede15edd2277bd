import ByteStreams
import ServingCore

/// The step rows of any number of trace files and folders, one after the other.
///
/// ```swift
/// var reader = try StepTraceReader(paths: paths)
/// var row = StepRow()
/// while try reader.next(&row) { use(row, reader.groups[row.group]) }
/// print(reader.report.usable)
/// ```
/// A folder is an experiment when it holds trace files, else its folders are looked into. Native traces and tables
/// are streamed in constant memory. OTLP events come in no particular order and need each other (the end of a step
/// is the start of another), so their numbers are kept, in about 150 bytes an event.
public struct StepTraceReader: ~Copyable {
    /// Deployments met so far; complete at the end.
    public private(set) var groups: [TraceGroup] = []
    /// What reading came upon so far; complete at the end.
    public private(set) var report = TraceReport()

    private let options: TraceOptions
    private let experiments: [TraceExperiment]
    private var nextExperiment = 0
    private var nextFile = 0
    private var native: NativeStepTraceReader?
    private var table: StepTableReader?
    private var assembled: AssembledSteps?
    private var openName = ""
    private var groupMap: [Int] = []
    private var runOffset = 0
    private var lastRun = -1

    /// Looks at what is there; nothing is read yet.
    /// - Throws: `InvalidInput` when a path does not exist or holds no trace.
    public init(paths: [String], options: TraceOptions = .init()) throws {
        self.options = options
        experiments = try TraceExperiment.find(paths: paths, options: options)
    }

    /// Reads the next row.
    /// - Returns: false at the end.
    /// - Throws: `InvalidInput` when a file is damaged or says something that cannot be used; rows handed out before
    ///   are not confirmed then.
    public mutating func next(_ row: inout StepRow) throws -> Bool {
        while true {
            if native != nil {
                while try native!.next(&row) {
                    if row.group >= groupMap.count { try mapGroups(native!.knownGroups()) }
                    if handOut(&row) { return true }
                }
                finishNative()
            } else if table != nil {
                while try table!.next(&row) {
                    if row.group >= groupMap.count { try mapGroups(table!.knownGroups()) }
                    if handOut(&row) { return true }
                }
                if table!.wasTruncated() { report.noteTruncation(openName) }
                table = nil
            } else if assembled != nil {
                while assembled!.next(&row) {
                    if handOut(&row) { return true }
                }
                assembled = nil
            }
            guard try openNext() else { return false }
        }
    }

    @inline(__always)
    private mutating func handOut(_ row: inout StepRow) -> Bool {
        row.group = groupMap[row.group]
        row.run += runOffset
        if row.run != lastRun {
            report.runs += 1
            lastRun = row.run
        }
        report.count(row)
        return row.exclusion == nil || options.includeExcluded
    }

    private mutating func finishNative() {
        let problems = native!.problems()
        report.malformedLines += problems.malformedLines
        if let first = problems.firstMalformed { report.warn("\(first); the line was dropped") }
        if problems.isTruncated { report.noteTruncation(openName) }
        native = nil
    }

    /// Gives the groups of the open source their places among all groups.
    private mutating func mapGroups(_ theirs: [TraceGroup]) throws {
        for group in theirs[groupMap.count...] {
            var group = group
            try group.configuration.merge(options.flags, from: "the flags", existing: openName)
            if let known = groups.firstIndex(where: {
                $0.configuration == group.configuration && $0.facts == group.facts
            }) {
                groupMap.append(known)
            } else {
                groups.append(group)
                groupMap.append(groups.count - 1)
            }
        }
    }

    /// Opens the next file or experiment.
    /// - Returns: false when there is none.
    private mutating func openNext() throws -> Bool {
        while nextExperiment < experiments.count {
            let experiment = experiments[nextExperiment]
            groupMap = []
            runOffset = lastRun + 1
            if nextFile < experiment.streamed.count {
                let file = experiment.streamed[nextFile]
                nextFile += 1
                openName = file.path
                report.files.append(file.path)
                if file.kind == TraceKind.native {
                    native = try NativeStepTraceReader(path: file.path)
                } else {
                    table = try StepTableReader(path: file.path)
                }
                return true
            }
            nextFile = 0
            nextExperiment += 1
            openName = experiment.name
            for file in experiment.assembledFiles { report.files.append(file.path) }
            if let steps = try AssembledSteps(experiment, options: options, report: &report) {
                assembled = steps
                try mapGroups([steps.group])
                return true
            }
        }
        return false
    }
}
