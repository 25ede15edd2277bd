import LatencyOracle
import LinearAlgebra
import ServingCore
import Simulation
import Testing

@testable import Validation

@Suite struct StepIntegralsTests {
    private let features = StepFeatureEvaluator(
        features: FeatureSet.physics.step.filter { ["constant", "running_requests"].contains($0.name) },
        facts: DeploymentFacts())

    private func step(_ start: Ticks, _ end: Ticks, running: Int, engine: Int = 0) -> StepRecord {
        var step = StepRecord()
        step.engine = engine
        step.start = start
        step.end = end
        step.state.runningRequests = running
        return step
    }

    private func between(_ steps: [StepRecord], _ from: Ticks, _ to: Ticks, engine: Int = 0) -> (
        [Double], idle: Double
    ) {
        let sums = StepIntegrals(
            steps, moments: [.init(time: to, engine: engine), .init(time: from, engine: engine)],
            features: features)
        var row = [0.0, 0.0]
        row.withUnsafeMutableBufferPointer { sums.between(1, 0, into: $0) }
        return (row, sums.idle[0] - sums.idle[1])
    }

    @Test func `steps count whole where the span holds them and in part at its ends`() {
        let steps = [step(0, 10, running: 1), step(10, 30, running: 2), step(50, 60, running: 4)]
        let (sums, idle) = between(steps, 5, 55)
        #expect(abs(sums[0] - (0.5 + 1 + 0.5)) < 1e-12)
        #expect(abs(sums[1] - (0.5 * 1 + 2 + 0.5 * 4)) < 1e-12)
        #expect(abs(idle - 20e-9) < 1e-15)
    }

    @Test func `spans in pauses and beyond the last step hold no steps`() {
        let steps = [step(0, 10, running: 1), step(50, 60, running: 4)]
        #expect(between(steps, 20, 40).0 == [0, 0])
        #expect(abs(between(steps, 20, 40).idle - 20e-9) < 1e-15)
        #expect(between(steps, 70, 90).0 == [0, 0])
        #expect(between(steps, 70, 90).idle > 19e-9)
    }

    @Test func `a delivery belongs to the end of the step before it`() {
        let steps = [step(0, 10, running: 1), step(10, 30, running: 2)]
        for (time, expected) in [(12, 10), (29, 10), (30, 30), (41, 30)] as [(Ticks, Ticks)] {
            let sums = StepIntegrals(
                steps, moments: [.init(time: time, engine: 0, isDelivery: true)], features: features)
            #expect(sums.times == [expected] && sums.idle[0] == 0)
            #expect(sums.sums[0] == (expected == 10 ? 1 : 2))
        }
    }

    @Test func `engines do not mix`() {
        let steps = [step(0, 10, running: 1), step(0, 10, running: 100, engine: 1), step(10, 20, running: 1)]
        #expect(between(steps, 0, 20).0 == [2, 2])
        #expect(between(steps, 0, 20, engine: 1).0 == [1, 100])
    }
}

@Suite struct PriorRegressionTests {
    private func fit(_ rows: [([Double], Double)], prior: PriorRegression, weight: Double = 1)
        -> PriorRegression.Fit?
    {
        let size = prior.means.count
        var gram = SquareMatrix(size: size)
        var projection = [Double](repeating: 0, count: size)
        for (x, y) in rows {
            for i in 0..<size {
                projection[i] += weight * x[i] * y
                for j in 0..<size { gram[i, j] += weight * x[i] * x[j] }
            }
        }
        return prior.fit(gram: gram, projection: projection)
    }

    @Test func `without rows the prior stays`() throws {
        let prior = PriorRegression(means: [1, 2], covariance: SquareMatrix(diagonal: [0.1, 0.2]))
        let found = try #require(fit([], prior: prior))
        #expect(zip(found.coefficients, [1, 2]).allSatisfy { abs($0 - $1) < 1e-12 })
        #expect(abs(found.covariance[1, 1] - 0.2) < 1e-12)
    }

    @Test func `many rows outweigh the prior, and what they say nothing of follows it`() throws {
        var covariance = SquareMatrix(diagonal: [1, 1])
        covariance[0, 1] = 0.9
        covariance[1, 0] = 0.9
        let prior = PriorRegression(means: [1, 1], covariance: covariance)
        let found = try #require(fit([([1, 0], 3)], prior: prior, weight: 1e9))
        #expect(abs(found.coefficients[0] - 3) < 1e-6)
        // A correlated coefficient moves along: 1 + 0.9 x (3 - 1).
        #expect(abs(found.coefficients[1] - 2.8) < 1e-6)
    }

    @Test func `coefficients stay at 0 or above unless they are free`() throws {
        var prior = PriorRegression(means: [1, 1], covariance: SquareMatrix(diagonal: [1, 1]))
        let rows = [([1.0, 0.0], -5.0), ([0.0, 1.0], 2.0)]
        let held = try #require(fit(rows, prior: prior, weight: 1e6))
        #expect(held.coefficients[0] == 0 && abs(held.coefficients[1] - 2) < 1e-3)
        prior.free = [0]
        let free = try #require(fit(rows, prior: prior, weight: 1e6))
        #expect(free.coefficients[0] < -4.9)
    }
}
