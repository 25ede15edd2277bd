import ServingCore

/// A named set of candidate features, one list for the step time (beta) and one for the queueing time (alpha).
public struct FeatureSet: Sendable {
    /// Name by which `--features` and artifacts refer to it.
    public let name: String
    /// What it is, in one line.
    public let summary: String
    /// Candidates for the duration of a step; the first is the constant.
    public let step: [StepFeature]
    /// Candidates for the wait of a request; the first is the constant.
    public let queue: [QueueFeature]
    /// Features of the engine around its kernels, learned by the hierarchical method alone: known by name, but no
    /// candidates of a fit to any rows.
    public var engine: [StepFeature] = []

    /// All sets, the default first.
    public static let all: [FeatureSet] = [physics, bsrARD, rece]

    /// The set of a name.
    /// - Throws: `InvalidInput` naming the nearest known set.
    public static func named(_ name: String, source: String? = nil) throws -> FeatureSet {
        if let found = all.first(where: { $0.name == name }) { return found }
        throw unknown(name, field: "feature_set", among: all.map(\.name), source: source)
    }

    /// The step feature of a name in any set; sets may share names only for the same feature.
    /// - Throws: `InvalidInput` naming the nearest known feature.
    public static func stepFeature(named name: String, in set: FeatureSet, source: String? = nil) throws
        -> StepFeature
    {
        if let found = set.step.first(where: { $0.name == name })
            ?? set.engine.first(where: { $0.name == name })
        {
            return found
        }
        throw unknown(
            name, field: "feature", among: (set.step + set.engine).map(\.name), source: source)
    }

    /// The queue feature of a name.
    /// - Throws: `InvalidInput` naming the nearest known feature.
    public static func queueFeature(named name: String, in set: FeatureSet, source: String? = nil) throws
        -> QueueFeature
    {
        if let found = set.queue.first(where: { $0.name == name }) { return found }
        throw unknown(name, field: "feature", among: set.queue.map(\.name), source: source)
    }

    private static func unknown(_ name: String, field: String, among known: [String], source: String?)
        -> InvalidInput
    {
        let accepted =
            nearestName(to: name, among: known).map { "did you mean \($0)?" }
            ?? known.joined(separator: ", ")
        return InvalidInput(source: source, field: field, value: name, "is not known", accepted: accepted)
    }
}
