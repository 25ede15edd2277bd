import ServingCore

/// Runs a recorded scenario through the engine and gives the records that vLLM's recorder gave.
public struct ScenarioReplay {
    /// How a scenario ended.
    public enum Ending: String, Sendable {
        /// All requests are done.
        case drained
        /// The step limit was reached.
        case maxSteps = "max_steps"
        /// The head of the queue can never be admitted.
        case stuck
    }

    private struct Summary {
        var firstTokenStep: Int?
        var finishStep: Int?
        var outputTokens = 0
        var preemptions = 0
        var firstHit: Int?
        var status: String?
    }

    private let scenario: SchedulerScenario
    private let maxSteps: Int
    private let requests: [IncomingRequest]
    private let arrivals: [Int: [Int]]
    private let aborts: [Int: [Int]]
    private let lastEvent: Int
    private var core: EngineCore
    private var handles: [RequestHandle]
    private var inFlightSteps: [Int] = []
    private var outputs: [Scheduler.Output] = []
    private var summaries: [Summary]
    private var transfers: TransferDelays?
    private var step = 0
    private var emptySteps = 0
    private var lastStep = -1
    /// How it ended, once `next` has returned nil.
    public private(set) var ending: Ending?

    /// A replay of `scenario`, which must be valid, of at most `maxSteps` steps.
    public init(
        _ scenario: SchedulerScenario, maxSteps: Int, sharesEverything: Bool = false,
        exactSteps: Bool = false, checksInvariants: Bool = true
    ) {
        self.scenario = scenario
        self.maxSteps = maxSteps
        requests = scenario.incomingRequests(sharesEverything: sharesEverything)
        arrivals = Dictionary(grouping: scenario.requests.indices) { scenario.requests[$0].arrivalStep }
        aborts = Dictionary(grouping: scenario.aborts) { $0[0] }.mapValues { $0.map { $0[1] } }
        lastEvent = max(arrivals.keys.max() ?? 0, aborts.keys.max() ?? 0)
        var configuration = scenario.schedulerConfiguration
        configuration.checksInvariants = checksInvariants
        configuration.exactSteps = exactSteps
        core = EngineCore(configuration: configuration)
        transfers = scenario.config.offload.map { TransferDelays($0) }
        handles = Array(repeating: .none, count: requests.count)
        summaries = Array(repeating: Summary(), count: requests.count)
    }

    /// The next record, keys in the recorder's order; nil at the end.
    public mutating func next() -> [(key: String, value: JSONValue)]? {
        while ending == nil {
            if step >= maxSteps {
                ending = .maxSteps
                break
            }
            defer { step += 1 }
            addArrivals()
            let aborted = applyAborts()
            let turn = core.advance()
            if case .idle = turn {
                if step > lastEvent { ending = .drained }
                continue
            }
            let record = makeRecord(turn, aborted: aborted)
            lastStep = step
            if emptySteps >= 3 && core.scheduler.waitingCount > core.scheduler.kvHoldingCount {
                ending = .stuck
            }
            return record
        }
        return nil
    }

    /// The last line of a recording.
    public var summary: [(key: String, value: JSONValue)] {
        let rows = summaries.indices.map { id -> JSONValue in
            let summary = currentSummary(of: id)
            return .object([
                "id": .int(id), "first_token_step": .optional(summary.firstTokenStep),
                "finish_step": .optional(summary.finishStep), "output_tokens": .int(summary.outputTokens),
                "preemptions": .int(summary.preemptions), "first_hit": .optional(summary.firstHit),
                "status": summary.status.map { .string($0) } ?? .null,
            ])
        }
        return [
            ("summary", .bool(true)), ("end", .string((ending ?? .maxSteps).rawValue)),
            ("steps", .int(lastStep + 1)),
            ("requests", .array(rows)),
        ]
    }

    private func currentSummary(of id: Int) -> Summary {
        var summary = summaries[id]
        if handles[id] != .none && core.scheduler.isLive(handles[id]) { note(handles[id], in: &summary) }
        return summary
    }

    private func note(_ handle: RequestHandle, in summary: inout Summary) {
        summary.outputTokens = core.scheduler.outputTokens(of: handle)
        summary.preemptions = core.scheduler.preemptions(of: handle)
        let hit = core.scheduler.firstHitTokens(of: handle)
        summary.firstHit = hit < 0 ? nil : hit
    }

    private mutating func addArrivals() {
        for id in arrivals[step] ?? [] {
            handles[id] = core.scheduler.add(
                requests[id], id: id, arrivalTime: scenario.requests[id].arrivalTime)
        }
    }

    private mutating func applyAborts() -> [Int] {
        var aborted: [Int] = []
        for id in aborts[step] ?? [] where handles[id] != .none && core.scheduler.isLive(handles[id]) {
            note(handles[id], in: &summaries[id])
            summaries[id].finishStep = step
            summaries[id].status = "FINISHED_ABORTED"
            core.scheduler.abort(handles[id])
            aborted.append(id)
        }
        return aborted
    }

    private mutating func makeRecord(_ turn: EngineCore.Turn, aborted: [Int]) -> [(
        key: String, value: JSONValue
    )] {
        var record: [(key: String, value: JSONValue)] = [("s", .int(step))]
        var scheduledTokens = 0
        var mustUpdate = true
        switch turn {
        case .mustUpdate(scheduled: false): break
        case .mustUpdate(scheduled: true), .scheduled, .idle:
            appendSchedule(to: &record)
            transfers?.begin(core.newestBatch.transfers, step: step)
            scheduledTokens = core.newestBatch.totalTokens
            inFlightSteps.append(step)
            if !aborted.isEmpty { record.append(("abort", .ints(aborted))) }
            if case .scheduled = turn {
                record.append(("upd", .array([])))
                mustUpdate = false
            }
        }
        if mustUpdate {
            let updated = inFlightSteps.removeFirst()
            if scenario.config.asyncScheduling { record.append(("upd", .ints([updated]))) }
            _ = core.update(stamp: Int64(step), outputs: &outputs)
            noteOutputs()
            record.append(("fin", .ints(outputs.filter(\.isFinished).map(\.id))))
            let done = transfers?.complete(by: updated) ?? []
            core.completeTransfers(done)
            record.append(("free_end", .int(core.scheduler.freeBlocks)))
            if !done.isEmpty { record.append(("jobs_done", .ints(done))) }
        }
        let isBusy =
            scheduledTokens > 0 || core.scheduler.runningCount > 0 || step <= lastEvent
            || !(transfers?.isEmpty ?? true)
        emptySteps = isBusy ? 0 : emptySteps + 1
        return record
    }

    private func appendSchedule(to record: inout [(key: String, value: JSONValue)]) {
        let scheduler = core.scheduler
        let batch = core.newestBatch
        let requests = scheduler.allRequests(of: batch)
        let ids = requests.map { scheduler.id(of: $0.handle) }
        let kinds = requests.map { request in
            switch request.kind {
            case .running: "u"
            case .new: "n"
            case .resumed: "r"
            }
        }
        record.append(("ids", .ints(ids)))
        record.append(("n", .ints(requests.map { Int($0.tokens) })))
        record.append(("c", .ints(requests.map { Int($0.computedTokens) })))
        record.append(("k", .string(kinds.joined())))
        record.append(("tot", .int(batch.totalTokens)))
        if !batch.preempted.isEmpty { record.append(("pre", .ints(batch.preempted))) }
        if transfers != nil { append(batch.transfers, to: &record) }
        let running = scheduler.runningIDs
        if running != ids { record.append(("run", .ints(running))) }
        record.append(("wait", .ints(scheduler.waitingIDs)))
        let holding = scheduler.kvHoldingIDs
        if !holding.isEmpty { record.append(("kvhold", .ints(holding))) }
        record.append(("free", .int(scheduler.freeBlocks)))
        record.append(("hash", .int(scheduler.distinctHashes)))
    }

    private func append(_ plan: TransferPlan, to record: inout [(key: String, value: JSONValue)]) {
        func jobs(_ list: [TransferJob]) -> JSONValue {
            .array(list.map { .array([.int($0.id), .int($0.request), .ints($0.chunks)]) })
        }
        if !plan.externalHits.isEmpty {
            let hits = plan.externalHits.map {
                JSONValue.ints([$0.request, $0.localTokens, $0.externalTokens])
            }
            record.append(("ext", .array(hits)))
        }
        if !plan.loads.isEmpty { record.append(("loads", jobs(plan.loads))) }
        if !plan.stores.isEmpty { record.append(("stores", jobs(plan.stores))) }
        if !plan.flush.isEmpty { record.append(("flush", .ints(plan.flush))) }
        if plan.evictedChunks > 0 { record.append(("cpu_evict", .int(plan.evictedChunks))) }
        if plan.refusedStores > 0 { record.append(("store_fail", .int(plan.refusedStores))) }
        record.append(("cpu", .int(plan.residentChunks)))
    }

    private mutating func noteOutputs() {
        for output in outputs {
            let id = output.id
            if output.isFirstToken { summaries[id].firstTokenStep = step }
            summaries[id].outputTokens = Int(output.outputTokens)
            summaries[id].preemptions = Int(output.preemptions)
            summaries[id].firstHit = Int(output.firstHitTokens)
            if output.isFinished {
                summaries[id].finishStep = step
                summaries[id].status = "FINISHED_LENGTH_CAPPED"
            }
        }
    }
}

extension JSONValue {
    static func ints(_ values: [Int]) -> JSONValue { .array(values.map { .int($0) }) }
    static func optional(_ value: Int?) -> JSONValue { value.map { .int($0) } ?? .null }
}
