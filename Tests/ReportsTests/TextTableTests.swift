import Testing

@testable import Reports

@Suite struct TextTableTests {
    @Test func `columns are as wide as their widest cell and lines end without spaces`() {
        var table = TextTable([.init("run"), .init("TTFT (ms)", .right), .init("verdict")])
        table.add("codegen", "25.6", "stable")
        table.addRule()
        table.add("a much longer name", "1234567.89")
        #expect(
            table.text == """
                run                  TTFT (ms)  verdict
                ------------------  ----------  -------
                codegen                   25.6  stable
                ------------------  ----------  -------
                a much longer name  1234567.89

                """)
    }

    @Test func `numbers are rounded as C rounds them`() {
        #expect(fixed(2.675) == "2.67")
        #expect(fixed(0.125, decimals: 2) == "0.12")
        #expect(fixed(-1.5, decimals: 0) == "-2")
        #expect(
            fixed(1e300).hasPrefix(
                "1000000000000000052504760255204420248704468581108159154915854115511802457988908195786371375080447864"
            ))
        #expect(fixed(.nan) == "nan")
    }

    @Test func `people's numbers have three digits and commas`() {
        #expect(significant(0.012345) == "0.0123")
        #expect(significant(4.567) == "4.57")
        #expect(significant(123456.7) == "123,457")
        #expect(significant(-1234) == "-1,234")
        #expect(significant(0) == "0" && significant(.infinity) == "inf" && significant(.nan) == "-")
        #expect(percentage(0.3664) == "36.6 %" && percentage(1) == "100 %" && percentage(0) == "0 %")
        #expect(grouped(1_234_567) == "1,234,567" && grouped(-1000) == "-1,000" && grouped(7) == "7")
        #expect(percentileName(99) == "99" && percentileName(99.9) == "99.9")
    }

    @Test func `long text breaks between words`() {
        #expect(wrapped("one two three", 7) == ["one two", "three"])
        #expect(wrapped("", 7) == [""])
        #expect(wrapped("unbreakable", 3) == ["unbreakable"])
    }
}
