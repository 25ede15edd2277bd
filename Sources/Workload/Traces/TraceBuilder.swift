import ServingCore

/// Collects the requests of a trace as they are read, then puts them in order.
struct TraceBuilder {
    private(set) var trace: RequestTrace
    private var isSorted = true
    private var numbers: [UInt64: Int32] = [:]

    init(format: RequestTrace.Format, source: String) { trace = RequestTrace(format: format, source: source) }

    /// Number of requests so far.
    var count: Int { trace.arrivals.count }

    /// Adds a request whose values have been checked.
    mutating func add(arrival: Ticks, prompt: Int, output: Int) {
        if let last = trace.arrivals.last, arrival < last { isSorted = false }
        trace.arrivals.append(arrival)
        trace.promptTokens.append(Int32(clamping: prompt))
        trace.outputTokens.append(Int32(clamping: output))
    }

    /// Starts the blocks of the next request; call before `addBlock`.
    mutating func startBlocks() { trace.blockStarts.append(trace.blocks.count) }

    /// Adds a hashed block of the next request.
    mutating func addBlock(_ hash: UInt64) {
        let number = numbers[hash] ?? Int32(clamping: numbers.count)
        if Int(number) == numbers.count { numbers[hash] = number }
        trace.blocks.append(number)
    }

    /// Replaces lengths, by request.
    mutating func replaceLengths(
        _ change: (_ index: Int, _ prompt: inout Int32, _ output: inout Int32) -> Void
    ) {
        for index in 0..<count { change(index, &trace.promptTokens[index], &trace.outputTokens[index]) }
    }

    /// Output lengths so far.
    var outputLengths: [Int32] { trace.outputTokens }

    /// Prompt lengths so far.
    var promptLengths: [Int32] { trace.promptTokens }

    /// Adds a remark for the person.
    mutating func warn(_ text: String) { trace.warnings.append("\(trace.source): \(text)") }

    /// Sorts (stably) if need be, moves the first arrival to time 0 and applies the options.
    /// - Throws: `InvalidInput` when there are no requests, or they span more than 31 years.
    consuming func finish(_ options: TraceOptions, blockTokens: Int) throws -> RequestTrace {
        guard count > 0 else {
            throw InvalidInput(source: trace.source, "holds no requests", accepted: "at least one request")
        }
        if !trace.blockStarts.isEmpty { trace.blockStarts.append(trace.blocks.count) }
        trace.blockTokens = blockTokens
        trace.distinctBlocks = numbers.count
        if !isSorted { sort() }
        trim(to: options.limit)
        let first = trace.arrivals[0]
        let latest = Ticks(seconds: RequestStream.latestArrival)
        for index in trace.arrivals.indices {
            let (offset, overflow) = trace.arrivals[index].subtractingReportingOverflow(first)
            let scaled = options.rateScale == 1 ? offset : Ticks(seconds: offset.seconds / options.rateScale)
            guard !overflow, scaled <= latest else {
                throw InvalidInput(
                    source: trace.source, "has requests more than \(RequestStream.latestArrival) s apart",
                    accepted: "arrivals within \(RequestStream.latestArrival) s")
            }
            trace.arrivals[index] = scaled
        }
        if options.equalLengthsShare {
            trace.promptNumbers = RecurringPrompts.numbers(lengths: trace.promptTokens)
        }
        trace.maxConcurrency = options.maxConcurrency
        trace.clientTimeout = options.clientTimeout.map { Ticks(seconds: $0) }
        return trace
    }

    private mutating func sort() {
        warn("requests are not in order of arrival; they were sorted")
        let arrivals = trace.arrivals
        // Ties keep the order of the file.
        let order = arrivals.indices.sorted { (arrivals[$0], $0) < (arrivals[$1], $1) }
        trace.arrivals = order.map { arrivals[$0] }
        let prompts = trace.promptTokens
        trace.promptTokens = order.map { prompts[$0] }
        let outputs = trace.outputTokens
        trace.outputTokens = order.map { outputs[$0] }
        guard !trace.blockStarts.isEmpty else { return }
        var starts: [Int] = []
        var blocks: [Int32] = []
        blocks.reserveCapacity(trace.blocks.count)
        for index in order {
            starts.append(blocks.count)
            blocks.append(contentsOf: trace.blocks[trace.blockStarts[index]..<trace.blockStarts[index + 1]])
        }
        starts.append(blocks.count)
        trace.blockStarts = starts
        trace.blocks = blocks
    }

    private mutating func trim(to limit: Int?) {
        guard let limit, limit < count else { return }
        trace.arrivals.removeSubrange(limit...)
        trace.promptTokens.removeSubrange(limit...)
        trace.outputTokens.removeSubrange(limit...)
        guard !trace.blockStarts.isEmpty else { return }
        trace.blocks.removeSubrange(trace.blockStarts[limit]...)
        trace.blockStarts.removeSubrange((limit + 1)...)
    }
}
