import ByteStreams

/// Reads OTLP JSON: one `ExportTraceServiceRequest` a line.
struct OTLPJSONParser: ~Copyable {
    private var shapes = AttributeShapes()
    private var values = EventValues()
    private let file: Int16

    init(file: Int16) { self.file = file }

    /// Reads one line; what it brought is taken back when it is not valid JSON.
    mutating func parse(_ line: borrowing RawSpan, into events: inout OTLPEvents) throws(JSONSyntaxError) {
        let mark = events.checkpoint
        do {
            var json = JSONScanner(copy line)
            try json.beginObject()
            var first = true
            while try json.nextKey(&first) {
                if json.key(is: "resourceSpans") || json.key(is: "resource_spans") {
                    try resourceSpans(&json, &events)
                } else {
                    try json.skipValue()
                }
            }
            try json.end()
        } catch {
            events.rollBack(to: mark)
            throw error
        }
    }

    private mutating func resourceSpans(
        _ json: inout JSONScanner, _ events: inout OTLPEvents
    ) throws(JSONSyntaxError) {
        if try json.null() { return }
        try json.beginArray()
        var firstElement = true
        while try json.nextElement(&firstElement) {
            try json.beginObject()
            // The resource may stand behind the spans that it describes.
            var sawResource = false
            var identity = ""
            var spansAt = -1
            var firstKey = true
            while try json.nextKey(&firstKey) {
                if json.key(is: "resource") {
                    identity = try resourceIdentity(&json)
                    sawResource = true
                } else if json.key(is: "scopeSpans") || json.key(is: "scope_spans") {
                    if !sawResource, spansAt < 0 {
                        spansAt = json.position
                        try json.skipValue()
                    } else {
                        try scopeSpans(&json, &events, events.resource(identity))
                    }
                } else {
                    try json.skipValue()
                }
            }
            if spansAt >= 0 {
                let end = json.position
                json.position = spansAt
                try scopeSpans(&json, &events, events.resource(identity))
                json.position = end
            }
        }
    }

    /// The attributes that tell engines apart, as text.
    private mutating func resourceIdentity(_ json: inout JSONScanner) throws(JSONSyntaxError) -> String {
        var identity = ""
        if try json.null() { return identity }
        try json.beginObject()
        var first = true
        while try json.nextKey(&first) {
            guard json.key(is: "attributes") else {
                try json.skipValue()
                continue
            }
            if try json.null() { continue }
            try json.beginArray()
            var firstAttribute = true
            while try json.nextElement(&firstAttribute) {
                let attribute = try textAttribute(&json)
                if attribute.key.hasPrefix("telemetry.") || attribute.key == "x.step.duration_semantics" {
                    continue
                }
                if identity.utf8.count + attribute.key.utf8.count + attribute.value.utf8.count < 4096 {
                    identity += "\(attribute.key)=\(attribute.value);"
                }
            }
        }
        return identity
    }

    private func textAttribute(
        _ json: inout JSONScanner
    ) throws(JSONSyntaxError) -> (key: String, value: String) {
        var key = ""
        var value = ""
        try json.beginObject()
        var first = true
        while try json.nextKey(&first) {
            if json.key(is: "key") {
                try json.string()
                key = json.stringText
            } else if json.key(is: "value"), json.peek() == UInt8(ascii: "{") {
                try json.beginObject()
                var firstValue = true
                while try json.nextKey(&firstValue) {
                    if json.peek() == UInt8(ascii: "\"") {
                        try json.string()
                        value = json.stringText
                    } else {
                        try json.skipValue()
                    }
                }
            } else {
                try json.skipValue()
            }
        }
        return (key, value)
    }

    private mutating func scopeSpans(
        _ json: inout JSONScanner, _ events: inout OTLPEvents, _ resource: Int32
    ) throws(JSONSyntaxError) {
        if try json.null() { return }
        try json.beginArray()
        var firstElement = true
        while try json.nextElement(&firstElement) {
            try json.beginObject()
            var firstKey = true
            while try json.nextKey(&firstKey) {
                guard json.key(is: "spans") else {
                    try json.skipValue()
                    continue
                }
                if try json.null() { continue }
                try json.beginArray()
                var firstSpan = true
                while try json.nextElement(&firstSpan) { try span(&json, &events, resource) }
            }
        }
    }

    private mutating func span(
        _ json: inout JSONScanner, _ events: inout OTLPEvents, _ resource: Int32
    ) throws(JSONSyntaxError) {
        var traceID: UInt64 = 0
        var spanID: UInt64 = 0
        var parentID: UInt64 = 0
        var isCore = false
        var request = SpanRequest()
        var requestID: InlineArray<3, UInt64> = [0, 0, 0]
        let firstJourney = events.journeys.count
        try json.beginObject()
        var first = true
        while try json.nextKey(&first) {
            if json.key(is: "events") {
                if try json.null() { continue }
                try json.beginArray()
                var firstEvent = true
                while try json.nextElement(&firstEvent) {
                    try event(&json)
                    events.add(values, resource: resource, file: file)
                }
            } else if json.key(is: "traceId") || json.key(is: "trace_id") {
                traceID = try json.stringHash()
            } else if json.key(is: "spanId") || json.key(is: "span_id") {
                spanID = try json.stringHash()
            } else if json.key(is: "parentSpanId") || json.key(is: "parent_span_id") {
                parentID = try json.stringHash()
            } else if json.key(is: "name") {
                if try json.null() { continue }
                try json.string()
                isCore = json.isString("llm_core")
            } else if json.key(is: "droppedEventsCount") || json.key(is: "dropped_events_count") {
                if json.peek() == UInt8(ascii: "\"") {
                    try json.string()
                } else {
                    let dropped = try json.integer()
                    if dropped > 0 { events.droppedByExporter &+= Int(clamping: dropped) }
                }
            } else if json.key(is: "startTimeUnixNano") || json.key(is: "start_time_unix_nano") {
                request.startUnixNanoseconds = try json.looseInteger() ?? 0
            } else if json.key(is: "attributes") {
                try spanAttributes(&json, &request, &requestID)
            } else {
                try json.skipValue()
            }
        }
        let key = events.join(
            traceID: traceID, spanID: spanID, parentID: parentID, isCore: isCore, requestID: requestID)
        for index in firstJourney..<events.journeys.count { events.journeys[index].request = key }
        if request.endToEnd.isFinite || request.timeToFirstToken.isFinite {
            request.request = key
            events.requests.append(request)
        }
    }

    /// Attributes of `llm_request` and `llm_core` spans.
    private mutating func spanAttributes(
        _ json: inout JSONScanner, _ request: inout SpanRequest, _ requestID: inout InlineArray<3, UInt64>
    ) throws(JSONSyntaxError) {
        if try json.null() { return }
        try json.beginArray()
        var first = true
        while try json.nextElement(&first) {
            let start = json.position
            try json.skipValue()
            let end = json.position
            json.position = start
            try json.beginObject()
            var keyed = true
            var target = SpanAttribute.other
            while try json.nextKey(&keyed) {
                if json.key(is: "key") {
                    try json.string()
                    target = SpanAttribute(json)
                } else if json.key(is: "value"), target != .other, json.peek() == UInt8(ascii: "{") {
                    try json.beginObject()
                    var typed = true
                    while try json.nextKey(&typed) {
                        if target == .requestID, json.peek() == UInt8(ascii: "\"") {
                            try json.string()
                            requestID = json.stringBytes.withUnsafeBytes { requestIDHashes($0) }
                        } else if json.peek() == UInt8(ascii: "\"") {
                            try json.string()
                            if let value = parseDouble(json.stringBytes) { target.store(value, in: &request) }
                        } else if json.peek() == UInt8(ascii: "-") || json.peek() &- 0x30 <= 9 {
                            let range = try json.number()
                            if let value = parseDouble(json.bytes.extracting(range)) {
                                target.store(value, in: &request)
                            }
                        } else {
                            try json.skipValue()
                        }
                    }
                } else {
                    try json.skipValue()
                }
            }
            json.position = end
        }
    }

    /// Reads one event into `values`.
    private mutating func event(_ json: inout JSONScanner) throws(JSONSyntaxError) {
        values.reset()
        try json.beginObject()
        var first = true
        while try json.nextKey(&first) {
            if json.key(is: "attributes") {
                try attributes(&json)
            } else if json.key(is: "name") {
                if json.peek() != UInt8(ascii: "\"") {
                    try json.skipValue()
                    continue
                }
                try json.string()
                values.kind = json.stringBytes.withUnsafeBytes { EventKind.named($0) }
            } else if json.key(is: "timeUnixNano") || json.key(is: "time_unix_nano") {
                if let time = try json.looseInteger() {
                    values.unixNanoseconds = time
                } else {
                    values.malformed = true
                }
            } else {
                try json.skipValue()
            }
        }
    }

    private mutating func attributes(_ json: inout JSONScanner) throws(JSONSyntaxError) {
        if try json.null() { return }
        try json.beginArray()
        var shape = 0
        var first = true
        while true {
            _ = json.peek()
            let before = json.position
            shape = expectedAttributes(&json, shape, first)
            if json.position != before { first = false }
            guard try json.nextElement(&first) else { return }
            shape = try attribute(&json, after: shape)
        }
    }

    /// Reads attributes for as long as they begin as they did last time.
    /// - Returns: the last shape read.
    @inline(__always)
    private mutating func expectedAttributes(
        _ json: inout JSONScanner, _ previous: Int, _ first: Bool
    ) -> Int {
        var shape = previous
        var isFirst = first
        var position = json.position
        json.bytes.withUnsafeBytes { bytes in
            while true {
                var start = position
                if !isFirst {
                    guard start < bytes.count, bytes[start] == UInt8(ascii: ",") else { return }
                    start &+= 1
                }
                let candidate = shapes.expected(after: shape, in: bytes, at: start)
                guard candidate > 0 else { return }
                guard let end = value(bytes, at: start &+ shapes.length(candidate), candidate) else { return }
                position = end
                shape = candidate
                isFirst = false
            }
        }
        json.position = position
        return shape
    }

    /// Reads the value and closing braces of an attribute of known shape.
    /// - Returns: where the next one starts; nil when the value is in any way unusual, nothing being changed then.
    @inline(__always)
    private mutating func value(_ bytes: UnsafeRawBufferPointer, at start: Int, _ shape: Int) -> Int? {
        var position = start
        let count = bytes.count
        switch shapes.form(shape) {
        case .quotedInteger:
            var magnitude: Int64 = 0
            // 18 digits cannot overflow; longer and negative ones are read the slow way.
            let limit = min(count, start &+ 18)
            while position < limit {
                let digit = bytes[position] &- 0x30
                if digit > 9 { break }
                magnitude = magnitude &* 10 &+ Int64(digit)
                position &+= 1
            }
            guard position > start, count &- position >= 3, bytes[position] == UInt8(ascii: "\""),
                bytes[position &+ 1] == UInt8(ascii: "}"), bytes[position &+ 2] == UInt8(ascii: "}")
            else { return nil }
            values.set(shapes.field(shape), whole: magnitude)
            return position &+ 3
        case .number:
            while position < count, bytes[position] != UInt8(ascii: "}") { position &+= 1 }
            guard count &- position >= 2, bytes[position &+ 1] == UInt8(ascii: "}"), position &- start <= 40
            else { return nil }
            var number = JSONScanner(
                RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[start..<position])))
            guard let range = try? number.number(), range.lowerBound == 0,
                range.upperBound == position &- start,
                let value = parseDouble(number.bytes)
            else { return nil }
            values.set(shapes.field(shape), real: value)
            return position &+ 2
        case .text:
            while position < count {
                let byte = bytes[position]
                if byte == UInt8(ascii: "\"") { break }
                if byte < 0x20 || byte == UInt8(ascii: "\\") { return nil }
                position &+= 1
            }
            guard count &- position >= 3, bytes[position &+ 1] == UInt8(ascii: "}"),
                bytes[position &+ 2] == UInt8(ascii: "}")
            else { return nil }
            if shapes.field(shape) != .other { values.malformed = true }
            return position &+ 3
        }
    }

    /// Reads an attribute of any shape and remembers how it began.
    private mutating func attribute(
        _ json: inout JSONScanner, after previous: Int
    ) throws(JSONSyntaxError) -> Int {
        _ = json.peek()
        let start = json.position
        var field = EventField.other
        var form: AttributeForm?
        var contentStart = -1
        var members = 0
        var sawKeyFirst = false
        var valuePosition = -1
        try json.beginObject()
        var first = true
        while try json.nextKey(&first) {
            members += 1
            if json.key(is: "key"), json.peek() == UInt8(ascii: "\"") {
                try json.string()
                field = json.stringBytes.withUnsafeBytes { EventField.named($0) }
                if members == 1 { sawKeyFirst = true }
            } else if json.key(is: "value") {
                _ = json.peek()
                valuePosition = json.position
                try json.skipValue()
            } else {
                try json.skipValue()
            }
        }
        let end = json.position
        if valuePosition >= 0 {
            json.position = valuePosition
            (form, contentStart) = try anyValue(&json, field)
            json.position = end
        } else if field != .other {
            values.malformed = true
        }
        guard let form, sawKeyFirst, members == 2, contentStart > start else { return previous }
        return json.bytes.withUnsafeBytes { bytes in
            let text = UnsafeRawBufferPointer(rebasing: bytes[start..<contentStart])
            // Only what is spelt as exporters do: the shape ends where the value's content begins.
            guard endsCanonically(bytes, contentStart, end, form) else { return previous }
            return shapes.learn(text, field: field, form: form, after: previous)
        }
    }

    private func endsCanonically(
        _ bytes: UnsafeRawBufferPointer, _ start: Int, _ end: Int, _ form: AttributeForm
    ) -> Bool {
        let suffix = form == .number ? 2 : 3
        guard end - start > suffix else { return false }
        let quoteFits = form == .number || bytes[end - 3] == UInt8(ascii: "\"")
        return quoteFits && bytes[end - 1] == UInt8(ascii: "}") && bytes[end - 2] == UInt8(ascii: "}")
    }

    /// Reads an attribute's value object into `values`.
    /// - Returns: how it is written and where its content starts, when that is one of the usual forms.
    private mutating func anyValue(
        _ json: inout JSONScanner, _ field: EventField
    ) throws(JSONSyntaxError) -> (AttributeForm?, Int) {
        guard json.peek() == UInt8(ascii: "{") else {
            if field != .other { values.malformed = true }
            return (nil, -1)
        }
        try json.beginObject()
        var form: AttributeForm?
        var contentStart = -1
        var members = 0
        var first = true
        while try json.nextKey(&first) {
            members += 1
            let isInteger = json.key(is: "intValue") || json.key(is: "int_value")
            let isReal = json.key(is: "doubleValue") || json.key(is: "double_value")
            let isText = json.key(is: "stringValue") || json.key(is: "string_value")
            let next = json.peek()
            if isInteger || isReal {
                if next == UInt8(ascii: "\"") {
                    contentStart = json.position + 1
                    try json.string()
                    // 64-bit whole numbers are strings in OTLP JSON; so are "NaN" and "Infinity".
                    if isInteger, let whole = parseInteger(json.stringBytes) {
                        values.set(field, whole: whole)
                        form = .quotedInteger
                    } else if isReal, let real = parseDouble(json.stringBytes) {
                        values.set(field, real: real)
                    } else {
                        values.malformed = true
                    }
                } else if next == UInt8(ascii: "-") || next &- 0x30 <= 9 {
                    contentStart = json.position
                    let range = try json.number()
                    if isInteger {
                        if let whole = parseInteger(json.bytes.extracting(range)) {
                            values.set(field, whole: whole)
                        } else if let real = parseDouble(json.bytes.extracting(range)),
                            let whole = Int64(exactly: real)
                        {
                            values.set(field, whole: whole)
                        } else {
                            values.malformed = true
                        }
                    } else if let real = parseDouble(json.bytes.extracting(range)) {
                        values.set(field, real: real)
                        form = .number
                    } else {
                        values.malformed = true
                    }
                } else {
                    values.malformed = true
                    try json.skipValue()
                }
            } else {
                if isText, next == UInt8(ascii: "\"") {
                    contentStart = json.position + 1
                    form = .text
                }
                if field != .other { values.malformed = true }
                try json.skipValue()
            }
        }
        if members == 0, field != .other { values.malformed = true }
        return members == 1 ? (form, contentStart) : (nil, -1)
    }
}

/// Attributes of request spans that are read.
private enum SpanAttribute {
    case requestID, promptTokens, completionTokens, timeInQueue, timeToFirstToken, endToEnd, other

    init(_ json: borrowing JSONScanner) {
        if json.isString("gen_ai.request.id") {
            self = .requestID
        } else if json.isString("gen_ai.usage.prompt_tokens") {
            self = .promptTokens
        } else if json.isString("gen_ai.usage.completion_tokens") {
            self = .completionTokens
        } else if json.isString("gen_ai.latency.time_in_queue") {
            self = .timeInQueue
        } else if json.isString("gen_ai.latency.time_to_first_token") {
            self = .timeToFirstToken
        } else if json.isString("gen_ai.latency.e2e") {
            self = .endToEnd
        } else {
            self = .other
        }
    }

    func store(_ value: Double, in request: inout SpanRequest) {
        switch self {
        case .promptTokens: request.promptTokens = Int64(exactly: value) ?? -1
        case .completionTokens: request.completionTokens = Int64(exactly: value) ?? -1
        case .timeInQueue: request.timeInQueue = value
        case .timeToFirstToken: request.timeToFirstToken = value
        case .endToEnd: request.endToEnd = value
        case .requestID, .other: break
        }
    }
}

extension JSONScanner {
    /// Whether the last string is `text`.
    func isString(_ text: StaticString) -> Bool { key(is: text) }

    /// Steps over a string (or null) and hashes it; 0 for an empty one.
    @_lifetime(self: copy self)
    mutating func stringHash() throws(JSONSyntaxError) -> UInt64 {
        if try null() { return 0 }
        try string()
        if stringStart == stringEnd { return 0 }
        return stringBytes.withUnsafeBytes { fnvHash($0) }
    }

    /// Steps over a whole number that may be quoted.
    /// - Returns: nil when it is something else.
    @_lifetime(self: copy self)
    mutating func looseInteger() throws(JSONSyntaxError) -> Int64? {
        let next = peek()
        if next == UInt8(ascii: "\"") {
            try string()
            return parseInteger(stringBytes)
        }
        if next == UInt8(ascii: "-") || next &- 0x30 <= 9 {
            let range = try number()
            return parseInteger(bytes.extracting(range))
        }
        try skipValue()
        return nil
    }
}

extension OTLPEvents {
    /// The key that joins the events of a request's spans; remembers what can only be joined by request id.
    mutating func join(
        traceID: UInt64, spanID: UInt64, parentID: UInt64, isCore: Bool, requestID: InlineArray<3, UInt64>
    ) -> UInt64 {
        if isCore, parentID != 0 { return mixHash(traceID, parentID) }
        let key = mixHash(traceID, spanID == 0 ? requestID[2] : spanID)
        if requestID[2] != 0 {
            if isCore {
                orphans.append(Orphan(key: key, candidates: requestID))
            } else {
                requestIDs.append(RequestID(hash: requestID[2], key: key))
            }
        }
        return key
    }
}

/// Hashes of a request id without its last part (`-…`), without its last two, and whole.
func requestIDHashes(_ id: UnsafeRawBufferPointer) -> InlineArray<3, UInt64> {
    guard !id.isEmpty else { return [0, 0, 0] }
    var hashes: InlineArray<3, UInt64> = [0, 0, fnvHash(id)]
    var end = id.count
    for place in 0..<2 {
        while end > 0, id[end - 1] != UInt8(ascii: "-") { end -= 1 }
        if end <= 1 { break }
        end -= 1
        hashes[place] = fnvHash(UnsafeRawBufferPointer(rebasing: id[..<end]))
    }
    return hashes
}

/// FNV-1a.
func fnvHash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    return hash
}

func mixHash(_ a: UInt64, _ b: UInt64) -> UInt64 {
    (a &* 0x9e37_79b9_7f4a_7c15 ^ b) &* 0xbf58_476d_1ce4_e5b9
}
