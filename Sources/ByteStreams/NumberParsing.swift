/// A whole number in decimal: an optional minus sign and digits, nothing else.
/// - Returns: nil for anything else, and for numbers beyond 64 bits.
public func parseInteger(_ bytes: borrowing RawSpan) -> Int64? {
    let count = bytes.byteCount
    guard count > 0, count <= 20 else { return nil }
    let negative = bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self) == UInt8(ascii: "-")
    var position = negative ? 1 : 0
    guard position < count else { return nil }
    var magnitude: UInt64 = 0
    while position < count {
        let digit = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self) &- UInt8(ascii: "0")
        guard digit <= 9 else { return nil }
        let (high, overflow) = magnitude.multipliedReportingOverflow(by: 10)
        let (sum, carry) = high.addingReportingOverflow(UInt64(digit))
        if overflow || carry { return nil }
        magnitude = sum
        position += 1
    }
    if negative {
        return magnitude <= UInt64(Int64.max) + 1 ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil
    }
    return magnitude <= UInt64(Int64.max) ? Int64(magnitude) : nil
}

/// An unsigned 64-bit number in decimal (KV block hashes exceed 2^53 and 2^63).
public func parseUnsigned(_ bytes: borrowing RawSpan) -> UInt64? {
    let count = bytes.byteCount
    guard count > 0, count <= 20 else { return nil }
    var magnitude: UInt64 = 0
    for position in 0..<count {
        let digit = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self) &- UInt8(ascii: "0")
        guard digit <= 9 else { return nil }
        let (high, overflow) = magnitude.multipliedReportingOverflow(by: 10)
        let (sum, carry) = high.addingReportingOverflow(UInt64(digit))
        if overflow || carry { return nil }
        magnitude = sum
    }
    return magnitude
}

/// A finite decimal number as JSON and CSV write them: `-12`, `0.5`, `1e-3`, `.5` and `5.` included.
///
/// Correctly rounded: up to 19 digits and a decimal exponent within 27 by exact 128-bit integer arithmetic,
/// anything longer by the standard library.
/// - Returns: nil for anything else: empty, spaces, `nan`, `inf`, hexadecimal, and numbers too large for a Double.
public func parseDouble(_ bytes: borrowing RawSpan) -> Double? {
    let count = bytes.byteCount
    guard count > 0 else { return nil }
    let negative = bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self) == UInt8(ascii: "-")
    var position = negative ? 1 : 0
    var mantissa: UInt64 = 0
    var exponent = 0
    var digits = 0
    var significant = 0
    var seenPoint = false
    while position < count {
        let byte = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self)
        let digit = byte &- UInt8(ascii: "0")
        if digit <= 9 {
            digits += 1
            if significant > 0 || digit != 0 { significant += 1 }
            if significant <= 19 { mantissa = mantissa &* 10 &+ UInt64(digit) }
            if seenPoint { exponent -= 1 }
        } else if byte == UInt8(ascii: "."), !seenPoint {
            seenPoint = true
        } else {
            break
        }
        position += 1
    }
    guard digits > 0 else { return nil }
    if position < count {
        let mark = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self)
        guard mark == UInt8(ascii: "e") || mark == UInt8(ascii: "E") else { return nil }
        position += 1
        var negativeExponent = false
        if position < count {
            let sign = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self)
            if sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
                negativeExponent = sign == UInt8(ascii: "-")
                position += 1
            }
        }
        guard position < count else { return nil }
        var written = 0
        while position < count {
            let digit = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self) &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            if written < 1_000_000 { written = written * 10 + Int(digit) }
            position += 1
        }
        exponent += negativeExponent ? -written : written
    }
    if significant == 0 { return negative ? -0.0 : 0 }
    let magnitude: Double
    if significant <= 19, exponent >= -27, exponent <= 27 {
        magnitude = scaled(mantissa, byPowerOfTen: exponent)
    } else {
        magnitude = parseSlowly(bytes, from: negative ? 1 : 0)
        guard magnitude.isFinite else { return nil }
    }
    return negative ? -magnitude : magnitude
}

/// `mantissa * 10^exponent` rounded to nearest, ties to even, for |exponent| <= 27 (5^27 < 2^63).
@inline(__always)
func scaled(_ mantissa: UInt64, byPowerOfTen exponent: Int) -> Double {
    if mantissa < 1 << 53 {
        // Both operands exact, so one rounding (Clinger, PLDI 1990).
        if exponent == 0 { return Double(mantissa) }
        if exponent < 0, exponent >= -22 { return Double(mantissa) / exactPowersOfTen[-exponent] }
        if exponent > 0, exponent <= 22 { return Double(mantissa) * exactPowersOfTen[exponent] }
    }
    return scaledExactly(mantissa, byPowerOfTen: exponent)
}

private func scaledExactly(_ mantissa: UInt64, byPowerOfTen exponent: Int) -> Double {
    if mantissa == 0 { return 0 }
    var kept: UInt64
    var sticky: Bool
    var binaryExponent: Int
    if exponent >= 0 {
        let product = mantissa.multipliedFullWidth(by: powersOfFive[exponent])
        if product.high == 0 {
            kept = product.low
            sticky = false
            binaryExponent = exponent
        } else {
            let shift = 64 - product.high.leadingZeroBitCount
            kept = shift == 64 ? product.high : product.high << (64 - shift) | product.low >> shift
            sticky = shift == 64 ? product.low != 0 : product.low << (64 - shift) != 0
            binaryExponent = exponent + shift
        }
    } else {
        // Normalised dividend over normalised divisor: the quotient has 63 or 64 bits.
        let divisor = powersOfFive[-exponent]
        let divisorShift = divisor.leadingZeroBitCount
        let mantissaShift = mantissa.leadingZeroBitCount
        let wide = (mantissa << mantissaShift) >> 1
        let (quotient, remainder) = (divisor << divisorShift).dividingFullWidth((wide, 0))
        kept = quotient
        sticky = remainder != 0 || (mantissa << mantissaShift) & 1 != 0
        binaryExponent = exponent - 63 - mantissaShift + divisorShift
    }
    let excess = 11 - kept.leadingZeroBitCount
    if excess > 0 {
        let half: UInt64 = 1 << (excess - 1)
        let rest = kept & (half << 1 - 1)
        kept >>= UInt64(excess)
        binaryExponent += excess
        if rest > half || (rest == half && (sticky || kept & 1 == 1)) { kept += 1 }
    }
    return Double(sign: .plus, exponent: binaryExponent, significand: Double(kept))
}

private func parseSlowly(_ bytes: borrowing RawSpan, from start: Int) -> Double {
    var text = ""
    text.reserveCapacity(bytes.byteCount)
    for position in start..<bytes.byteCount {
        let byte = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self)
        text.unicodeScalars.append(Unicode.Scalar(byte))
    }
    if text.hasPrefix(".") { text = "0" + text }
    return Double(text) ?? .infinity
}

/// 10^0 ... 10^22, the powers of ten that a Double holds exactly.
private let exactPowersOfTen: InlineArray<23, Double> = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
]

/// 5^0 ... 5^27, the powers of five below 2^63.
private let powersOfFive: InlineArray<28, UInt64> = [
    1, 5, 25, 125, 625, 3125, 15625, 78125, 390_625, 1_953_125, 9_765_625, 48_828_125, 244_140_625,
    1_220_703_125, 6_103_515_625, 30_517_578_125, 152_587_890_625, 762_939_453_125, 3_814_697_265_625,
    19_073_486_328_125, 95_367_431_640_625, 476_837_158_203_125, 2_384_185_791_015_625,
    11_920_928_955_078_125,
    59_604_644_775_390_625, 298_023_223_876_953_125, 1_490_116_119_384_765_625, 7_450_580_596_923_828_125,
]
