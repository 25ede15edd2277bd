import LatencyOracle
import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One engine as a fluid: requests decoding, requests waiting, requests held back by their clients, each a number
/// that flows. Little's law turns the areas under them into mean times.
struct FluidModel {
    let oracle: CompiledOracle
    let facts: DeploymentFacts
    /// In flight at most, on this engine.
    let limit: Double
    let queue: QueueForecast?

    /// Areas under the numbers, request seconds.
    private(set) var decoding = (area: 0.0, seconds: 0.0)
    private(set) var waitingArea = 0.0
    private(set) var kvArea = 0.0
    /// Time with requests waiting for room.
    private(set) var behindSeconds = 0.0
    /// Sums over admitted requests of the time from queue to first token beyond the wait for room.
    private(set) var firstTokenSum = 0.0
    /// The greatest share of the slots, or of the prefill that steps have room for, that was in use.
    private(set) var occupancy = 0.0
    private(set) var time = 0.0
    /// When the last request that had to wait was admitted.
    private(set) var lastBehind = 0.0

    /// Requests, and how many of mean length they are.
    private struct Pool {
        var count = 0.0
        var work = 0.0

        mutating func take(_ wanted: Double) -> Pool {
            let share = count > 0 ? min(max(wanted / count, 0), 1) : 0
            let taken = Pool(count: share * count, work: share * work)
            count -= taken.count
            work -= taken.work
            return taken
        }
    }

    /// Decoding requests, long ones counted more.
    private var running = 0.0
    private var waiting = Pool()
    private var held = Pool()
    private var last = StepBalance.Request()

    init(oracle: CompiledOracle, facts: DeploymentFacts, limit: Double, queue: QueueForecast?) {
        self.oracle = oracle
        self.facts = facts
        self.limit = limit
        self.queue = queue
    }

    /// Requests that can run at a time: as many as slots, or as KV blocks hold.
    private func slots(_ request: StepBalance.Request) -> Double {
        let blockSize = Double(max(1, facts.blockSize))
        let size = max(request.context, request.promptTokens) + blockSize / 2
        let room = facts.kvBlocks > 0 ? Double(facts.kvBlocks) * blockSize / size : .infinity
        return max(1, min(Double(max(1, facts.maxNumSeqs)), room))
    }

    /// Lets `arrivals` like `request` come, evenly over `seconds`.
    /// - Parameter work: how many requests of mean length they are together; `request` has the mean length.
    mutating func advance(seconds: Double, arrivals: Double, work: Double, _ request: StepBalance.Request) {
        if arrivals > 0 { last = request }
        guard seconds > 0 else {
            held.count += arrivals
            held.work += work
            return
        }
        // Steps short beside a request's life follow it; four a piece are enough.
        let life = lifetime(running)
        let count = min(max((seconds / (0.25 * life)).rounded(.up), 1), 8)
        for _ in 0..<Int(count) {
            flow(seconds / count, Pool(count: arrivals / count, work: work / count), parts: count)
        }
    }

    /// Lets everybody finish.
    mutating func drain() {
        var rounds = 0
        while running + waiting.count + held.count > 0.01, rounds < 20_000 {
            flow(0.25 * lifetime(running), Pool(), parts: 1)
            rounds += 1
        }
    }

    private func lifetime(_ running: Double) -> Double {
        let balance = StepBalance(oracle: oracle, facts: facts, request: last, batch: running + 0.5, rate: 0)
        return max(1, last.decodeSteps) * balance.stepSeconds
    }

    private mutating func flow(_ seconds: Double, _ arrivals: Pool, parts: Double) {
        let slots = slots(last)
        let steps = max(1, last.decodeSteps)
        let before = (running: running, waiting: waiting.count)
        held.count += arrivals.count
        held.work += arrivals.work
        let sent = held.take(limit - running - waiting.count)
        waiting.count += sent.count
        waiting.work += sent.work
        // A request sees itself whole, in a fluid that ebbs away from it half: the other half is added.
        let guess = StepBalance(
            oracle: oracle, facts: facts, request: last, batch: running + 0.5, rate: waiting.count / seconds)
        let leaving = running * (1 - exp(-seconds / (steps * guess.stepSeconds)))
        let admitted = waiting.take(min(slots - running + leaving, guess.greatestRate * seconds))
        // Those who come in the middle leave for half the time.
        let middle = max(0, running + (admitted.work - leaving) / 2)
        let balance = StepBalance(
            oracle: oracle, facts: facts, request: last, batch: middle + 0.5, rate: admitted.count / seconds)
        let life = steps * balance.stepSeconds
        let decay = exp(-seconds / life)
        running = running * decay + admitted.work * decay.squareRoot()
        // Departures times life is the area: Little's law, exact whatever the shape.
        let area = (before.running + admitted.work - running) * life
        decoding.area += area
        decoding.seconds += seconds
        kvArea += area * last.context
        waitingArea += (before.waiting + waiting.count) / 2 * seconds
        let isBehind = waiting.count > 1e-6 + 1e-3 * admitted.count
        time += seconds
        if isBehind { behindSeconds += seconds }
        if waiting.count + held.count > 0.01 { lastBehind = time }
        if admitted.count > 0 { occupancy = max(occupancy, middle / slots, isBehind ? 1 : 0) }
        // What one of a piece sees beside itself; unbiased although busy pieces have more requests that look.
        let others = max(0, admitted.count * parts - 1) / (seconds * parts)
        let seen = StepBalance(
            oracle: oracle, facts: facts, request: last, batch: before.running, rate: others)
        firstTokenSum += admitted.count * firstToken(seen, before.running)
    }

    private func firstToken(_ balance: StepBalance, _ running: Double) -> Double {
        let prompt = Int(min(last.promptTokens.rounded(), 1e9))
        let ahead = Int(min(running.rounded(), 1e6))
        var wait: Double?
        if let queue {
            var state = QueueState()
            state.runningRequests = ahead
            state.waitingRequests = Int(min(waiting.count.rounded(), 1e6))
            state.kvBlocksTotal = facts.kvBlocks
            let blocks = running * last.context / Double(max(1, facts.blockSize))
            state.kvBlocksUsed = Int(min(blocks, Double(max(0, facts.kvBlocks))))
            state.promptTokens = prompt
            wait = queue.meanSeconds(state)
        }
        return oracle.arrivalSeconds(promptTokens: prompt) + balance.firstTokenSeconds(wait: wait)
            + oracle.postSeconds(outputTokens: 1, requestsAhead: ahead)
    }
}
