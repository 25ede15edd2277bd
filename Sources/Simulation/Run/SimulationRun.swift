import Engine
import LatencyOracle
import ServingCore
import Workload

/// One simulation: requests of a stream served by one or more engines until all have ended.
///
/// Call `advance` until it returns false, taking what it hands out in between; then `finish`.
public struct SimulationRun {
    private let configuration: SimulationConfiguration
    private var engines: [EngineDriver]
    /// Engines that step together, by replica; empty where each steps by itself.
    private var groups: [LockstepGroup]
    private var context: RunContext
    private var router: Router
    private var request = IncomingRequest()
    private var sentCount = 0
    private var now: Ticks = 0

    /// A run that has not begun.
    /// - Throws: `InvalidInput` if the stream's first request cannot be drawn.
    public init(_ configuration: SimulationConfiguration, requests: RequestStream) throws {
        self.configuration = configuration
        router = Router(configuration)
        engines = (0..<configuration.engines).map { EngineDriver(configuration, number: $0) }
        let size = router.enginesPerReplica
        groups =
            configuration.isLockstep
            ? (0..<configuration.engines / size).map { LockstepGroup(first: $0 * size, count: size) } : []
        context = RunContext(
            configuration, client: try Client(stream: requests), timeout: requests.clientTimeout)
    }

    /// Requests sent so far.
    public var sentRequests: Int { sentCount }
    /// Simulated time so far.
    public var time: Ticks { now }

    /// Records of requests that ended since the last call, in order of ending. Empty unless asked for.
    public mutating func takeRecords() -> [RequestRecord] {
        defer { context.records.removeAll(keepingCapacity: true) }
        return context.records
    }

    /// Steps that ended since the last call. Empty unless asked for.
    public mutating func takeSteps() -> [StepRecord] {
        defer { context.stepRecords.removeAll(keepingCapacity: true) }
        return context.stepRecords
    }

    /// Runs at most `events` events.
    /// - Returns: false when the run is over.
    /// - Throws: `InvalidInput` when the stream cannot go on.
    public mutating func advance(events: Int) throws -> Bool {
        var left = events
        while left > 0 {
            let next = groups.isEmpty ? nextEngine() : nextGroup()
            let engineTime = groups.isEmpty ? engines[next].nextEvent : groups[next].nextEvent
            let send = context.client.nextSend
            let deadline = context.nextDeadline
            if send <= engineTime && send <= deadline {
                guard send < configuration.horizon else { return false }
                now = max(now, send)
                try sendRequest(at: now)
                left -= 1
            } else if deadline < engineTime {
                guard deadline < configuration.horizon else { return false }
                now = max(now, deadline)
                let due = context.popDeadline()
                engines[due.engine].giveUp(due.handle, at: due.time, &context)
                wakeGroup(of: due.engine)
                left -= 1
            } else if !groups.isEmpty {
                guard engineTime < configuration.horizon else { return false }
                groups[next].runBoundary(&engines, &context)
                now = engineTime
                left -= 1
            } else {
                guard engineTime < configuration.horizon else { return false }
                let limit = min(send, deadline, configuration.horizon, nextEvent(besides: next))
                left -= engines[next].runEvents(before: limit, atMost: left, &context)
                now = engines[next].lastEvent
            }
        }
        return true
    }

    @inline(__always)
    private func nextEngine() -> Int {
        var best = 0
        for i in engines.indices.dropFirst() where engines[i].nextEvent < engines[best].nextEvent { best = i }
        return best
    }

    private func nextGroup() -> Int {
        groups.indices.min { groups[$0].nextEvent < groups[$1].nextEvent }!
    }

    /// Lets the group of an engine look at what has changed for it.
    private mutating func wakeGroup(of engine: Int) {
        guard !groups.isEmpty else { return }
        groups[engine / router.enginesPerReplica].wake(engines)
    }

    @inline(__always)
    private func nextEvent(besides engine: Int) -> Ticks {
        var least = Ticks.max
        for i in engines.indices where i != engine { least = min(least, engines[i].nextEvent) }
        return least
    }

    private mutating func sendRequest(at time: Ticks) throws {
        try context.client.send(&request)
        let index = sentCount
        sentCount += 1
        context.collector.sent(at: time, due: request.arrival)
        if request.promptTokens >= configuration.scheduler.maxModelLen {
            var record = RequestRecord()
            record.index = index
            record.status = .rejected
            record.sent = time
            record.finished = time
            record.promptTokens = request.promptTokens
            context.ended(record, session: request.session)
            return
        }
        let arrives = time + context.arrivalTime(promptTokens: request.promptTokens)
        let engine = engines.count == 1 ? 0 : chooseEngine(index)
        engines[engine].accept(request, index: index, sent: time, arrives: arrives)
        wakeGroup(of: engine)
    }

    /// The router's choice of a replica, and the replica's own of one of its engines.
    private mutating func chooseEngine(_ index: Int) -> Int {
        leastLoadedEngine(index, of: router.choose(for: request, engines: engines))
    }

    /// vLLM's internal load balancer: the lowest score, ties from a starting engine that moves on.
    private mutating func leastLoadedEngine(_ index: Int, of replica: Int) -> Int {
        let count = router.enginesPerReplica
        let first = replica * count
        guard count > 1 else { return first }
        var best = first + index % count
        for k in 1..<count {
            let i = first + (index + k) % count
            if engines[i].loadScore < engines[best].loadScore { best = i }
        }
        return best
    }

    /// The result of the run; requests that have not ended are counted as unfinished.
    public mutating func finish() -> SimulationResult {
        for i in engines.indices { engines[i].endAll(&context) }
        context.unfinished.sort { $0.index < $1.index }
        for record in context.unfinished { context.ended(record, session: -1) }
        var result = SimulationResult()
        let isCut = configuration.horizon != .max && !context.unfinished.isEmpty
        result.metrics = context.collector.metrics(until: isCut ? configuration.horizon : nil)
        result.requests = sentCount
        result.engines = engines.count
        result.kvBlocks = configuration.scheduler.numBlocks - 1
        result.blockSize = configuration.scheduler.blockSize
        result.steps = context.steps
        result.simulatedSeconds = context.lastEvent.seconds
        result.prefixCacheQueries = context.prefixCacheQueries
        result.prefixCacheHits = context.prefixCacheHits
        result.preemptions = context.preemptions
        result.offload = offloadMetrics()
        result.seed = configuration.seed
        if configuration.checksDomain, configuration.oracle.hasDomain {
            result.domain = DomainCoverage(context.stepSample.states, oracle: configuration.oracle)
        }
        return result
    }

    private func offloadMetrics() -> OffloadMetrics? {
        guard let offload = configuration.scheduler.offload else { return nil }
        var metrics = OffloadMetrics()
        metrics.cpuChunks = offload.cpuChunks
        metrics.blocksPerChunk = offload.blocksPerChunk
        metrics.promptTokens = context.prefixCacheQueries
        metrics.gpuHitTokens = context.prefixCacheHits
        metrics.cpuHitTokens = context.externalCacheHits
        for engine in engines { metrics.transfers.add(engine.transfers?.metrics ?? KVTransferMetrics()) }
        let time = context.lastEvent.seconds * Double(engines.count)
        if time > 0 {
            metrics.linkUtilizationToDevice = metrics.transfers.busyToDevice.seconds / time
            metrics.linkUtilizationToHost = metrics.transfers.busyToHost.seconds / time
        }
        return metrics
    }
}
