import ByteStreams
import ServingCore

/// What a line of a native trace is.
enum NativeLine {
    case header, step, blank
}

/// Reads a line of any shape.
/// - Returns: `.step` with `row` filled in, its group excepted.
/// - Throws: when it is not JSON or a field is missing or of the wrong kind.
func parseNativeLine(_ line: borrowing RawSpan, _ row: inout StepRow) throws(JSONSyntaxError) -> NativeLine {
    var json = JSONScanner(copy line)
    if json.peek() == 0 { return .blank }
    try json.beginObject()
    var parsed = StepRow()
    parsed.contextSource = .recorded
    parsed.targetSource = .recorded
    var seen: UInt32 = 0
    var isHeader = false
    var end: Int64 = -1
    var first = true
    while try json.nextKey(&first) {
        let field = NativeField(json)
        if let field { seen |= 1 << field.rawValue }
        switch field {
        case .step: parsed.stepID = try json.integer()
        case .start: parsed.start = try json.integer()
        case .end: end = try json.integer()
        case .seconds: if try !json.null() { parsed.seconds = try json.double() }
        case .prefillRequests: parsed.state.prefillRequests = try json.count()
        case .prefillTokens: parsed.state.prefillTokens = try json.count()
        case .prefillContext: parsed.state.prefillContextTokens = try json.count()
        case .prefillPairs: parsed.state.prefillAttentionPairs = try json.magnitude()
        case .decodeRequests: parsed.state.decodeRequests = try json.count()
        case .decodeContext: parsed.state.decodeContextTokens = try json.count()
        case .running: parsed.state.runningRequests = try json.count()
        case .waiting: parsed.state.waitingRequests = try json.count()
        case .used: parsed.state.kvBlocksUsed = try json.count()
        case .total: parsed.state.kvBlocksTotal = try json.count()
        case .offload: parsed.state.blocksToOffload = try json.count()
        case .restore: parsed.state.blocksToRestore = try json.count()
        case .peers: parsed.state.peerTokens = try json.count()
        case .run: parsed.run = try json.count()
        case .context: parsed.contextSource = try json.enumeration { $0.name }
        case .target: parsed.targetSource = try json.enumeration { $0.name }
        case .excluded: parsed.exclusion = try json.enumeration { "\($0)" } as StepExclusion
        case .format:
            isHeader = true
            try json.skipValue()
        case nil: try json.skipValue()
        }
    }
    try json.end()
    if isHeader { return .header }
    guard seen & NativeField.needed == NativeField.needed else {
        throw JSONSyntaxError(missing: json.position)
    }
    if seen & (1 << NativeField.seconds.rawValue) == 0, end > parsed.start {
        parsed.seconds = (end &- parsed.start).seconds
    }
    if parsed.exclusion == nil {
        if parsed.state.batchTokens == 0 {
            parsed.exclusion = .emptyStep
        } else if !(parsed.seconds > 0) {
            parsed.exclusion = .suspect
        }
    }
    if !(parsed.seconds > 0) { parsed.targetSource = .none }
    row = parsed
    return .step
}

/// The keys of a step line.
private enum NativeField: UInt32 {
    case step, start, end, seconds, prefillRequests, prefillTokens, prefillContext, prefillPairs,
        decodeRequests
    case decodeContext, running, waiting, used, total, offload, restore, peers, run, context, target,
        excluded,
        format

    static let needed: UInt32 = {
        [prefillRequests, prefillTokens, decodeRequests, decodeContext].reduce(0) { $0 | 1 << $1.rawValue }
    }()

    init?(_ json: borrowing JSONScanner) {
        if json.key(is: "step") {
            self = .step
        } else if json.key(is: "start_ns") {
            self = .start
        } else if json.key(is: "end_ns") {
            self = .end
        } else if json.key(is: "step_s") {
            self = .seconds
        } else if json.key(is: "prefill_requests") {
            self = .prefillRequests
        } else if json.key(is: "prefill_tokens") {
            self = .prefillTokens
        } else if json.key(is: "prefill_context_tokens") {
            self = .prefillContext
        } else if json.key(is: "prefill_attention_pairs") {
            self = .prefillPairs
        } else if json.key(is: "decode_requests") {
            self = .decodeRequests
        } else if json.key(is: "decode_context_tokens") {
            self = .decodeContext
        } else if json.key(is: "running_requests") {
            self = .running
        } else if json.key(is: "waiting_requests") {
            self = .waiting
        } else if json.key(is: "kv_blocks_used") {
            self = .used
        } else if json.key(is: "kv_blocks_total") {
            self = .total
        } else if json.key(is: "blocks_to_offload") {
            self = .offload
        } else if json.key(is: "blocks_to_restore") {
            self = .restore
        } else if json.key(is: "peer_tokens") {
            self = .peers
        } else if json.key(is: "run") {
            self = .run
        } else if json.key(is: "context") {
            self = .context
        } else if json.key(is: "target") {
            self = .target
        } else if json.key(is: "excluded") {
            self = .excluded
        } else if json.key(is: "format") {
            self = .format
        } else {
            return nil
        }
    }
}

extension JSONScanner {
    /// A whole number that counts something: at least 0, at most 10^15 so that sums stay far from overflow.
    @_lifetime(self: copy self)
    mutating func count() throws(JSONSyntaxError) -> Int {
        let start = position
        let value = try integer()
        guard value >= 0, value <= 1_000_000_000_000_000 else { throw JSONSyntaxError(range: start) }
        return Int(value)
    }

    /// A number of at least 0.
    @_lifetime(self: copy self)
    mutating func magnitude() throws(JSONSyntaxError) -> Double {
        let start = position
        let value = try double()
        guard value >= 0 else { throw JSONSyntaxError(range: start) }
        return value
    }

    /// A string that names a case.
    @_lifetime(self: copy self)
    mutating func enumeration<Value: CaseIterable>(
        _ name: (Value) -> String
    ) throws(JSONSyntaxError) -> Value {
        let start = position
        try string()
        let text = stringText
        for value in Value.allCases where name(value) == text { return value }
        throw JSONSyntaxError(range: start)
    }
}

extension JSONSyntaxError {
    init(range offset: Int) { self.init("a value out of range", at: offset) }
    init(missing offset: Int) { self.init("a field is missing", at: offset) }
}
