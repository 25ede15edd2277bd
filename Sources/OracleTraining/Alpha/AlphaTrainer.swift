import LatencyOracle
import LinearAlgebra
import ServingCore
import StepTraces

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Fits the latencies outside engine steps from request journeys.
public struct AlphaTrainer: Sendable {
    /// Waits shorter than this count as none, seconds: the scheduler takes a request up in the next pass.
    public var zeroBelow = 1e-3
    /// Candidates of the queueing model.
    public var features = FeatureSet.physics

    /// The defaults.
    public init() {}

    /// What was fitted, and how well.
    public struct Outcome: Sendable {
        /// ARRIVED to QUEUED.
        public var arrival: AffineLatency?
        /// QUEUED to SCHEDULED.
        public var queue: QueueModel?
        /// FINISHED to DEPARTED.
        public var post: AffineLatency?
        /// Findings in words, one per latency.
        public var notes: [String]
    }

    /// Fits journeys; `facts` by row's group. Latencies that no journey states are left out.
    public func fit(_ rows: [AlphaRow], facts: [DeploymentFacts]) -> Outcome {
        var notes: [String] = []
        let arrival = affine(
            rows.filter { $0.arrivedToQueued > 0 && $0.arrivedToQueued.isFinite }.map {
                (Double($0.promptTokens), $0.arrivedToQueued)
            }, name: "arrival", &notes)
        let post = affine(
            rows.filter { $0.finishedToDeparted > 0 && $0.finishedToDeparted.isFinite }.map {
                (Double($0.outputTokens), $0.finishedToDeparted)
            }, name: "post", &notes)
        let queue = queueModel(rows, facts, &notes)
        return Outcome(arrival: arrival, queue: queue, post: post, notes: notes)
    }

    /// constant + slope x tokens, both at least 0, robust and relative; log-normal noise.
    private func affine(_ pairs: [(tokens: Double, seconds: Double)], name: String, _ notes: inout [String])
        -> AffineLatency?
    {
        guard pairs.count >= 20 else {
            notes.append("\(name): \(pairs.count) journeys state it, too few to fit")
            return nil
        }
        let rows = DesignRows(
            columns: 1, features: pairs.map(\.tokens), targets: pairs.map(\.seconds))
        let weights = [Double](repeating: 1, count: pairs.count)
        let fit = IterativeFit.fit(
            rows, weights: weights, likelihood: .studentT, degreesOfFreedom: 4, relative: true,
            solver: .nonnegative)
        let constant = fit?.estimate.intercept ?? median(sorted: rows.targets.sorted())
        let slope = fit?.estimate.coefficients.first ?? 0
        let logs = pairs.map { log($0.seconds / max(constant + slope * $0.tokens, 1e-9)) }
        let spread = logs.map { abs($0 - median(sorted: logs.sorted())) }.sorted()
        let scale = 1.4826 * median(sorted: spread)
        // The mean over the fitted median, the longest hundredth cut: outliers of a log-normal would run away with it.
        let ratios = logs.map { exp($0) }.sorted()
        let longest = quantile(sorted: ratios, 0.99)
        let lift = ratios.reduce(0) { $0 + min($1, longest) } / Double(ratios.count)
        notes.append(
            "\(name): \(pairs.count) journeys, \(NumberText.fixed(1000 * constant * lift, 3)) ms + "
                + "\(NumberText.fixed(1e6 * slope * lift, 3)) us per token, spread x\(NumberText.fixed(exp(scale), 2))"
        )
        return AffineLatency(
            constant: constant * lift, perToken: slope * lift,
            noise: NoiseModel(family: .logNormal, scale: scale, relative: true))
    }

    private func queueModel(_ rows: [AlphaRow], _ facts: [DeploymentFacts], _ notes: inout [String])
        -> QueueModel?
    {
        let usable = rows.filter {
            $0.queuedToScheduled.isFinite && $0.queuedToScheduled >= 0 && $0.queueSource != .unknown
        }
        guard usable.count >= 50 else {
            notes.append("queue: \(usable.count) journeys state wait and queue, too few to fit")
            return nil
        }
        let candidates = features.queue.dropFirst()
        func values(_ row: AlphaRow) -> [Double] { candidates.map { $0.value(row.queue, facts[row.group]) } }
        var design = DesignRows(columns: candidates.count, capacity: usable.count)
        var waits: [Bool] = []
        for row in usable {
            let wait = row.queuedToScheduled
            design.append(values(row), target: log(max(wait, 1e-6)))
            waits.append(wait >= zeroBelow)
        }
        let positive = design.selecting(waits.indices.filter { waits[$0] })
        let fit = ARDRegression.fit(GramBlock(positive))
        let share = Double(positive.count) / Double(usable.count)
        var logWait = [Coefficient(feature: "constant", value: fit?.intercept ?? log(zeroBelow))]
        var scale = 0.0
        if let fit, positive.count > fit.kept.count + 2 {
            for column in fit.kept {
                logWait.append(
                    Coefficient(
                        feature: candidates[candidates.startIndex + column].name,
                        value: fit.coefficients[column]))
            }
            scale = fit.noiseVariance.squareRoot()
        }
        let odds = LogisticRegression.fit(design, outcomes: waits)
        var chance = [Coefficient(feature: "constant", value: odds.intercept)]
        for (column, value) in odds.coefficients.enumerated() where value != 0 {
            chance.append(Coefficient(feature: candidates[candidates.startIndex + column].name, value: value))
        }
        notes.append(
            "queue: \(usable.count) journeys, \(NumberText.percent(share, 1)) % wait longer than "
                + "\(NumberText.fixed(1000 * zeroBelow, 1)) ms; \(chance.count - 1) features decide whether, "
                + "\(logWait.count - 1) how long")
        return QueueModel(
            featureSet: features.name, zeroBelow: zeroBelow, waits: chance, logWait: logWait, logScale: scale)
    }
}

/// Logistic regression with a ridge penalty on standardised columns, by Newton's method.
public enum LogisticRegression {
    /// Fits outcomes; constant columns get 0. With outcomes all alike the intercept is held to a chance of at most
    /// 1 - 1 / (2 n), or at least 1 / (2 n).
    public static func fit(_ rows: DesignRows, outcomes: [Bool], penalty: Double = 1) -> (
        intercept: Double, coefficients: [Double]
    ) {
        precondition(rows.count == outcomes.count)
        let n = rows.count
        let p = rows.columns
        let block = GramBlock(rows)
        let varying = (0..<p).filter { !block.isConstant($0) }
        let scales = varying.map { block.standardDeviation($0) }
        let share = Double(outcomes.count { $0 }) / Double(max(n, 1))
        let held = min(max(share, 0.5 / Double(max(n, 1))), 1 - 0.5 / Double(max(n, 1)))
        var intercept = log(held / (1 - held))
        var weights = [Double](repeating: 0, count: varying.count)
        guard share > 0, share < 1 else { return (intercept, [Double](repeating: 0, count: p)) }
        for _ in 0..<50 {
            let size = varying.count + 1
            var hessian = SquareMatrix(size: size)
            var gradient = [Double](repeating: 0, count: size)
            for i in varying.indices {
                hessian[i, i] = penalty
                gradient[i] = -penalty * weights[i]
            }
            hessian[size - 1, size - 1] = 1e-9
            for row in 0..<n {
                let values = rows.row(row)
                var z = varying.enumerated().map { index, column in
                    (values[values.startIndex + column] - block.means[column]) / scales[index]
                }
                z.append(1)
                let linear = intercept + dot(Array(z.dropLast()), weights)
                let chance = 1 / (1 + exp(-linear))
                let error = (outcomes[row] ? 1 : 0) - chance
                let curvature = max(chance * (1 - chance), 1e-12)
                for i in 0..<size {
                    gradient[i] += error * z[i]
                    for j in 0...i { hessian[i, j] += curvature * z[i] * z[j] }
                }
            }
            for i in 0..<size { for j in 0..<i { hessian[j, i] = hessian[i, j] } }
            guard let step = CholeskyFactorization(hessian)?.solve(gradient) else { break }
            for i in varying.indices { weights[i] += step[i] }
            intercept += step[size - 1]
            if step.allSatisfy({ abs($0) < 1e-9 }) { break }
        }
        var coefficients = [Double](repeating: 0, count: p)
        for (index, column) in varying.enumerated() {
            coefficients[column] = weights[index] / scales[index]
            intercept -= coefficients[column] * block.means[column]
        }
        return (intercept, coefficients)
    }
}
