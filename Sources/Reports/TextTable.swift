/// A table for a terminal: a header, rows, columns as wide as their widest cell.
///
/// ```swift
/// var table = TextTable([.init("run"), .init("TTFT (ms)", .right)])
/// table.add("codegen", "25.6")
/// print(table.text)
/// ```
public struct TextTable: Sendable {
    /// Where a column's cells stand.
    public enum Alignment: Sendable { case left, right }

    /// A column.
    public struct Column: Sendable {
        /// What stands above it.
        public var title: String
        /// Where its cells stand.
        public var alignment: Alignment

        /// A column of text, or of numbers when aligned to the right.
        public init(_ title: String, _ alignment: Alignment = .left) {
            self.title = title
            self.alignment = alignment
        }
    }

    private let columns: [Column]
    private var rows: [[String]] = []

    /// A table without rows.
    public init(_ columns: [Column]) { self.columns = columns }

    /// A table without rows whose columns have these titles; those in `rightAligned` hold numbers.
    public init(_ titles: [String], rightAligned: Set<Int> = []) {
        columns = titles.enumerated().map {
            Column($0.element, rightAligned.contains($0.offset) ? .right : .left)
        }
    }

    /// Adds a row; missing cells are empty.
    public mutating func add(_ cells: String...) { add(cells) }

    /// Adds a row; missing cells are empty, cells beyond the last column are an error of the caller.
    public mutating func add(_ cells: [String]) {
        precondition(cells.count <= columns.count, "a row has at most as many cells as the table has columns")
        rows.append(cells + Array(repeating: "", count: columns.count - cells.count))
    }

    /// Adds a line across the table.
    public mutating func addRule() { rows.append([]) }

    /// The table, a line each, the last one with its newline; no line ends in spaces.
    public var text: String {
        var widths = columns.map { Self.width($0.title) }
        for row in rows {
            for (place, cell) in row.enumerated() { widths[place] = max(widths[place], Self.width(cell)) }
        }
        let rule = widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ") + "\n"
        var text = line(columns.map(\.title), widths) + rule
        for row in rows { text += row.isEmpty ? rule : line(row, widths) }
        return text
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var line = ""
        for (place, cell) in cells.enumerated() {
            if place > 0 { line += "  " }
            let padding = String(repeating: " ", count: widths[place] - Self.width(cell))
            line += columns[place].alignment == .left ? cell + padding : padding + cell
        }
        while line.hasSuffix(" ") { line.removeLast() }
        return line + "\n"
    }

    /// Places on the terminal; one for a character, which holds for Latin and the signs used here.
    private static func width(_ cell: String) -> Int { cell.count }
}
