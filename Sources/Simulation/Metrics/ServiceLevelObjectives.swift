import ServingCore

/// The limits a request must meet to count towards goodput, as `--goodput ttft:MS tpot:MS e2el:MS` gives them.
///
/// Semantics of `vllm bench serve`: a completed request is good when every limit given is at least its value;
/// a request with fewer than two output tokens has a TPOT of 0.
public struct ServiceLevelObjectives: Equatable, Sendable {
    /// Largest good time to first token, milliseconds.
    public var ttft: Double?
    /// Largest good time per output token, milliseconds.
    public var tpot: Double?
    /// Largest good end-to-end latency, milliseconds.
    public var e2el: Double?

    /// Limits in milliseconds; nil for none.
    public init(ttft: Double? = nil, tpot: Double? = nil, e2el: Double? = nil) {
        self.ttft = ttft
        self.tpot = tpot
        self.e2el = e2el
    }

    /// Reads `NAME:MS` pairs; a later pair replaces an earlier one of the same name.
    /// - Throws: `InvalidInput` of kind `usage` for another form, an unknown name, or a limit that is not a
    ///   number of at least 0.
    public init(parsing pairs: [String]) throws {
        self.init()
        for pair in pairs {
            let parts = pair.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else {
                throw InvalidInput(
                    .usage, field: "--goodput", value: pair, "is not a name and a limit",
                    accepted: "NAME:MILLISECONDS, such as ttft:500")
            }
            guard let limit = Double(parts[1]), limit >= 0, limit.isFinite else {
                throw InvalidInput(
                    .usage, field: "--goodput", value: pair, "has no usable limit",
                    accepted: "a number of milliseconds of at least 0")
            }
            switch parts[0] {
            case "ttft": ttft = limit
            case "tpot": tpot = limit
            case "e2el": e2el = limit
            default:
                let near = nearestName(to: parts[0], among: ["ttft", "tpot", "e2el"])
                throw InvalidInput(
                    .usage, field: "--goodput", value: parts[0],
                    "is not a metric of a request" + (near.map { "; did you mean \($0)?" } ?? ""),
                    accepted: "ttft, tpot or e2el")
            }
        }
    }

    /// Whether no limit is set.
    public var isEmpty: Bool { ttft == nil && tpot == nil && e2el == nil }

    /// Whether a completed request meets every limit.
    func areMet(by record: borrowing RequestRecord) -> Bool {
        if let ttft, Double(record.timeToFirstToken) > ttft * 1e6 { return false }
        if let tpot, (record.timePerOutputToken ?? 0) > tpot * 1e6 { return false }
        if let e2el, Double(record.endToEnd) > e2el * 1e6 { return false }
        return true
    }
}
