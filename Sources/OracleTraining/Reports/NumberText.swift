/// Numbers as reports print them, without a locale.
enum NumberText {
    /// With `digits` decimals.
    static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return value.isNaN ? "-" : "\(value)" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = (abs(value) * scale).rounded()
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard digits > 0, scaled < 9e15 else { return sign + "\(Int(scaled / scale))" }
        let whole = Int(scaled) / Int(scale)
        let fraction = String(Int(scaled) % Int(scale))
        return "\(sign)\(whole).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }

    /// A fraction as a percentage.
    static func percent(_ value: Double, _ digits: Int = 1) -> String { fixed(100 * value, digits) }

    /// Four significant digits, with an exponent where that is shorter.
    static func significant(_ value: Double) -> String {
        guard value.isFinite, value != 0 else { return "\(value)" }
        var exponent = 0
        var mantissa = abs(value)
        while mantissa >= 10 {
            mantissa /= 10
            exponent += 1
        }
        while mantissa < 1 {
            mantissa *= 10
            exponent -= 1
        }
        let sign = value < 0 ? "-" : ""
        if exponent >= -3, exponent <= 5 { return sign + fixed(abs(value), max(0, 3 - exponent)) }
        return "\(sign)\(fixed(mantissa, 3))e\(exponent)"
    }
}
