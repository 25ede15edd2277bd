import LatencyOracle
import ServingCore
import Testing

@testable import OracleTraining

@Suite struct `The cost of requests waiting` {
    /// A run whose true steps take `factor` times the expected ones and `cost` for each request that waits.
    private func run(factor: Double, cost: Double, queue: (Double) -> Double) -> QueueCost.Run {
        var stream = RandomStream(seed: 3, purpose: "queue")
        let interval = 0.25
        let times = (0..<2400).map { Double($0) * interval }
        let steps = times.map { _ in 0.020 + 0.002 * stream.uniform() }
        let queues = times.map(queue)
        var tokens = [0.0]
        for (step, queue) in zip(steps, queues) {
            tokens.append(tokens[tokens.count - 1] + interval / (factor * step + cost * queue))
        }
        let requests = (0..<300).map { _ in
            let first = Int(stream.uniform() * 2200)
            let last = first + 100
            // Some clients count wrongly.
            let error = stream.uniform() < 0.05 ? 1.4 : 1 + 0.01 * (stream.uniform() - 0.5)
            return (
                first: Double(first) * interval, last: Double(last) * interval,
                tokens: (tokens[last] - tokens[first]) * error
            )
        }
        return QueueCost.Run(interval: interval, steps: steps, queue: queues, requests: requests)
    }

    @Test func `is found beside slower steps, and is none where a queue changes nothing`() throws {
        let found = try #require(
            QueueCost.fit(run(factor: 1.2, cost: 15e-6) { min($0 / 2, 256) }))
        #expect(abs(found / 15e-6 - 1) < 0.05)
        #expect(try #require(QueueCost.fit(run(factor: 0.9, cost: 0) { min($0 / 2, 256) })) < 1e-6)
        let both = try #require(
            QueueCost.fit([
                run(factor: 1, cost: 10e-6) { min($0 / 2, 256) },
                run(factor: 1, cost: 20e-6) { min($0 / 2, 256) },
            ]))
        #expect(abs(both / 15e-6 - 1) < 0.05)
    }

    @Test func `is not known from runs without a queue, with a constant one, or with few requests`() {
        #expect(QueueCost.fit([]) == nil)
        #expect(QueueCost.fit(run(factor: 1, cost: 0) { _ in 0 }) == nil)
        var few = run(factor: 1, cost: 15e-6) { min($0 / 2, 256) }
        few.requests.removeLast(250)
        #expect(QueueCost.fit(few) == nil)
    }

    @Test func `belongs to every model of an artifact`() throws {
        var facts = DeploymentFacts()
        facts.acceleratorName = "card"
        var model = StepModel(
            kind: .linear, featureSet: "physics", coefficients: [Coefficient(feature: "constant", value: 1)])
        model.specialised = [ScopedStepModel(scope: ModelScope(accelerator: facts), model: model)]
        var artifact = OracleArtifact(name: "t", summary: "t", step: model)
        artifact.setQueueCost(1e-5)
        artifact.setQueueCost(2e-5)
        #expect(artifact.queueCost == 2e-5)
        #expect(artifact.step.coefficients.count == 2)
        #expect(artifact.step.specialised?[0].model.coefficients.last?.value == 2e-5)

        facts.tensorParallelSize = 2
        facts.denseWeightBytesPerRank = 1e9
        facts.memoryBandwidth = 1e12
        let oracle = try StepTimeOracle(artifact: artifact).compile(for: facts)
        var state = StepState()
        state.waitingRequests = 1_000_000
        #expect(abs(oracle.stepSeconds(state) - (1 + 256 * 2e-5 * 1e-3)) < 1e-12)
        artifact.setQueueCost(0)
        #expect(artifact.queueCost == 0 && artifact.step.coefficients.count == 1)
    }
}
