import ServingCore

/// A limit that a configuration has to hold: `p99_ttft_ms <= 500`.
public struct Constraint: Sendable, Equatable {
    /// Which figure.
    public var metric: Metric
    /// Whether the limit is the most allowed; otherwise the least.
    public var isUpper: Bool
    /// The limit, in the figure's unit.
    public var limit: Double

    /// As it is written.
    public var text: String { "\(metric) \(isUpper ? "<=" : ">=") \(NumberText.short(limit))" }

    /// Whether a configuration holds it.
    public enum Verdict: String, Sendable {
        /// The confidence limit holds it.
        case holds
        /// Only the estimate does, or only the confidence limit on the other side.
        case uncertain
        /// Even the better confidence limit breaks it.
        case broken
    }

    /// Reads `NAME <= LIMIT`.
    /// - Throws: `InvalidInput`.
    init(parsing text: String, source: String, field: String) throws {
        for sign in ["<=", ">=", "<", ">"] {
            guard let range = Self.range(of: sign, in: text) else { continue }
            let name = String(text[..<range.lowerBound].filter { !$0.isWhitespace })
            let limit = String(text[range.upperBound...].filter { !$0.isWhitespace })
            try self.init(
                name: name, sign: sign, limit: limit, source: source, field: field, whole: text)
            return
        }
        throw InvalidInput(
            source: source, field: field, value: text, "is not a limit",
            accepted: "such as p99_ttft_ms <= 500")
    }

    /// Reads a limit under the figure's name: `<= 500`, `>=0.9`, or a number, which is the most of a latency or cost and
    /// the least of anything else.
    init(name: String, limit text: String, source: String, field: String) throws {
        let sign = ["<=", ">=", "<", ">"].first { text.hasPrefix($0) }
        let metric = try Metric(parsing: name, source: source, field: field)
        let rest = String(text.dropFirst(sign?.count ?? 0).filter { !$0.isWhitespace })
        try self.init(
            name: name, sign: sign ?? (metric.isBetterHigher ? ">=" : "<="), limit: rest, source: source,
            field: field, whole: text)
    }

    private init(name: String, sign: String, limit: String, source: String, field: String, whole: String)
        throws
    {
        metric = try Metric(parsing: name, source: source, field: field)
        guard let number = Double(limit), number.isFinite else {
            throw InvalidInput(
                source: source, field: field, value: whole, "has no limit that is a number",
                accepted: "such as p99_ttft_ms <= 500")
        }
        isUpper = sign.hasPrefix("<")
        self.limit = number
    }

    private static func range(of sign: String, in text: String) -> Range<String.Index>? {
        var start = text.startIndex
        while start < text.endIndex {
            if text[start...].hasPrefix(sign) { return start..<text.index(start, offsetBy: sign.count) }
            start = text.index(after: start)
        }
        return nil
    }

    /// Judges a figure with its confidence interval.
    /// - Parameters:
    ///   - value: the estimate; nil when the run has none.
    ///   - isMeasured: whether the figure is a sample's, so that a missing bound means it is not known.
    func verdict(value: Double?, lower: Double?, upper: Double?, isMeasured: Bool) -> Verdict {
        guard let value else { return .broken }
        let worse = (isUpper ? upper : lower) ?? (isMeasured ? nil : value)
        let better = (isUpper ? lower : upper) ?? (isMeasured ? nil : value)
        func allows(_ figure: Double) -> Bool { isUpper ? figure <= limit : figure >= limit }
        if let worse, allows(worse) { return .holds }
        if let better { return allows(better) ? .uncertain : .broken }
        return allows(value) ? .uncertain : .broken
    }

    /// Checks that limits can hold together.
    /// - Throws: `InvalidInput` naming the two that cannot.
    static func checkTogether(_ constraints: [Constraint], source: String) throws {
        for constraint in constraints {
            guard constraint.metric.latency != nil || constraint.metric.name != "" else { continue }
            if constraint.isUpper, constraint.limit < 0 {
                throw InvalidInput(
                    source: source, field: "constraints", value: constraint.text,
                    "can never hold, since the figure is never negative")
            }
            if !constraint.isUpper, constraint.limit > 1,
                [
                    "good_share", "max_kv_cache_usage", "mean_kv_cache_usage",
                    "prefix_cache_hit_rate", "busy_share",
                ].contains(constraint.metric.name)
            {
                throw InvalidInput(
                    source: source, field: "constraints", value: constraint.text,
                    "can never hold, since the figure is at most 1")
            }
        }
        for lower in constraints where !lower.isUpper {
            for upper in constraints where upper.isUpper && Self.exceeds(lower, upper) {
                throw InvalidInput(
                    source: source, field: "constraints", value: lower.text,
                    "contradicts \(upper.text): no configuration can hold both")
            }
        }
    }

    /// Whether holding the lower limit means breaking the upper one.
    private static func exceeds(_ lower: Constraint, _ upper: Constraint) -> Bool {
        guard lower.limit > upper.limit else { return false }
        if lower.metric == upper.metric { return true }
        // A percentile is at least every lower percentile of the same latency.
        guard let a = lower.metric.latency, let b = upper.metric.latency, a.of == b.of,
            case .percentile(let low) = a.statistic, case .percentile(let high) = b.statistic
        else { return false }
        return low <= high
    }
}
