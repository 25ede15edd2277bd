import ServingCore

/// How a router in front of several servers of one deployment chooses where a request goes.
public enum RoutingPolicy: String, Sendable, CaseIterable {
    /// One after the other.
    case roundRobin = "round-robin"
    /// The replica with the fewest requests sent to it and not ended; ties from a starting replica that moves on.
    case leastLoaded = "least-loaded"
    /// The replica that has seen the longest part of the prompt, as long as none is far busier than the others.
    case prefixAffinity = "prefix-affinity"
    /// The less loaded of two drawn at random (Mitzenmacher, IEEE TPDS 12, 2001).
    case powerOfTwoChoices = "power-of-two-choices"

    /// Reads a policy's name, with dashes or underscores.
    /// - Throws: `InvalidInput` of kind `usage` that names the nearest policy.
    public init(parsing text: String) throws {
        let name = String(text.lowercased().map { $0 == "_" ? "-" : $0 })
        if let policy = Self(rawValue: name) {
            self = policy
            return
        }
        let names = Self.allCases.map(\.rawValue)
        let near = nearestName(to: name, among: names).map { "; did you mean \($0)?" } ?? ""
        throw InvalidInput(
            .usage, field: "--router", value: text, "is not a way to choose a replica" + near,
            accepted: names.joined(separator: ", "))
    }
}
