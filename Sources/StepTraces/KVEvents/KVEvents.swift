import ByteStreams

/// What a file of KV-cache events says (vLLM's publisher saved as JSON arrays, one batch a line).
public struct KVEvents: Equatable, Sendable {
    /// Blocks that began to move between GPU and CPU memory in a step.
    public struct StepTransfers: Equatable, Sendable {
        /// Scheduler step.
        public var step: Int64
        /// Data-parallel engine.
        public var engine: Int
        /// Blocks from GPU to CPU memory.
        public var blocksToOffload: Int
        /// Blocks from CPU to GPU memory.
        public var blocksToRestore: Int
    }

    /// A transfer that was seen to begin and to end.
    public struct Transfer: Equatable, Sendable {
        /// Scheduler step in which it began.
        public var step: Int64
        /// Blocks moved.
        public var blocks: Int
        /// From the GPU (true) or to it.
        public var toCPU: Bool
        /// Difference of the two batches' times, seconds.
        public var seconds: Double
        /// Whether it succeeded.
        public var succeeded: Bool
    }

    /// By engine and step.
    public internal(set) var stepTransfers: [StepTransfers] = []
    /// In order of their ends.
    public internal(set) var transfers: [Transfer] = []
    /// Blocks stored, removed and evicted over the file.
    public internal(set) var blocksStored = 0
    /// Blocks removed.
    public internal(set) var blocksRemoved = 0
    /// Blocks evicted.
    public internal(set) var blocksEvicted = 0
    /// Times that the whole cache was cleared.
    public internal(set) var cacheClears = 0
    /// Tokens per block, from stored blocks; 0 when nothing says.
    public internal(set) var blockSize = 0
    /// Events read, repeated ones left out.
    public internal(set) var events = 0
    /// Transfer events that a batch repeats.
    public internal(set) var repeatedEvents = 0
    /// Events that could not be used: malformed fields or unknown tags.
    public internal(set) var malformedEvents = 0
    /// Lines that are not a batch of events.
    public internal(set) var malformedLines = 0
    /// Whether the file ends in the middle of a frame or line.
    public internal(set) var isTruncated = false

    /// No events.
    public init() {}

    /// Reads a file.
    /// - Throws: `InvalidInput` when it cannot be read or is damaged.
    public init(path: String) throws {
        try self.init(lines: LineReader(path: path))
    }

    /// Reads lines.
    public init(lines: consuming LineReader) throws {
        var lines = lines
        var parser = KVEventParser()
        while try lines.next() {
            do {
                try parser.parse(lines.line)
            } catch {
                if lines.lineIsTerminated { malformedLines += 1 } else { isTruncated = true }
            }
        }
        if lines.isTruncated { isTruncated = true }
        parser.finish(&self)
    }
}

/// One event, as far as it is used.
private struct KVEvent: Equatable {
    enum Tag: UInt8 { case stored, removed, cleared, initiated, completed, load, store, eviction, remote }

    var tag: Tag
    var id: UInt64 = 0
    var blocks = 0
    var step: Int64 = -1
    var engine = 0
    var toCPU = false
    var fromCPU = false
    var succeeded = true
    var time = 0.0
    var blockSize = 0
}

private struct KVEventParser {
    private var kept: [KVEvent] = []
    private var batch: [KVEvent] = []
    private var result = KVEvents()

    mutating func parse(_ line: borrowing RawSpan) throws(JSONSyntaxError) {
        var json = JSONScanner(copy line)
        if json.peek() == 0 { return }
        batch.removeAll(keepingCapacity: true)
        var malformed = 0
        try json.beginArray()
        var first = true
        var time = 0.0
        var engine = 0
        var step: Int64 = -1
        var place = 0
        while try json.nextElement(&first) {
            switch place {
            case 0: time = try json.double()
            case 1:
                try json.beginArray()
                var firstEvent = true
                while try json.nextElement(&firstEvent) {
                    let start = json.position
                    try json.skipValue()
                    let end = json.position
                    json.position = start
                    if let event = event(&json) { batch.append(event) } else { malformed += 1 }
                    json.position = end
                }
            case 2: engine = Int(try json.null() ? 0 : json.integer())
            case 3: step = try json.null() ? -1 : json.integer()
            default: try json.skipValue()
            }
            place += 1
        }
        try json.end()
        guard place >= 2 else { throw JSONSyntaxError(missing: json.position) }
        result.malformedEvents += malformed
        for index in batch.indices {
            batch[index].time = time
            batch[index].engine = engine
            if batch[index].step < 0 { batch[index].step = step }
            let event = batch[index]
            // Transfers are written twice into a batch.
            if event.tag == .initiated || event.tag == .completed,
                batch[..<index].contains(where: {
                    $0.tag == event.tag && $0.id == event.id && $0.step == event.step
                })
            {
                result.repeatedEvents += 1
                continue
            }
            add(event)
        }
    }

    private mutating func add(_ event: KVEvent) {
        result.events += 1
        switch event.tag {
        case .stored:
            result.blocksStored &+= event.blocks
            if event.blockSize > 0 { result.blockSize = event.blockSize }
        case .removed: result.blocksRemoved &+= event.blocks
        case .cleared: result.cacheClears += 1
        case .eviction: result.blocksEvicted &+= event.blocks
        case .remote: break
        case .initiated, .completed, .load, .store: kept.append(event)
        }
    }

    /// Reads one event array.
    private func event(_ json: inout JSONScanner) -> KVEvent? {
        do {
            try json.beginArray()
            var first = true
            guard try json.nextElement(&first) else { return nil }
            try json.string()
            let tag: KVEvent.Tag
            switch json.stringText {
            case "BlockStored": tag = .stored
            case "BlockRemoved": tag = .removed
            case "AllBlocksCleared": tag = .cleared
            case "TransferInitiated": tag = .initiated
            case "TransferCompleted": tag = .completed
            case "CacheLoadCommitted": tag = .load
            case "CacheStoreCommitted": tag = .store
            case "CacheEviction": tag = .eviction
            case "RemoteTransferInitiated", "RemoteTransferCompleted": tag = .remote
            default: return nil
            }
            var event = KVEvent(tag: tag)
            var place = 1
            while try json.nextElement(&first) {
                try field(place, &event, &json)
                place += 1
            }
            let needed =
                switch tag {
                case .cleared: 1
                case .stored, .removed, .remote: 2
                case .initiated, .completed: 6
                case .load, .store: 4
                case .eviction: 3
                }
            return place >= needed ? event : nil
        } catch {
            return nil
        }
    }

    private func field(
        _ place: Int, _ event: inout KVEvent, _ json: inout JSONScanner
    ) throws(JSONSyntaxError) {
        switch (event.tag, place) {
        case (.stored, 1), (.removed, 1): event.blocks = try elements(&json)
        case (.stored, 4): event.blockSize = try json.count()
        case (.initiated, 1), (.completed, 1):
            let range = try json.number()
            guard let id = parseUnsigned(json.bytes.extracting(range)) else {
                throw JSONSyntaxError(range: range.lowerBound)
            }
            event.id = id
        case (.initiated, 3), (.completed, 3):
            try json.string()
            event.fromCPU = !json.key(is: "GPU")
        case (.initiated, 4), (.completed, 4):
            try json.string()
            event.toCPU = !json.key(is: "GPU")
        case (.initiated, 5), (.completed, 5): event.blocks = try json.count()
        case (.initiated, 6): event.step = try json.null() ? -1 : json.integer()
        case (.completed, 6): event.succeeded = try json.boolean()
        case (.completed, 7): event.step = try json.null() ? -1 : json.integer()
        case (.load, 3), (.store, 3): event.blocks = try json.count()
        case (.load, 4), (.store, 4): event.step = try json.null() ? -1 : json.integer()
        case (.eviction, 2): event.blocks = try json.count()
        case (.eviction, 4): event.step = try json.null() ? -1 : json.integer()
        default: try json.skipValue()
        }
    }

    private func elements(_ json: inout JSONScanner) throws(JSONSyntaxError) -> Int {
        try json.beginArray()
        var count = 0
        var first = true
        while try json.nextElement(&first) {
            try json.skipValue()
            count += 1
        }
        return count
    }

    /// Adds up what began in each step and pairs beginnings with ends.
    func finish(_ events: inout KVEvents) {
        let (lines, truncated) = (events.malformedLines, events.isTruncated)
        events = result
        events.malformedLines = lines
        events.isTruncated = truncated
        // Decisions stand in for transfers where transfers are not published.
        let hasTransfers = kept.contains { $0.tag == .initiated }
        var moves: [KVEvents.StepTransfers] = []
        for event in kept where event.step >= 0 {
            var move = KVEvents.StepTransfers(
                step: event.step, engine: event.engine, blocksToOffload: 0, blocksToRestore: 0)
            switch event.tag {
            case .initiated where event.toCPU && !event.fromCPU: move.blocksToOffload = event.blocks
            case .initiated where event.fromCPU && !event.toCPU: move.blocksToRestore = event.blocks
            case .store where !hasTransfers: move.blocksToOffload = event.blocks
            case .load where !hasTransfers: move.blocksToRestore = event.blocks
            default: continue
            }
            moves.append(move)
        }
        moves.sort { $0.engine != $1.engine ? $0.engine < $1.engine : $0.step < $1.step }
        for move in moves {
            if let last = events.stepTransfers.last, last.step == move.step, last.engine == move.engine {
                events.stepTransfers[events.stepTransfers.count - 1].blocksToOffload &+= move.blocksToOffload
                events.stepTransfers[events.stepTransfers.count - 1].blocksToRestore &+= move.blocksToRestore
            } else {
                events.stepTransfers.append(move)
            }
        }
        var begun: [UInt64: KVEvent] = [:]
        for event in kept {
            if event.tag == .initiated {
                begun[event.id] = event
            } else if event.tag == .completed, let start = begun.removeValue(forKey: event.id),
                start.engine == event.engine, event.time >= start.time
            {
                events.transfers.append(
                    KVEvents.Transfer(
                        step: start.step, blocks: start.blocks, toCPU: start.toCPU,
                        seconds: event.time - start.time,
                        succeeded: event.succeeded))
            }
        }
    }
}
