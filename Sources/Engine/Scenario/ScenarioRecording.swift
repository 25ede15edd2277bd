/// A recorded scenario: the header, a record per step, and the summary line, if there is one.
public struct ScenarioRecording: Sendable {
    /// Engine limits and requests.
    public var scenario: SchedulerScenario
    /// One object per recorded step.
    public var records: [[String: JSONValue]]
    /// The last line; nil for a file that was cut off.
    public var summary: [String: JSONValue]?

    /// The first place where a replay differs from the recording.
    public struct Difference: Sendable, CustomStringConvertible {
        /// Step index, nil for the summary.
        public var step: Int?
        /// The key that differs.
        public var key: String
        /// What the file says; nil when it has no such key.
        public var recorded: JSONValue?
        /// What the replay gave.
        public var replayed: JSONValue?

        /// One line that names step, key and both values.
        public var description: String {
            let place = step.map { "step \($0)" } ?? "summary"
            return
                "\(place): \(key): recorded \(recorded?.description ?? "nothing"), replayed \(replayed?.description ?? "nothing")"
        }
    }

    /// A recording of a valid scenario.
    public init(scenario: SchedulerScenario, records: [[String: JSONValue]], summary: [String: JSONValue]?) {
        self.scenario = scenario
        self.records = records
        self.summary = summary
    }

    /// Replays the scenario and compares every key of every step, and the summary.
    /// - Parameters:
    ///   - sharesEverything: treat text that only one prompt holds as if others could ask for it.
    ///   - exactSteps: visit every request in every step.
    ///   - checksInvariants: check the engine's invariants after each change.
    /// - Returns: the first difference; nil when there is none.
    public func firstDifference(
        sharesEverything: Bool = false, exactSteps: Bool = false, checksInvariants: Bool = true
    ) -> Difference? {
        var lastStep = -1
        if case .int(let step)? = records.last?["s"] { lastStep = step }
        let isCut = summary == nil || summary?["end"] == .string(ScenarioReplay.Ending.maxSteps.rawValue)
        var replay = ScenarioReplay(
            scenario, maxSteps: isCut ? lastStep + 1 : .max, sharesEverything: sharesEverything,
            exactSteps: exactSteps, checksInvariants: checksInvariants)
        for recorded in records {
            var step: Int?
            if case .int(let value)? = recorded["s"] { step = value }
            guard let record = replay.next() else {
                return Difference(step: step, key: "s", recorded: recorded["s"], replayed: nil)
            }
            if let difference = Self.compare(recorded, record, step: step) { return difference }
        }
        if let extra = replay.next() {
            return Difference(step: lastStep + 1, key: "s", recorded: nil, replayed: extra[0].value)
        }
        guard var summary else { return nil }
        // Recorders count steps in two ways: those recorded, or all up to the last one.
        if summary["steps"] == .int(records.count) || summary["steps"] == .int(lastStep + 1) {
            summary["steps"] = nil
        }
        let replayed = replay.summary.filter { summary[$0.key] != nil || $0.key == "end" }
        return Self.compare(summary, replayed, step: nil)
    }

    private static func compare(
        _ recorded: [String: JSONValue], _ replayed: [(key: String, value: JSONValue)], step: Int?
    ) -> Difference? {
        for (key, value) in replayed where recorded[key] != value {
            return Difference(step: step, key: key, recorded: recorded[key], replayed: value)
        }
        for key in recorded.keys.sorted() where !replayed.contains(where: { $0.key == key }) {
            return Difference(step: step, key: key, recorded: recorded[key], replayed: nil)
        }
        return nil
    }
}
