import ByteStreams
import ServingCore

/// Reads a trace that is in memory, whatever kind it is, to its end.
///
/// - Parameters:
///   - bytes: a file's content.
///   - name: what messages call it.
/// - Returns: what was found; rows are counted, not kept.
/// - Throws: `InvalidInput` when nothing of it can be read.
public func scanTrace(_ bytes: [UInt8], name: String, options: TraceOptions = .init()) throws -> TraceReport {
    var report = TraceReport()
    var row = StepRow()
    let kind = try TraceKind.recognise(stream: ByteStream(bytes: bytes, name: name))
    let stream = try ByteStream(bytes: bytes, name: name)
    switch kind {
    case .unknown:
        throw InvalidInput(source: name, bytes.isEmpty ? "is empty" : "is not a trace in any known form")
    case .native:
        var reader = try NativeStepTraceReader(lines: LineReader(stream: stream))
        while try reader.next(&row) { report.count(row) }
        report.malformedLines = reader.malformedLines
        if reader.isTruncated { report.noteTruncation(name) }
    case .stepTable:
        var reader = try StepTableReader(table: CSVReader(lines: LineReader(stream: stream)))
        while try reader.next(&row) { report.count(row) }
    case .otlpJSON, .otlpProtobuf, .log, .kvEvents:
        var material = AssembledSteps.Material()
        if kind == .log {
            material.logs = [try IterationLog(lines: LineReader(stream: stream))]
            material.configuration = material.logs[0].deployment(blockSize: 16)
        } else if kind == .kvEvents {
            material.kv = try KVEvents(lines: LineReader(stream: stream))
            report.malformedEvents = material.kv.malformedEvents
            report.malformedLines = material.kv.malformedLines
        } else {
            try material.events.read(
                lines: LineReader(stream: stream, wholeMessages: kind == .otlpProtobuf),
                isProtobuf: kind == .otlpProtobuf, number: 0, report: &report)
            report.steps += alphaRows(material.events).count
        }
        if var steps = try AssembledSteps(material, name: name, options: options, report: &report) {
            while steps.next(&row) { report.count(row) }
        }
    case .benchResult, .requestMetrics:
        let whole = try readAll(stream)
        let measured = try RequestMeasurements(whole, kind: kind, name: name)
        report.steps = measured.rows.count
        report.malformedEvents = measured.malformed
    }
    return report
}

private func readAll(_ stream: consuming ByteStream) throws -> [UInt8] {
    var stream = stream
    var bytes: [UInt8] = []
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { chunk.deallocate() }
    while true {
        switch try stream.read(into: chunk) {
        case .bytes(let count): bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: chunk[..<count]))
        case .frameEnd, .frameDamaged: continue
        case .end: return bytes
        }
    }
}
