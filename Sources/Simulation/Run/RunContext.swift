import DequeModule
import Engine
import LatencyOracle
import ServingCore

/// What all engines of a run share: the client, the metrics and what is handed out.
struct RunContext {
    /// A request whose client gives up when the deadline passes.
    struct Deadline {
        var time: Ticks
        var engine: Int
        var handle: RequestHandle
    }

    var client: Client
    /// Grows with everything that may move the next sending or the next deadline.
    private(set) var changesOfLimit = 0
    var collector: MetricsCollector
    var prefixCacheQueries = 0
    var prefixCacheHits = 0
    var externalCacheHits = 0
    var preemptions = 0
    var steps = 0
    var lastEvent: Ticks = 0
    var records: [RequestRecord] = []
    var stepRecords: [StepRecord] = []
    var unfinished: [RequestRecord] = []
    private(set) var deadlines = Deque<Deadline>()
    private let timeout: Ticks
    private let collectsRecords: Bool
    private let collectsSteps: Bool
    private let checksDomain: Bool
    /// Steps to hold against the oracle's training domain.
    private(set) var stepSample = StepSample()
    private let oracle: CompiledOracle
    private let samples: Bool
    private var postNoise: RandomStream
    private var arrivalNoise: RandomStream

    init(_ configuration: SimulationConfiguration, client: Client, timeout: Ticks?) {
        self.client = client
        self.timeout = timeout ?? .max
        collector = MetricsCollector(configuration.metrics)
        collectsRecords = configuration.collectsRecords
        collectsSteps = configuration.collectsSteps
        checksDomain = configuration.checksDomain && configuration.oracle.hasDomain
        oracle = configuration.oracle
        samples = configuration.latency == .sample
        postNoise = RandomStream(seed: configuration.seed, purpose: "post noise")
        arrivalNoise = RandomStream(seed: configuration.seed, purpose: "arrival noise")
    }

    /// API work before the scheduler knows of a request.
    mutating func arrivalTime(promptTokens: Int) -> Ticks {
        Ticks(
            seconds: samples
                ? oracle.arrivalSeconds(promptTokens: promptTokens, uniform: arrivalNoise.uniform())
                : oracle.arrivalSeconds(promptTokens: promptTokens))
    }

    /// Time from the end of a step to the client, behind the outputs of other requests.
    mutating func postTime(outputTokens: Int, requestsAhead: Int = 0) -> Ticks {
        Ticks(
            seconds: samples
                ? oracle.postSeconds(
                    outputTokens: outputTokens, requestsAhead: requestsAhead, uniform: postNoise.uniform())
                : oracle.postSeconds(outputTokens: outputTokens, requestsAhead: requestsAhead))
    }

    mutating func track(_ handle: RequestHandle, engine: Int, sent: Ticks) {
        guard timeout != .max else { return }
        // Engines take requests in at their own turns, so one may come after another that was sent later.
        let deadline = Deadline(time: sent + timeout, engine: engine, handle: handle)
        var place = deadlines.count
        while place > 0, deadlines[place - 1].time > deadline.time { place -= 1 }
        deadlines.insert(deadline, at: place)
        if place == 0 { changesOfLimit &+= 1 }
    }

    /// When the next client may give up, `.max` when none will.
    var nextDeadline: Ticks { deadlines.first?.time ?? .max }

    mutating func popDeadline() -> Deadline { deadlines.removeFirst() }

    @inline(__always)
    mutating func finishedStep(_ step: inout StepRecord) {
        steps += 1
        if step.end > lastEvent { lastEvent = step.end }
        collector.step(start: step.start, end: step.end, state: step.state)
        if checksDomain && stepSample.isNextDue() { stepSample.keep(step.state) }
        if collectsSteps { stepRecords.append(step) }
    }

    mutating func ended(_ record: RequestRecord, session: Int32) {
        if record.finished > lastEvent { lastEvent = record.finished }
        preemptions += record.preemptions
        collector.finished(record)
        if collectsRecords { records.append(record) }
        let mayMoveSending = client.departed(
            at: record.finished, session: session, answered: record.status == .completed)
        if mayMoveSending { changesOfLimit &+= 1 }
    }
}
