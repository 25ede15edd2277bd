import Catalog
import ServingCore

/// What the best configuration has most or least of.
public struct Objective: Sendable, Equatable {
    /// Which figure.
    public var metric: Metric
    /// Whether the most is best; otherwise the least.
    public var isMaximized: Bool

    /// As it is written.
    public var text: String { (isMaximized ? "maximize " : "minimize ") + metric.name }

    /// Output tokens per second and GPU.
    public static let throughputPerGPU = Objective(metric: .outputThroughputPerGPU, isMaximized: true)

    /// An objective.
    public init(metric: Metric, isMaximized: Bool) {
        self.metric = metric
        self.isMaximized = isMaximized
    }

    /// Reads a figure's name, `maximize NAME` or `minimize NAME`, as text or as a mapping of one.
    /// - Throws: `InvalidInput`.
    init(_ value: ConfigValue, source: String) throws {
        var text: String
        switch value {
        case .string(let given): text = given
        case .object(let members) where members.count == 1:
            guard let (key, inner) = members.first, case .string(let name) = inner else { fallthrough }
            text = key + " " + name
        default:
            throw InvalidInput(
                source: source, field: "objective", value: value.text, "is not an objective",
                accepted: "a figure's name, maximize NAME or minimize NAME")
        }
        let words = text.split(separator: " ").map(String.init)
        let direction = words.count == 2 ? words[0].lowercased() : nil
        guard let name = words.last, words.count <= 2,
            direction == nil || ["maximize", "minimize"].contains(direction)
        else {
            throw InvalidInput(
                source: source, field: "objective", value: text, "is not an objective",
                accepted: "a figure's name, maximize NAME or minimize NAME")
        }
        metric = try Metric(parsing: name, source: source, field: "objective")
        isMaximized = direction.map { $0 == "maximize" } ?? metric.isBetterHigher
    }

    /// Whether `a` is better than `b`.
    func prefers(_ a: Double, to b: Double) -> Bool { isMaximized ? a > b : a < b }
}
