/// A distribution in constant memory: counts in bins whose width is a 64th of a power of two, so that quantiles are
/// within 0.8 % of the value.
public struct Distribution: Equatable, Sendable {
    /// Values added.
    public private(set) var count = 0
    /// Smallest and largest value.
    public private(set) var minimum = Double.infinity
    /// Largest value.
    public private(set) var maximum = -Double.infinity
    private var sum = 0.0
    private var bins: [Int32: Int] = [:]

    /// No values.
    public init() {}

    /// Adds a value of at least 0; others are ignored.
    public mutating func add(_ value: Double) {
        guard value >= 0, value.isFinite else { return }
        count += 1
        sum += value
        minimum = min(minimum, value)
        maximum = max(maximum, value)
        bins[Self.bin(value), default: 0] += 1
    }

    /// Mean; 0 without values.
    public var mean: Double { count > 0 ? sum / Double(count) : 0 }

    /// The smallest value that a share `p` of the values does not exceed, within the width of a bin.
    public func quantile(_ p: Double) -> Double {
        guard count > 0 else { return 0 }
        let rank = max(1, min(count, Int((p * Double(count)).rounded(.up))))
        var seen = 0
        for bin in bins.keys.sorted() {
            seen += bins[bin] ?? 0
            if seen >= rank { return min(maximum, max(minimum, Self.middle(bin))) }
        }
        return maximum
    }

    private static func bin(_ value: Double) -> Int32 {
        if value == 0 { return .min }
        return Int32(truncatingIfNeeded: Int64(bitPattern: value.bitPattern) >> 46)
    }

    private static func middle(_ bin: Int32) -> Double {
        if bin == .min { return 0 }
        let lower = Double(bitPattern: UInt64(bitPattern: Int64(bin)) << 46)
        // Counts up to 64 have a bin each, which begins at the count.
        if lower <= 64, lower == lower.rounded() { return lower }
        return Double(bitPattern: UInt64(bitPattern: Int64(bin)) << 46 | 1 << 45)
    }
}
