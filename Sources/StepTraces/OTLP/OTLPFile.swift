import ByteStreams
import ServingCore

extension OTLPEvents {
    /// Reads a file of spans.
    ///
    /// A line that is not valid JSON is dropped as a whole, an event with a malformed value alone. Of a damaged zstd
    /// frame nothing is kept, of the frames before it everything.
    /// - Throws: `InvalidInput` when the file cannot be opened or nothing of it can be read.
    mutating func read(_ file: TraceFile, number: Int16, report: inout TraceReport) throws {
        let isProtobuf = file.kind == .otlpProtobuf
        let lines = try LineReader(path: file.path, wholeMessages: isProtobuf)
        try read(lines: lines, isProtobuf: isProtobuf, number: number, report: &report)
    }

    mutating func read(
        lines: consuming LineReader, isProtobuf: Bool, number: Int16, report: inout TraceReport
    ) throws {
        var lines = lines
        var json = OTLPJSONParser(file: number)
        var frame = 0
        var mark = checkpoint
        let beginning = mark
        var truncated = false
        do {
            while try lines.next() {
                if lines.frame != frame {
                    frame = lines.frame
                    mark = checkpoint
                }
                if isProtobuf {
                    if !parseProtobuf(lines.line, file: number) { malformedLines += 1 }
                    continue
                }
                if isBlankLine(lines.line) { continue }
                do {
                    try json.parse(lines.line, into: &self)
                } catch {
                    if !lines.lineIsTerminated {
                        truncated = true
                    } else {
                        malformedLines += 1
                        report.warn(
                            "\(lines.name):\(lines.lineNumber): not valid JSON, the line was dropped: \(error.problem)"
                        )
                    }
                }
            }
        } catch let damage as InvalidInput {
            // Lines of the damaged frame cannot be trusted, whatever they look like.
            rollBack(to: mark)
            report.damagedFrames += 1
            if checkpoint.isSame(as: beginning) { throw damage }
            report.warn("\(damage); what stood before that frame was kept")
        }
        if lines.damagedFrames > 0 {
            report.damagedFrames += lines.damagedFrames
            report.warn("\(lines.name): \(lines.damagedFrames) damaged messages were skipped")
        }
        if lines.isTruncated || truncated { report.noteTruncation(lines.name) }
    }
}

private func isBlankLine(_ line: borrowing RawSpan) -> Bool {
    for position in 0..<line.byteCount
    where line.unsafeLoad(fromByteOffset: position, as: UInt8.self) > 0x20 {
        return false
    }
    return true
}

extension OTLPEvents.Checkpoint {
    func isSame(as other: OTLPEvents.Checkpoint) -> Bool { self == other }
}
