import ByteStreams

/// Reads OTLP JSON: one `ExportTraceServiceRequest` a line.
struct OTLPJSONParser: ~Copyable {
    var shapes = AttributeShapes()
    var values = EventValues()
    let file: Int16

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
}
