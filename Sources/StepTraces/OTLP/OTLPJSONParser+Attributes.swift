import ByteStreams

extension OTLPJSONParser {
    /// Reads one event into `values`.
    mutating func event(_ json: inout JSONScanner) throws(JSONSyntaxError) {
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
