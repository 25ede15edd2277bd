import Catalog
import LatencyOracle
import OracleTraining
import Scenarios
import ServingCore

extension QueueCost.Run {
    /// Points of the grid a second.
    static let pointsPerSecond = 4.0

    /// Batch and queue of a measured run as its requests show them, with the step times that an oracle expects of the
    /// batch; nil on a single GPU, and where the KV memory rather than `--max-num-seqs` holds requests back, since
    /// preempted requests get no tokens meanwhile.
    /// - Throws: `InvalidInput` for an unknown model or accelerator.
    public init?(_ run: MeasuredRun, base: Scenario, oracle: StepTimeOracle, shipped: ShippedFiles) throws {
        let scenario = try run.scenario(base: base)
        guard let gpu = scenario.gpu else { return nil }
        let deployment = try Deployment(
            scenario.engine, gpu: gpu, version: scenario.engineVersion, shipped: shipped)
        var artifact = oracle.artifact
        artifact.setQueueCost(0)
        artifact.host = nil
        let facts = deployment.facts()
        guard facts.tensorParallelSize > 1 else { return nil }
        let compiled = try StepTimeOracle(artifact: artifact).compile(for: facts)
        let feature = try StepFeatureEvaluator(
            features: [FeatureSet.stepFeature(named: QueueCost.feature, in: .physics)], facts: facts)

        let complete = run.records.filter { $0.status == .completed && $0.outputTokens > 1 }
        guard let end = complete.map(\.finished).max() else { return nil }
        let points = Int(end.seconds * Self.pointsPerSecond) + 2
        func point(_ time: Ticks) -> Int {
            min(max(Int((time.seconds * Self.pointsPerSecond).rounded(.up)), 0), points)
        }
        // Changes at each point: requests running and waiting, and the context as a line in time.
        var running = [Double](repeating: 0, count: points + 1)
        var waiting = running
        var (contextAtZero, contextGrowth) = (running, running)
        for record in run.records {
            let isComplete = record.status == .completed && record.outputTokens > 1
            waiting[point(record.sent)] += 1
            waiting[point(isComplete ? record.firstToken : record.finished)] -= 1
            guard isComplete else { continue }
            let (from, to) = (point(record.firstToken), point(record.finished))
            let rate =
                Double(record.outputTokens - 1) / max((record.finished - record.firstToken).seconds, 1e-3)
            let start = Double(record.promptTokens) - rate * record.firstToken.seconds
            running[from] += 1
            running[to] -= 1
            contextAtZero[from] += start
            contextAtZero[to] -= start
            contextGrowth[from] += rate
            contextGrowth[to] -= rate
        }
        var (steps, queue) = ([Double](), [Double]())
        var (now, line) = ((running: 0.0, waiting: 0.0), (start: 0.0, growth: 0.0))
        var full: Int?
        var (runningBesideQueue, pointsWithQueue) = (0.0, 0.0)
        for k in 0..<points {
            now.running += running[k]
            now.waiting += waiting[k]
            line.start += contextAtZero[k]
            line.growth += contextGrowth[k]
            var state = StepState()
            state.decodeRequests = max(1, Int(now.running))
            state.runningRequests = state.decodeRequests
            let context = line.start + line.growth * Double(k) / Self.pointsPerSecond
            state.decodeContextTokens = max(state.decodeRequests, Int(min(max(context, 0), 1e15)))
            steps.append(compiled.stepSeconds(state))
            var queued = StepState()
            queued.waitingRequests = max(0, Int(now.waiting))
            queue.append(feature.values(of: queued)[0])
            if Int(now.running) >= facts.maxNumSeqs, full == nil { full = k }
            if full != nil, now.waiting >= 1, now.running >= 1 {
                runningBesideQueue += now.running
                pointsWithQueue += 1
            }
        }
        guard let full, runningBesideQueue >= 0.95 * pointsWithQueue * Double(facts.maxNumSeqs) else {
            return nil
        }
        let start = Double(full) / Self.pointsPerSecond
        self.init(
            interval: 1 / Self.pointsPerSecond, steps: steps, queue: queue,
            requests: complete.filter { $0.firstToken.seconds >= start && $0.finished > $0.firstToken }.map {
                ($0.firstToken.seconds, $0.finished.seconds, Double($0.outputTokens - 1))
            })
    }
}
