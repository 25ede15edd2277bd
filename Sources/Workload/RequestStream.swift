import ServingCore

/// Requests one after another, in order of arrival: drawn from a specification or replayed from a trace.
///
/// Memory does not grow with the number of requests drawn from a specification; a trace takes about 20 bytes a
/// request and 4 bytes a hashed block.
public struct RequestStream: Sendable {
    /// Latest arrival that is accepted, in seconds (about 31 years), so that times never overflow.
    public static let latestArrival = 1e9

    /// Requests that the client keeps in flight at most: it sends at the later of the arrival and a free slot.
    public var maxConcurrency: Int?
    /// The client gives up this long after sending.
    public var clientTimeout: Ticks?
    /// Number of arrivals if known beforehand. A conversation counts once; later turns come on top.
    public private(set) var count: Int?
    /// What a person should know about the input, one line each: a trace that had to be sorted, keys that say
    /// nothing here.
    public private(set) var warnings: [String] = []

    // Exactly one is set; plain structs side by side are advanced in place.
    private var synthetic: SyntheticRequests?
    private var trace: RequestTrace?
    private var position = 0
    private var serveGen: ServeGenRequests?

    /// Requests drawn from `specification` under `seed`: the same ones every time.
    /// - Parameter warnings: remarks that reading it gave.
    public init(_ specification: WorkloadSpecification, seed: UInt64, warnings: [String] = []) {
        self.warnings = warnings
        synthetic = SyntheticRequests(specification, seed: seed)
        maxConcurrency = specification.maxConcurrency
        clientTimeout = specification.clientTimeout.map { Ticks(seconds: $0) }
        count = specification.expectedCount
    }

    /// The requests of a trace.
    public init(_ trace: RequestTrace) {
        maxConcurrency = trace.maxConcurrency
        clientTimeout = trace.clientTimeout
        count = trace.count
        warnings = trace.warnings
        self.trace = trace
    }

    init(_ folder: ServeGenFolder, options: TraceOptions, seed: UInt64) {
        serveGen = ServeGenRequests(folder, rateScale: options.rateScale, limit: options.limit, seed: seed)
        warnings = folder.warnings
        maxConcurrency = options.maxConcurrency
        clientTimeout = options.clientTimeout.map { Ticks(seconds: $0) }
    }

    /// What a file holds, recognised by its content: a workload specification or an inference-perf profile in YAML, or
    /// a request trace, plain or zstd; or the clients in a ServeGen folder.
    /// - Parameters:
    ///   - options: how to use a trace; of a specification only the limit, rate scale, concurrency and timeout apply.
    ///   - seed: of the random draws of a specification.
    /// - Throws: `InvalidInput`.
    public init(contentsOf path: String, options: TraceOptions = TraceOptions(), seed: UInt64) throws {
        switch try InputKind(of: path) {
        case .csv, .jsonLines: self.init(try RequestTrace(contentsOf: path, options: options))
        case .yaml:
            var notes: [String] = []
            var specification = try WorkloadSpecification(contentsOf: path, warnings: &notes)
            try specification.apply(options)
            self.init(specification, seed: seed, warnings: notes)
        case .folder:
            self.init(try ServeGenFolder(path: path), options: options, seed: seed)
        }
    }

    /// Fills `request` with the next arrival, never earlier than the last; false when there is none.
    ///
    /// Uses the storage of `request.sharedSegments` again, so that no memory is allocated per request.
    /// - Throws: `InvalidInput` when the load is so thin that arrivals leave the range of time.
    /// - Complexity: O(segments of the prompt).
    public mutating func next(_ request: inout IncomingRequest) throws -> Bool {
        if synthetic != nil { return try synthetic!.next(&request) }
        if serveGen != nil { return serveGen!.next(&request) }
        guard let count = trace?.count, position < count else { return false }
        trace!.fill(&request, position)
        position += 1
        return true
    }

    /// Fills `request` with the next turn of a conversation, arriving when its user has read and thought.
    ///
    /// Call it when a request with `session >= 0` has finished. The last turn of a conversation has session -1.
    /// - Returns: false when the conversation is over.
    public mutating func followUp(session: Int32, finishedAt: Ticks, _ request: inout IncomingRequest) -> Bool
    {
        synthetic?.followUp(session: session, finishedAt: finishedAt, &request) ?? false
    }

    /// Forgets a conversation that will not go on: its request was rejected or its client gave up.
    public mutating func end(session: Int32) { synthetic?.end(session: session) }

    /// Conversations whose next turn is still to come.
    public var openConversations: Int { synthetic?.openConversations ?? 0 }
}

extension WorkloadSpecification {
    /// Number of arrivals, where no chance is involved.
    var expectedCount: Int? {
        var staged: Int?
        if case .stages(let stages) = arrivals.rate {
            if arrivals.gaps == .constant {
                // Requests stand at 0, 1, 2, … on the operational clock.
                staged = Int(min(stages.reduce(0) { $0 + $1.rate * $1.duration }.rounded(.up), 1e18))
            } else if arrivals.normalized {
                staged = stages.reduce(0) { $0 + ArrivalGenerator.requests(in: $1) }
            } else {
                return nil
            }
        }
        if duration != nil, arrivals.rate != .infinite { return nil }
        guard let staged else { return numPrompts }
        return min(staged, numPrompts ?? .max)
    }
}
