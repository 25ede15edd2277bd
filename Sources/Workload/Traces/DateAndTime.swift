import ServingCore

/// Nanoseconds since 1970 of `2023-11-16 18:15:46.6805900`: a space or `T` between date and time, up to nine
/// decimals that count, and an optional `Z` or offset such as `+01:00`. Years 1700 to 2200.
/// - Returns: nil for anything else.
func parseDateAndTime(_ bytes: borrowing RawSpan) -> Ticks? {
    var position = 0
    let count = bytes.byteCount

    func digit(_ at: Int) -> Int? {
        guard at < count else { return nil }
        let value = bytes.unsafeLoad(fromByteOffset: at, as: UInt8.self) &- UInt8(ascii: "0")
        return value <= 9 ? Int(value) : nil
    }
    func number(_ digits: Int, _ range: ClosedRange<Int>, _ position: inout Int) -> Int? {
        var value = 0
        for _ in 0..<digits {
            guard let next = digit(position) else { return nil }
            value = value * 10 + next
            position += 1
        }
        return range.contains(value) ? value : nil
    }
    func mark(_ wanted: StaticString, _ position: inout Int) -> Bool {
        guard position < count else { return false }
        let byte = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self)
        for offset in 0..<wanted.utf8CodeUnitCount where wanted.utf8Start[offset] == byte {
            position += 1
            return true
        }
        return false
    }

    guard let year = number(4, 1700...2200, &position), mark("-", &position),
        let month = number(2, 1...12, &position), mark("-", &position),
        let day = number(2, 1...31, &position), mark(" T", &position),
        let hour = number(2, 0...23, &position), mark(":", &position),
        let minute = number(2, 0...59, &position), mark(":", &position),
        let second = number(2, 0...60, &position)
    else { return nil }
    var nanoseconds = 0
    if mark(".,", &position) {
        var unit = 100_000_000
        guard digit(position) != nil else { return nil }
        while let next = digit(position) {
            nanoseconds += next * unit
            unit /= 10
            position += 1
        }
    }
    var offset = 0
    if position < count, !mark("Zz", &position) {
        let negative = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self) == UInt8(ascii: "-")
        guard mark("+-", &position), let hours = number(2, 0...23, &position) else { return nil }
        _ = mark(":", &position)
        let minutes = position < count ? number(2, 0...59, &position) : 0
        guard let minutes else { return nil }
        offset = (hours * 60 + minutes) * (negative ? -60 : 60)
    }
    guard position == count else { return nil }
    let seconds = (daysSince1970(year, month, day) * 24 + hour) * 3600 + minute * 60 + second - offset
    return Ticks(seconds) * .perSecond + Ticks(nanoseconds)
}

/// Days from 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
private func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
}
