import ServingCore

/// The rows of a CSV file with a header line, fields as byte ranges of the line.
///
/// ```swift
/// var rows = try CSVReader(path: "runs.csv.zst")
/// let arrival = try rows.column("arrival_s")
/// while try rows.next() { use(try rows.double(arrival)) }
/// ```
/// Fields may be quoted (`"a,b"`, doubled quotes inside), but may not hold a newline. Empty lines are skipped. Every
/// row must have as many fields as the header.
public struct CSVReader: ~Copyable {
    /// Column names in order, unquoted, spaces around them and a byte-order mark removed.
    public let header: [String]
    /// Number of the current line, the header being line 1 if nothing stands before it.
    public var lineNumber: Int { lines.lineNumber }
    /// What messages call the file.
    public var name: String { lines.name }
    /// Whether the file ended in the middle of a zstd frame.
    public var isTruncated: Bool { lines.isTruncated }
    /// Whether the current row's line ended with a newline; an unfinished last line may be cut off.
    public var lineIsTerminated: Bool { lines.lineIsTerminated }

    private var lines: LineReader
    private var starts: [Int32]
    private var ends: [Int32]

    /// Opens a CSV file and reads its header.
    /// - Throws: `InvalidInput` when it cannot be read or has no header.
    public init(path: String) throws { try self.init(lines: LineReader(path: path)) }

    /// Reads the header from the first line that isn't empty.
    /// - Throws: `InvalidInput` when there is none.
    public init(lines: consuming LineReader) throws {
        var lines = lines
        var names: [String] = []
        while names.isEmpty {
            guard try lines.next() else {
                throw InvalidInput(source: lines.name, "is empty", accepted: "CSV with a header line")
            }
            if isBlank(lines.line) { continue }
            var starts: [Int32] = []
            var ends: [Int32] = []
            guard splitCSV(lines.line, starts: &starts, ends: &ends) else {
                throw InvalidInput(
                    source: lines.name, line: lines.lineNumber, "has a quote that is never closed")
            }
            for index in starts.indices {
                names.append(
                    trimmedName(text(of: lines.line, from: Int(starts[index]), to: Int(ends[index]))))
            }
        }
        header = names
        starts = []
        ends = []
        starts.reserveCapacity(names.count)
        ends.reserveCapacity(names.count)
        self.lines = lines
    }

    /// The position of a column.
    /// - Throws: `InvalidInput` naming the nearest column when there is none of that name.
    public func column(_ name: String) throws -> Int {
        if let index = header.firstIndex(of: name) { return index }
        let near = nearestName(to: name, among: header).map { "; did you mean \($0)?" } ?? ""
        throw InvalidInput(source: self.name, field: name, "is not a column of this file" + near)
    }

    /// The position of the first of several names that a column may have, nil when none is there.
    public func columnIfPresent(_ names: String...) -> Int? {
        for name in names {
            if let index = header.firstIndex(of: name) { return index }
        }
        return nil
    }

    /// Moves to the next row.
    /// - Returns: false at the end.
    /// - Throws: `InvalidInput` when the number of fields differs from the header's.
    public mutating func next() throws -> Bool {
        while try lines.next() {
            if isBlank(lines.line) { continue }
            starts.removeAll(keepingCapacity: true)
            ends.removeAll(keepingCapacity: true)
            guard splitCSV(lines.line, starts: &starts, ends: &ends) else {
                throw InvalidInput(source: name, line: lineNumber, "has a quote that is never closed")
            }
            guard starts.count == header.count else {
                throw InvalidInput(
                    source: name, line: lineNumber, "has \(starts.count) fields",
                    accepted: "\(header.count), as in the header")
            }
            return true
        }
        return false
    }

    /// The bytes of a field, without its quotes; doubled quotes inside are still doubled.
    @_lifetime(borrow self)
    public func field(_ column: Int) -> RawSpan {
        lines.line.extracting(Int(starts[column])..<Int(ends[column]))
    }

    /// Whether a field is empty.
    public func isEmpty(_ column: Int) -> Bool { starts[column] == ends[column] }

    /// A field as text.
    public func string(_ column: Int) -> String {
        text(of: lines.line, from: Int(starts[column]), to: Int(ends[column]))
    }

    /// A field as a whole number (`3.0` counts as one).
    /// - Throws: `InvalidInput` naming line, column and value.
    public func integer(
        _ column: Int, in range: ClosedRange<Int> = 0...Int.max
    ) throws -> Int {
        let bytes = field(column)
        if let value = parseInteger(bytes), range.contains(Int(value)) { return Int(value) }
        if let value = parseDouble(bytes), let whole = Int(exactly: value), range.contains(whole) {
            return whole
        }
        throw failure(
            column, "is not a whole number",
            accepted: range.upperBound == .max
                ? "a whole number of at least \(range.lowerBound)"
                : "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }

    /// Whether a field says NaN or infinity, as programs write them (`nan`, `inf`, `-Infinity`).
    public func isNonFinite(_ column: Int) -> Bool {
        guard parseDouble(field(column)) == nil else { return false }
        let text = string(column).lowercased().drop { $0 == "-" || $0 == "+" }
        return ["nan", "inf", "infinity"].contains(text)
    }

    /// A field as a finite number.
    /// - Throws: `InvalidInput` naming line, column and value.
    public func double(
        _ column: Int,
        in range: ClosedRange<Double> = -Double
            .greatestFiniteMagnitude...Double
            .greatestFiniteMagnitude
    ) throws -> Double {
        guard let value = parseDouble(field(column)) else {
            throw failure(column, "is not a number", accepted: "a finite number")
        }
        guard range.contains(value) else {
            throw failure(
                column, "is out of range",
                accepted: range.upperBound == .greatestFiniteMagnitude
                    ? "a number of at least \(range.lowerBound)"
                    : "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// A complaint about a field of the current row.
    public func failure(_ column: Int, _ problem: String, accepted: String? = nil) -> InvalidInput {
        InvalidInput(
            source: name, line: lineNumber, field: header[column], value: String(string(column).prefix(60)),
            problem,
            accepted: accepted)
    }
}

private func isBlank(_ line: borrowing RawSpan) -> Bool {
    for position in 0..<line.byteCount {
        let byte = line.unsafeLoad(fromByteOffset: position, as: UInt8.self)
        if byte != 0x20 && byte != 0x09 { return false }
    }
    return true
}

private func text(of line: borrowing RawSpan, from start: Int, to end: Int) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(end - start)
    for position in start..<end {
        bytes.append(line.unsafeLoad(fromByteOffset: position, as: UInt8.self))
    }
    return String(decoding: bytes, as: UTF8.self)
}

private func trimmedName(_ name: String) -> String {
    var scalars = Substring(name)
    if scalars.unicodeScalars.first == "\u{FEFF}" { scalars = scalars.unicodeScalars.dropFirst().asSubstring }
    while scalars.first == " " || scalars.first == "\t" { scalars.removeFirst() }
    while scalars.last == " " || scalars.last == "\t" { scalars.removeLast() }
    return String(scalars)
}

extension Substring.UnicodeScalarView {
    fileprivate var asSubstring: Substring { Substring(self) }
}

/// Finds the fields of a line.
/// - Returns: false when a quote is never closed.
private func splitCSV(_ line: borrowing RawSpan, starts: inout [Int32], ends: inout [Int32]) -> Bool {
    let count = line.byteCount
    var position = 0
    while true {
        if position < count, line.unsafeLoad(fromByteOffset: position, as: UInt8.self) == UInt8(ascii: "\"") {
            starts.append(Int32(position + 1))
            position += 1
            while true {
                guard position < count else { return false }
                if line.unsafeLoad(fromByteOffset: position, as: UInt8.self) == UInt8(ascii: "\"") {
                    let doubled =
                        position + 1 < count
                        && line.unsafeLoad(fromByteOffset: position + 1, as: UInt8.self) == UInt8(ascii: "\"")
                    if !doubled { break }
                    position += 1
                }
                position += 1
            }
            ends.append(Int32(position))
            position += 1
            guard
                position == count
                    || line.unsafeLoad(fromByteOffset: position, as: UInt8.self) == UInt8(ascii: ",")
            else { return false }
        } else {
            starts.append(Int32(position))
            while position < count,
                line.unsafeLoad(fromByteOffset: position, as: UInt8.self) != UInt8(ascii: ",")
            {
                position += 1
            }
            ends.append(Int32(position))
        }
        if position == count { return true }
        position += 1
    }
}
