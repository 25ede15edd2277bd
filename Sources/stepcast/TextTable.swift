/// A table of plain text: columns as wide as their widest cell, numbers to the right.
struct TextTable {
    private var rows: [[String]]
    private let rightAligned: Set<Int>

    /// An empty table with a heading; columns in `rightAligned` hold numbers.
    init(_ heading: [String], rightAligned: Set<Int> = []) {
        rows = [heading]
        self.rightAligned = rightAligned
    }

    /// Adds a row of as many cells as the heading has.
    mutating func add(_ row: [String]) { rows.append(row) }

    /// The lines, without spaces at their ends.
    var text: String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let space = String(repeating: " ", count: widths[column] - cell.count)
                line += rightAligned.contains(column) ? space + cell : cell + space
                line += "  "
            }
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }
}

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
