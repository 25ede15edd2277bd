import ServingCore

/// Requests drawn from the clients of a ServeGen folder, merged in order of arrival.
///
/// Each client draws gaps with mean 1 and passes through its windows at their rates; a heap holds the next arrival of
/// each. O(log clients) per request.
struct ServeGenRequests: Sendable {
    private struct Client: Sendable {
        let windows: [ServeGenFolder.Window]
        var window = 0
        /// Seconds into the window.
        var offset = 0.0
        var gapStream: RandomStream
        let lengthStream: RandomStream
        var sent: UInt64 = 0
    }

    private struct Arrival: Sendable {
        var time: Double
        var client: Int

        static func < (a: Arrival, b: Arrival) -> Bool { (a.time, a.client) < (b.time, b.client) }
    }

    private var clients: [Client]
    private let tables: SamplingTables
    private var heap: [Arrival] = []
    private let rateScale: Double
    private let limit: Int
    private let origin: Double
    private var produced = 0

    /// - Parameters:
    ///   - rateScale: multiplies every client's rate.
    ///   - limit: most requests.
    init(_ folder: ServeGenFolder, rateScale: Double, limit: Int?, seed: UInt64) {
        tables = folder.tables
        self.rateScale = rateScale
        self.limit = limit ?? .max
        clients = folder.clients.enumerated().map { index, windows in
            Client(
                windows: windows,
                gapStream: RandomStream(
                    seed: seed, purpose: "workload.servegen.arrivals",
                    index: UInt64(truncatingIfNeeded: index)),
                lengthStream: RandomStream(
                    seed: seed, purpose: "workload.servegen.lengths", index: UInt64(truncatingIfNeeded: index)
                ))
        }
        origin = folder.clients.compactMap { $0.first?.start }.min() ?? 0
        for index in clients.indices {
            if let time = advance(index) { push(Arrival(time: time, client: index)) }
        }
    }

    /// Fills in the next arrival; false when the data has ended.
    mutating func next(_ request: inout IncomingRequest) -> Bool {
        guard produced < limit, let first = heap.first else { return false }
        produced += 1
        let index = first.client
        let number = clients[index].sent
        clients[index].sent += 1
        let window = clients[index].windows[clients[index].window]
        let stream = clients[index].lengthStream
        request.arrival = Ticks(seconds: first.time - origin)
        request.promptTokens = draw(window.input, stream.uniform(at: number &<< 1))
        request.outputTokens = draw(window.output, stream.uniform(at: number &<< 1 | 1))
        request.maxTokens = request.outputTokens
        request.priority = 0
        request.session = -1
        request.outputSegment = nil
        if !request.sharedSegments.isEmpty { request.sharedSegments.removeAll(keepingCapacity: true) }
        if let time = advance(index) {
            heap[0].time = time
        } else {
            heap.swapAt(0, heap.count - 1)
            heap.removeLast()
        }
        sink()
        return true
    }

    private func draw(_ lengths: ServeGenFolder.WeightedLengths, _ u: Double) -> Int {
        Int(tables.number(lengths.lengths, tables.index(lengths.weights, u)))
    }

    /// Time of a client's next request; nil after its last window.
    private mutating func advance(_ index: Int) -> Double? {
        guard clients[index].window < clients[index].windows.count else { return nil }
        var left = gap(clients[index].windows[clients[index].window].gaps, &clients[index].gapStream)
        while clients[index].window < clients[index].windows.count {
            let window = clients[index].windows[clients[index].window]
            let rate = window.rate * rateScale
            let expected = rate * (ServeGenFolder.windowLength - clients[index].offset)
            if left < expected {
                clients[index].offset += left / rate
                return window.start + clients[index].offset
            }
            left -= expected
            clients[index].window += 1
            clients[index].offset = 0
        }
        return nil
    }

    private func gap(_ gaps: ArrivalProcess.Gaps, _ stream: inout RandomStream) -> Double {
        switch gaps {
        case .constant: 1
        case .poisson: ContinuousSampling.unitExponential(stream.positiveUniform())
        case .gamma(let shape): ContinuousSampling.unitMeanGamma(shape: shape, &stream)
        case .weibull(let shape):
            ContinuousSampling.unitMeanWeibull(
                stream.positiveUniform(), shape: shape, scale: ContinuousSampling.weibullScale(shape: shape))
        }
    }

    private mutating func push(_ arrival: Arrival) {
        heap.append(arrival)
        var child = heap.count - 1
        while child > 0, heap[child] < heap[(child - 1) / 2] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func sink() {
        var parent = 0
        while true {
            let left = 2 * parent + 1
            var least = left < heap.count && heap[left] < heap[parent] ? left : parent
            if left + 1 < heap.count, heap[left + 1] < heap[least] { least = left + 1 }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
