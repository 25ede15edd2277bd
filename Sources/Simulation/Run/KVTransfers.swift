import Engine
import ServingCore

/// The copies of KV blocks between one engine's GPUs and host memory, on the clock.
struct KVTransfers {
    private struct Copy {
        var id: Int
        var end: Ticks
    }

    private let link: HostLinkConfiguration
    private var toDevice = LinkDirection()
    private var toHost = LinkDirection()
    /// Stores that the workers begin with the next step.
    private var deferredStores: [TransferJob] = []
    private var underWay: [Copy] = []
    private(set) var metrics = KVTransferMetrics()

    /// vLLM's engine loop looks again after this while when nothing can be scheduled.
    static let pollInterval = Ticks(seconds: 1e-3)

    init(_ link: HostLinkConfiguration) { self.link = link }

    /// Begins what a step brings: the stores of the step before, then the loads of this one.
    /// - Parameter start: when the workers turn to the step.
    /// - Returns: when it may compute: after the copies that it has to wait for.
    mutating func begin(_ plan: TransferPlan, start: Ticks) -> Ticks {
        for job in deferredStores { store(job, at: start) }
        deferredStores.removeAll(keepingCapacity: true)
        for job in plan.stores {
            if plan.flush.contains(job.id) { store(job, at: start) } else { deferredStores.append(job) }
        }
        var ready = start
        for copy in underWay where plan.flush.contains(copy.id) { ready = max(ready, copy.end) }
        if ready > start {
            metrics.flushes += 1
            metrics.flushTime += ready - start
        }
        for job in plan.loads { load(job, at: ready) }
        metrics.evictedChunks += plan.evictedChunks
        metrics.refusedStores += plan.refusedStores
        metrics.peakResidentChunks = max(metrics.peakResidentChunks, plan.residentChunks)
        return ready
    }

    /// Weights kept in host memory cross the link in a step that computes.
    mutating func readWeights(at start: Ticks) {
        guard link.weightBytesPerStep > 0 else { return }
        let seconds = link.weightBytesPerStep / (link.bandwidth * link.efficiency)
        _ = toDevice.submit(at: start, duration: Ticks(seconds: seconds))
        metrics.busyToDevice = toDevice.busy
    }

    private mutating func store(_ job: TransferJob, at time: Ticks) {
        let bytes = Double(job.blocks) * link.bytesPerBlock
        let end = toHost.submit(at: time, duration: link.duration(bytes: bytes))
        underWay.append(Copy(id: job.id, end: end))
        metrics.stores += 1
        metrics.bytesToHost += bytes
        metrics.busyToHost = toHost.busy
    }

    private mutating func load(_ job: TransferJob, at time: Ticks) {
        let bytes = Double(job.blocks) * link.bytesPerBlock
        let end = toDevice.submit(at: time, duration: link.duration(bytes: bytes))
        underWay.append(Copy(id: job.id, end: end))
        metrics.loads += 1
        metrics.bytesToDevice += bytes
        metrics.busyToDevice = toDevice.busy
        metrics.loadTime += end - time
        metrics.longestLoad = max(metrics.longestLoad, end - time)
    }

    /// Takes the copies that are complete at `time`: their jobs, ascending.
    mutating func complete(by time: Ticks) -> [Int] {
        guard underWay.contains(where: { $0.end <= time }) else { return [] }
        let done = underWay.filter { $0.end <= time }.map(\.id).sorted()
        underWay.removeAll { $0.end <= time }
        return done
    }

    /// When an engine loop that finds nothing to do at `time` looks again.
    func nextPoll(after time: Ticks) -> Ticks {
        guard deferredStores.isEmpty, let end = underWay.map(\.end).min() else {
            return time + Self.pollInterval
        }
        let polls = max(1, (end - time + Self.pollInterval - 1) / Self.pollInterval)
        return time + polls * Self.pollInterval
    }
}
