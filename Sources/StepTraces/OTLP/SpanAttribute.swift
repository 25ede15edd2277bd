import ByteStreams

/// Attributes of request spans that are read.
enum SpanAttribute {
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
