#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A number with a fixed count of decimals, rounded as C and Python do it (`%.2f`, `{:.2f}`).
public func fixed(_ value: Double, decimals: Int = 2) -> String {
    // Large enough for the largest Double and its decimals.
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 400) { buffer in
        let length = withVaList([Int32(max(0, min(decimals, 40))), value]) {
            vsnprintf(buffer.baseAddress, buffer.count, "%.*f", $0)
        }
        return String(
            decoding: UnsafeRawBufferPointer(buffer).prefix(max(0, Int(length))), as: UTF8.self)
    }
}

/// A number with about `digits` significant digits and no exponent, for people: `0.0123`, `4.57`, `123,456`.
public func significant(_ value: Double, digits: Int = 3) -> String {
    guard value.isFinite else { return value.isNaN ? "-" : value < 0 ? "-inf" : "inf" }
    guard value != 0, abs(value) < 1e18 else { return value == 0 ? "0" : "\(value)" }
    let magnitude = Int(floor(log10(abs(value))))
    return grouped(fixed(value, decimals: max(0, min(digits - 1 - magnitude, 12))))
}

/// A whole number with commas between thousands.
public func grouped(_ value: Int) -> String { grouped("\(value)") }

private func grouped(_ text: String) -> String {
    let sign = text.hasPrefix("-") ? "-" : ""
    let parts = text.dropFirst(sign.count).split(separator: ".", maxSplits: 1)
    var whole = ""
    for (place, digit) in parts[0].reversed().enumerated() {
        if place > 0, place % 3 == 0 { whole.append(",") }
        whole.append(digit)
    }
    return sign + String(whole.reversed()) + (parts.count > 1 ? "." + parts[1] : "")
}

/// A share as a percentage of about three digits: `36.6 %`.
public func percentage(_ share: Double) -> String { significant(share * 100) + " %" }

/// A percentile as vLLM names it: `99`, `99.9`.
public func percentileName(_ percent: Double) -> String {
    if let whole = Int(exactly: percent) { return "\(whole)" }
    return "\(percent)"
}
