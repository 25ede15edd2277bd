/// What reading a trace came upon: counts, warnings and why rows were left out.
public struct TraceReport: Equatable, Sendable {
    /// Rows handed out or left out.
    public var steps = 0
    /// Rows that may be trained on.
    public var usable = 0
    /// Rows left out, by `StepExclusion.rawValue`.
    public var excluded = [Int](repeating: 0, count: StepExclusion.allCases.count)
    /// Rows by `ContextSource.rawValue`.
    public var contextSources = [Int](repeating: 0, count: ContextSource.allCases.count)
    /// Usable rows by `TargetSource.rawValue`.
    public var targetSources = [Int](repeating: 0, count: TargetSource.allCases.count)
    /// Events that were dropped because a field was malformed, not finite or out of range.
    public var malformedEvents = 0
    /// Events without an attribute that is needed.
    public var incompleteEvents = 0
    /// Lines that are not valid JSON (or CSV) and were dropped.
    public var malformedLines = 0
    /// Events recorded more than once, the same each time.
    public var duplicateEvents = 0
    /// Events recorded more than once with different values.
    public var conflictingEvents = 0
    /// Steps without KV-cache attributes.
    public var stepsWithoutKV = 0
    /// Events that the exporter says it dropped (`droppedEventsCount`).
    public var droppedByExporter = 0
    /// Files that end in the middle of a frame or a line.
    public var truncatedFiles = 0
    /// Messages or frames that could not be decoded.
    public var damagedFrames = 0
    /// Runs: uninterrupted stretches of one engine's clock and step counter.
    public var runs = 0
    /// Files read.
    public var files: [String] = []
    /// What a person should know, each in one line.
    public var warnings: [String] = []

    /// What was checked and found right, each in one line.
    public var notes: [String] = []

    /// Nothing read yet.
    public init() {}

    /// Adds a warning once.
    mutating func warn(_ text: String) {
        if warnings.count < 1000, !warnings.contains(text) { warnings.append(text) }
    }

    /// Adds a note once.
    mutating func note(_ text: String) {
        if notes.count < 1000, !notes.contains(text) { notes.append(text) }
    }

    /// Counts a row.
    @inline(__always)
    mutating func count(_ row: StepRow) {
        steps &+= 1
        contextSources[Int(row.contextSource.rawValue)] &+= 1
        if let exclusion = row.exclusion {
            excluded[Int(exclusion.rawValue)] &+= 1
        } else {
            usable &+= 1
            targetSources[Int(row.targetSource.rawValue)] &+= 1
        }
    }
}
