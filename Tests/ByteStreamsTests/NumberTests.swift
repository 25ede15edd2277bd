import ByteStreams
import ServingCore
import Testing

func double(_ text: String) -> Double? {
    let bytes = Array(text.utf8)
    return parseDouble(bytes.span.bytes)
}

func integer(_ text: String) -> Int64? {
    let bytes = Array(text.utf8)
    return parseInteger(bytes.span.bytes)
}

@Suite struct NumberTests {
    @Test func `numbers parse exactly as the standard library parses them`() {
        var random = RandomStream(seed: 7, purpose: "numbers")
        for _ in 0..<100_000 {
            let value = Double(
                bitPattern: random.next() & ~(0x7FF << 52) | UInt64(1023 - 60 + random.next() % 120) << 52)
            #expect(double(value.description) == value)
            let digits = random.next()
            let shift = Int(random.next() % 60) - 30
            let text = "\(digits)e\(shift)"
            if double(text) != Double(text) { Issue.record("\(text)") }
            let small = "\(digits % 100_000_000).\(random.next() % 10_000_000_000)"
            if double(small) != Double(small) { Issue.record("\(small)") }
        }
        // Half-way cases, where a second rounding would show.
        for mantissa in [9_007_199_254_740_993, 9_007_199_254_740_995, 18_014_398_509_481_986] as [UInt64] {
            for power in -27...27 {
                let text = "\(mantissa)e\(power)"
                #expect(double(text) == Double(text))
            }
        }
        for text in ["0", "-0", "1e308", "4.9e-324", "1e-400", "123456789012345678901234567890", ".5", "5."] {
            let expected = Double(text == ".5" ? "0.5" : text == "5." ? "5" : text)
            #expect(double(text)?.bitPattern == expected?.bitPattern)
        }
    }

    @Test func `anything but a finite decimal number is refused`() {
        for text in [
            "", "-", "+1", " 1", "1 ", "nan", "inf", "1e", "1e+", "1.2.3", "0x10", "1e999", ".", "e5", "--1",
        ] {
            #expect(double(text) == nil, "\(text)")
        }
        for text in ["", "-", "1.0", "9223372036854775808", "99999999999999999999", "1e3", " 1", "+1"] {
            #expect(integer(text) == nil, "\(text)")
        }
        #expect(integer("-9223372036854775808") == .min)
        #expect(integer("9223372036854775807") == .max)
        let big = Array("18446744073709551615".utf8)
        #expect(parseUnsigned(big.span.bytes) == .max)
    }
}
