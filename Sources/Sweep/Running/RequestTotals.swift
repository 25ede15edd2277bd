import ServingCore
import Simulation

/// What happened to each request, as far as a sweep's figures and their errors need it; and the proof that none was lost.
struct RequestTotals: Sendable {
    /// One request.
    private struct Item: Sendable {
        var sent: Ticks = -1
        var finished: Ticks = 0
        var prompt: Int32 = 0
        var output: Int32 = 0
        var engine: Int32 = 0
        var isCompleted = false
        var isGood = false
    }

    /// What is counted per second.
    enum Count: Sendable {
        case requests, outputTokens, totalTokens, goodRequests
    }

    private let objectives: ServiceLevelObjectives
    private var items: [Item] = []
    private var doubled = 0
    private var perEngine: [Int: Int] = [:]

    init(objectives: ServiceLevelObjectives) { self.objectives = objectives }

    mutating func add(_ records: [RequestRecord]) {
        for record in records {
            while items.count <= record.index { items.append(Item()) }
            if items[record.index].sent >= 0 { doubled += 1 }
            let isCompleted = record.status == .completed
            items[record.index] = Item(
                sent: record.sent, finished: record.finished, prompt: Int32(clamping: record.promptTokens),
                output: Int32(clamping: record.outputTokens), engine: Int32(clamping: record.engine),
                isCompleted: isCompleted, isGood: isCompleted && objectives.allow(record))
        }
    }

    /// What is wrong with the books; nil when each request sent ended exactly once.
    func loss(sent: Int, engines: Int) -> String? {
        let missing = items.count { $0.sent < 0 }
        if items.count != sent || missing > 0 {
            return "\(sent) requests were sent and \(items.count - missing) ended"
        }
        if doubled > 0 { return "\(doubled) requests ended twice" }
        if items.contains(where: { $0.engine < 0 || Int($0.engine) >= engines }) {
            return "a request ended on an engine that isn't there"
        }
        return nil
    }

    /// Parts of a run whose deviations from the whole show the error of a figure (batch means).
    static let batches = 20

    /// How much a rate in each of equally long parts of the run deviates from the rate of the whole: the mean of their
    /// squares over the number of parts less one is the variance of the rate. Deviations of two runs over the same requests
    /// may be subtracted, so that what both have in common, the load's ups and downs and the filling and emptying at the
    /// ends, falls out.
    ///
    /// What a request counts is spread over its time in the system, so that no part gets it all by chance.
    /// - Returns: empty when there are too few requests.
    func deviations(of count: Count, from first: Int) -> [Double] {
        let measured = items.dropFirst(first)
        guard measured.count >= 2 * Self.batches, let start = measured.first?.sent,
            let end = measured.map(\.finished).max(), end > start
        else { return [] }
        let part = Double(end - start) / Double(Self.batches)
        var sums = [Double](repeating: 0, count: Self.batches)
        for item in measured where item.isCompleted {
            let amount: Double
            switch count {
            case .requests: amount = 1
            case .outputTokens: amount = Double(item.output)
            case .totalTokens: amount = Double(item.output) + Double(item.prompt)
            case .goodRequests: amount = item.isGood ? 1 : 0
            }
            let from = Double(item.sent - start) / part
            let to = max(Double(item.finished - start) / part, from + 1e-9)
            let last = min(Self.batches - 1, Int(to))
            for place in min(last, max(0, Int(from)))...last {
                let share = min(to, Double(place + 1)) - max(from, Double(place))
                sums[place] += amount * max(0, share) / (to - from)
            }
        }
        let seconds = part / 1e9
        let rate = sums.reduce(0, +) / Double(Self.batches) / seconds
        return sums.map { $0 / seconds - rate }
    }

    /// The same for the share of good requests.
    func deviationsOfGoodShare(from first: Int) -> [Double] {
        let measured = items.dropFirst(first)
        guard measured.count >= 2 * Self.batches else { return [] }
        let share = Double(measured.count { $0.isGood }) / Double(measured.count)
        return (0..<Self.batches).map { batch in
            let from = measured.count * batch / Self.batches
            let to = measured.count * (batch + 1) / Self.batches
            let good = measured.dropFirst(from).prefix(to - from).count { $0.isGood }
            let size = Double(measured.count) / Double(Self.batches)
            return (Double(good) - share * Double(to - from)) / size
        }
    }
}

extension ServiceLevelObjectives {
    /// Whether a completed request meets every limit (as `vllm bench serve` counts).
    fileprivate func allow(_ record: RequestRecord) -> Bool {
        if isEmpty { return false }
        if let ttft, Double(record.timeToFirstToken) > ttft * 1e6 { return false }
        if let tpot, (record.timePerOutputToken ?? 0) > tpot * 1e6 { return false }
        if let e2el, Double(record.endToEnd) > e2el * 1e6 { return false }
        return true
    }
}
