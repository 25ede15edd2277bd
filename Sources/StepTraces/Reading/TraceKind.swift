import ByteStreams
import ServingCore

/// What a file of a trace holds, told by its content.
public enum TraceKind: String, Sendable, CaseIterable {
    /// Stepcast's native step trace.
    case native = "native step trace"
    /// OTLP spans as JSON, one export request a line.
    case otlpJSON = "OTLP JSON"
    /// OTLP spans as length-prefixed protobuf.
    case otlpProtobuf = "OTLP protobuf"
    /// vLLM's KV-cache events as JSON arrays.
    case kvEvents = "KV events"
    /// vLLM's log.
    case log = "vLLM log"
    /// A CSV of step times.
    case stepTable = "step-time table"
    /// What `vllm bench serve --save-result --save-detailed` writes.
    case benchResult = "vllm bench result"
    /// What inference-perf writes for every request.
    case requestMetrics = "inference-perf per-request metrics"
    /// None of these.
    case unknown = "unknown"

    /// Looks at the first bytes of a file.
    /// - Throws: `InvalidInput` when it cannot be opened or its container is damaged from the start.
    public static func recognise(path: String) throws -> TraceKind {
        let stream = try ByteStream(path: path)
        return try recognise(stream: stream)
    }

    /// Looks at the first bytes of a stream.
    public static func recognise(stream: consuming ByteStream) throws -> TraceKind {
        let capacity = 256 << 10
        let head = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
        defer { head.deallocate() }
        var count = 0
        let framed = stream.container == .framed
        reading: while count < capacity {
            switch try stream.read(into: UnsafeMutableRawBufferPointer(rebasing: head[count...])) {
            case .bytes(let read): count += read
            case .frameEnd:
                if framed, count > 0 { break reading }
            case .frameDamaged: count = 0
            case .end: break reading
            }
        }
        return recognise(UnsafeRawBufferPointer(rebasing: head[..<count]), framed: framed)
    }

    static func recognise(_ bytes: UnsafeRawBufferPointer, framed: Bool) -> TraceKind {
        if framed, let first = bytes.first, first == 0x0A { return .otlpProtobuf }
        var start = 0
        if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { start = 3 }
        while start < bytes.count, bytes[start] <= 0x20 { start += 1 }
        guard start < bytes.count else { return .unknown }
        let text = UnsafeRawBufferPointer(rebasing: bytes[start...])
        switch text[0] {
        case UInt8(ascii: "{"):
            if contains(text, NativeHeader.formatName) { return .native }
            if contains(text, "\"resourceSpans\"") || contains(text, "\"resource_spans\"") {
                return .otlpJSON
            }
            if contains(text, "\"input_lens\"") || contains(text, "\"ttfts\"")
                || contains(text, "\"request_throughput\"")
            {
                return .benchResult
            }
            if contains(text, "\"step\"") && contains(text, "\"prefill_tokens\"") { return .native }
            return contains(text, "Iteration(") ? .log : .unknown
        case UInt8(ascii: "["):
            var next = 1
            while next < text.count, text[next] <= 0x20 { next += 1 }
            if next < text.count, text[next] == UInt8(ascii: "{") { return .requestMetrics }
            if next < text.count, text[next] == UInt8(ascii: "-") || text[next] &- 0x30 <= 9 {
                return .kvEvents
            }
            return contains(text, "Iteration(") || contains(text, " INFO ") ? .log : .unknown
        default:
            let end = text.firstIndex(of: 0x0A) ?? text.count
            let header = String(decoding: text[..<end], as: UTF8.self)
                .split(separator: ",", omittingEmptySubsequences: false)
                .map { String($0.filter { !$0.isWhitespace && $0 != "\"" }) }
            if StepTableReader.recognises(header) { return .stepTable }
            for sign in ["Iteration(", " INFO ", "vLLM API server", "EngineCore", " WARNING "]
            where contains(text, sign) {
                return .log
            }
            return .unknown
        }
    }

    private static func contains(_ bytes: UnsafeRawBufferPointer, _ text: String) -> Bool {
        let wanted = Array(text.utf8)
        guard bytes.count >= wanted.count else { return false }
        let first = wanted[0]
        for start in 0...(bytes.count - wanted.count) where bytes[start] == first {
            var index = 1
            while index < wanted.count, bytes[start + index] == wanted[index] { index += 1 }
            if index == wanted.count { return true }
        }
        return false
    }
}
