/// Numbers as people read them.
enum Readable {
    /// A number with `digits` decimals and no exponent.
    static func fixed(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((abs(value) * scale).rounded())
        let whole = scaled / Int(scale)
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(whole)" }
        let fraction = String(scaled % Int(scale))
        return "\(sign)\(whole).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }

    /// A count of parameters: `8.03 B`, `125 M`.
    static func parameters(_ count: Double) -> String {
        count >= 1e9
            ? fixed(count / 1e9, digits: count >= 1e11 ? 0 : count >= 1e10 ? 1 : 2) + " B"
            : fixed(count / 1e6, digits: 0) + " M"
    }

    /// Bytes in GiB.
    static func gibibytes(_ bytes: Double) -> String { fixed(bytes / 1_073_741_824, digits: 2) + " GiB" }
}
