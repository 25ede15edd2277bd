/// Reads OTLP protobuf: an `ExportTraceServiceRequest` (opentelemetry-proto v1) a message.
///
/// A decoder of the wire format by hand: nine message types and a dozen fields are needed, swift-protobuf would bring
/// generated code of thousands of lines and double the build time for them.
extension OTLPEvents {
    /// Takes over the events of one message.
    /// - Returns: false when it is not such a message; nothing is taken over then.
    mutating func parseProtobuf(_ message: borrowing RawSpan, file: Int16) -> Bool {
        let mark = checkpoint
        let isSound = message.withUnsafeBytes { bytes in
            var request = WireReader(bytes)
            while let field = request.next() {
                guard field.number == 1 else { continue }
                guard let body = field.bytes, resourceSpans(body, file: file) else { return false }
            }
            return !request.isDamaged
        }
        if !isSound { rollBack(to: mark) }
        return isSound
    }

    private mutating func resourceSpans(_ bytes: UnsafeRawBufferPointer, file: Int16) -> Bool {
        var identity = ""
        var reader = WireReader(bytes)
        while let field = reader.next() {
            guard field.number == 1, let resource = field.bytes else { continue }
            guard let text = resourceIdentity(resource) else { return false }
            identity = text
        }
        if reader.isDamaged { return false }
        let number = resource(identity)
        reader = WireReader(bytes)
        while let field = reader.next() {
            guard field.number == 2, let scope = field.bytes else { continue }
            var inner = WireReader(scope)
            while let field = inner.next() {
                guard field.number == 2, let span = field.bytes else { continue }
                if !self.span(span, resource: number, file: file) { return false }
            }
            if inner.isDamaged { return false }
        }
        return true
    }

    private func resourceIdentity(_ bytes: UnsafeRawBufferPointer) -> String? {
        var identity = ""
        var reader = WireReader(bytes)
        while let field = reader.next() {
            guard field.number == 1, let attribute = field.bytes else { continue }
            guard let pair = WireAttribute(attribute) else { return nil }
            let key = String(decoding: pair.key, as: UTF8.self)
            if key.hasPrefix("telemetry.") || key == "x.step.duration_semantics" { continue }
            if case .text(let text) = pair.value, identity.utf8.count + key.utf8.count + text.count < 4096 {
                identity += "\(key)=\(String(decoding: text, as: UTF8.self));"
            }
        }
        return reader.isDamaged ? nil : identity
    }

    private mutating func span(_ bytes: UnsafeRawBufferPointer, resource: Int32, file: Int16) -> Bool {
        var traceID: UInt64 = 0
        var spanID: UInt64 = 0
        var parentID: UInt64 = 0
        var isCore = false
        var requestID: InlineArray<3, UInt64> = [0, 0, 0]
        var values = EventValues()
        let firstJourney = journeys.count
        var reader = WireReader(bytes)
        while let field = reader.next() {
            switch field.number {
            case 1: traceID = field.bytes.map(fnvHash) ?? 0
            case 2: spanID = field.bytes.flatMap { $0.isEmpty ? nil : fnvHash($0) } ?? 0
            case 4: parentID = field.bytes.flatMap { $0.isEmpty ? nil : fnvHash($0) } ?? 0
            case 5: isCore = field.bytes?.elementsEqual("llm_core".utf8) ?? false
            case 11:
                guard let event = field.bytes, self.event(event, &values) else { return false }
                add(values, resource: resource, file: file)
            case 9:
                guard let bytes = field.bytes, let attribute = WireAttribute(bytes) else { return false }
                if case .text(let id) = attribute.value, attribute.key.elementsEqual("gen_ai.request.id".utf8)
                {
                    requestID = requestIDHashes(id)
                }
            case 12: droppedByExporter &+= Int(clamping: field.varint)
            default: break
            }
        }
        if reader.isDamaged { return false }
        let key = join(
            traceID: traceID, spanID: spanID, parentID: parentID, isCore: isCore, requestID: requestID)
        for index in firstJourney..<journeys.count { journeys[index].request = key }
        return true
    }

    private func event(_ bytes: UnsafeRawBufferPointer, _ values: inout EventValues) -> Bool {
        values.reset()
        var reader = WireReader(bytes)
        while let field = reader.next() {
            switch field.number {
            case 1: values.unixNanoseconds = Int64(clamping: field.fixed64)
            case 2: values.kind = field.bytes.map(EventKind.named) ?? .other
            case 3:
                guard let bytes = field.bytes, let attribute = WireAttribute(bytes) else { return false }
                let target = EventField.named(attribute.key)
                switch attribute.value {
                case .whole(let value): values.set(target, whole: value)
                case .real(let value): values.set(target, real: value)
                case .text, .none: if target != .other { values.malformed = true }
                }
            default: break
            }
        }
        return !reader.isDamaged
    }
}

/// The fields of a protobuf message, one after the other.
struct WireReader {
    struct Field {
        var number: UInt64
        /// Content of a length-delimited field.
        var bytes: UnsafeRawBufferPointer?
        var varint: UInt64 = 0
        var fixed64: UInt64 = 0
    }

    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    /// The message does not follow the wire format.
    private(set) var isDamaged = false

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The next field; nil at the end or where the message is damaged.
    mutating func next() -> Field? {
        guard position < bytes.count, !isDamaged else { return nil }
        guard let tag = varint(), tag >> 3 > 0 else { return damaged() }
        var field = Field(number: tag >> 3)
        switch tag & 7 {
        case 0:
            guard let value = varint() else { return damaged() }
            field.varint = value
        case 1:
            guard bytes.count - position >= 8 else { return damaged() }
            field.fixed64 = UInt64(
                littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
            position += 8
        case 2:
            guard let length = varint(), length <= UInt64(bytes.count - position) else { return damaged() }
            field.bytes = UnsafeRawBufferPointer(rebasing: bytes[position..<position + Int(length)])
            position += Int(length)
        case 5:
            guard bytes.count - position >= 4 else { return damaged() }
            position += 4
        default: return damaged()
        }
        return field
    }

    private mutating func damaged() -> Field? {
        isDamaged = true
        return nil
    }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < bytes.count, shift < 70 {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }
}

/// A `KeyValue` message.
struct WireAttribute {
    enum Value {
        case whole(Int64)
        case real(Double)
        case text(UnsafeRawBufferPointer)
        case none
    }

    var key = UnsafeRawBufferPointer(start: nil, count: 0)
    var value = Value.none

    /// - Returns: nil when the message is damaged.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var reader = WireReader(bytes)
        while let field = reader.next() {
            if field.number == 1, let bytes = field.bytes { key = bytes }
            guard field.number == 2, let content = field.bytes else { continue }
            var inner = WireReader(content)
            while let field = inner.next() {
                switch field.number {
                case 1: if let text = field.bytes { value = .text(text) }
                case 2: value = .whole(field.varint == 0 ? 0 : 1)
                case 3: value = .whole(Int64(bitPattern: field.varint))
                case 4: value = .real(Double(bitPattern: field.fixed64))
                default: break
                }
            }
            if inner.isDamaged { return nil }
        }
        if reader.isDamaged { return nil }
    }
}
