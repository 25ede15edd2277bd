import LatencyOracle
import LinearAlgebra
import ServingCore
import Simulation

/// Rows of a regression of measured request latencies on what happened meanwhile in the simulation: two a request,
/// one for the time to its first token and one for the time from there to its last.
struct RequestRows {
    /// Step features, then the time outside the engine.
    let columns: Int
    private(set) var features: [Double] = []
    /// Measured seconds, pauses of the engine taken off.
    private(set) var targets: [Double] = []
    /// Simulated seconds, pauses taken off: what an error is relative to.
    private(set) var simulated: [Double] = []
    /// 0 for first tokens and 1 for the rest of the first run, 2 and 3 for the second, and so on.
    private(set) var kind: [Int] = []
    private var runs = 1
    /// No run is modelled better than this, as a share, in its first tokens and in the rest: a longer run does not
    /// outweigh the others, nor the prior without end.
    private static let floors = [0.03, 0.01]

    /// No rows of `features` step features.
    init(features: Int) { columns = features + 1 }

    /// Adds the requests of a run that were measured and simulated to the end and that `use` says to use.
    /// - Parameters:
    ///   - measured: by index.
    ///   - simulated: any order.
    ///   - outside: time that a request spends before the queue and after a step, in the simulation.
    ///   - unit: the factor on the time outside the engine that the simulation already had.
    mutating func add(
        measured: [RequestRecord], simulated records: [RequestRecord], steps: [StepRecord], use: [Bool],
        features evaluator: StepFeatureEvaluator, unit: Double,
        outside: (RequestRecord) -> (arrival: Ticks, post: Ticks)
    ) {
        let both = records.filter { record in
            record.status == .completed && record.index < use.count && use[record.index]
                && measured[record.index].status == .completed
        }.sorted { $0.index < $1.index }
        var moments: [StepIntegrals.Moment] = []
        moments.reserveCapacity(3 * both.count)
        for record in both {
            let (arrival, post) = outside(record)
            moments.append(.init(time: record.sent + arrival, engine: record.engine))
            moments.append(.init(time: record.firstToken - post, engine: record.engine, isDelivery: true))
            moments.append(.init(time: record.finished - post, engine: record.engine, isDelivery: true))
        }
        let integrals = StepIntegrals(steps, moments: moments, features: evaluator)
        var row = [Double](repeating: 0, count: columns)
        for (place, record) in both.enumerated() {
            let truth = measured[record.index]
            let arrival = outside(record).arrival
            let first = 3 * place
            // What the way back took, requests ahead included, is what lies behind the step.
            let firstBack = record.firstToken - integrals.times[first + 1]
            let lastBack = record.finished - integrals.times[first + 2]
            func append(
                _ from: Int, _ to: Int, _ measured: Ticks, _ simulated: Ticks, _ outside: Ticks, _ kind: Int
            ) {
                let pause = integrals.idle[to] - integrals.idle[from]
                guard simulated.seconds - pause > 0, measured > 0 else { return }
                row.withUnsafeMutableBufferPointer {
                    integrals.between(from, to, into: .init(rebasing: $0[..<(columns - 1)]))
                }
                row[columns - 1] = outside.seconds / unit
                features.append(contentsOf: row)
                targets.append(measured.seconds - pause)
                self.simulated.append(simulated.seconds - pause)
                self.kind.append(kind)
            }
            append(
                first, first + 1, truth.timeToFirstToken, record.timeToFirstToken, arrival + firstBack, 0)
            guard record.outputTokens > 1, truth.outputTokens > 1 else { continue }
            append(
                first + 1, first + 2, truth.finished - truth.firstToken, record.finished - record.firstToken,
                lastBack - firstBack, 1)
        }
    }

    /// Adds the rows of another run.
    mutating func append(_ other: RequestRows) {
        features += other.features
        targets += other.targets
        simulated += other.simulated
        kind += other.kind.map { $0 + 2 * runs }
        runs += other.runs
    }

    /// Predictions of coefficients for all rows.
    func predictions(_ coefficients: [Double]) -> [Double] {
        var result = [Double](repeating: 0, count: targets.count)
        features.withUnsafeBufferPointer { features in
            result.withUnsafeMutableBufferPointer {
                rowProducts(features, rows: targets.count, columns: columns, coefficients, into: $0)
            }
        }
        return result
    }

    /// Weights of the rows for given coefficients: errors count relative to the prediction, those of each run and kind
    /// by their own spread; neighbours share steps, so that the weight of all is that of as many independent rows.
    /// Rows more than six spreads off are left out.
    func weights(_ coefficients: [Double]) -> [Double] {
        let predicted = predictions(coefficients)
        let errors = targets.indices.map {
            (targets[$0] - predicted[$0]) / max(predicted[$0], 0.25 * targets[$0])
        }
        var weights = [Double](repeating: 0, count: targets.count)
        var members = [[Int]](repeating: [], count: 2 * runs)
        for row in targets.indices { members[kind[row]].append(row) }
        for (one, rows) in members.enumerated() where rows.count >= 4 {
            let sorted = rows.map { errors[$0] }.sorted()
            let centre = sorted[sorted.count / 2]
            let deviations = rows.map { abs(errors[$0] - centre) }.sorted()
            let spread = max(1.4826 * deviations[deviations.count / 2], 1e-3)
            let kept = rows.filter { abs(errors[$0] - centre) <= 6 * spread }
            let ofMean = spread * spread * Self.inflation(kept.map { errors[$0] }) / Double(kept.count)
            let floor = Self.floors[one % 2]
            let ofOne = Double(kept.count) * max(ofMean, floor * floor)
            for row in kept {
                let unit = max(predicted[row], 0.25 * targets[row])
                weights[row] = 1 / (unit * unit * ofOne)
            }
        }
        return weights
    }

    /// How much larger the variance of a mean is than if its values were independent, from the means of some forty
    /// batches of neighbours; at least 1.
    static func inflation(_ values: [Double]) -> Double {
        let batch = values.count / 40
        guard batch >= 2 else { return 1 }
        let mean = values.reduce(0, +) / Double(values.count)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
        guard variance > 0 else { return 1 }
        let means = (0..<values.count / batch).map { index in
            values[index * batch..<(index + 1) * batch].reduce(0, +) / Double(batch)
        }
        let between = means.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(means.count - 1)
        return max(1, between * Double(batch) / variance)
    }

    /// Sums of weighted products of rows.
    func gram(_ weights: [Double]) -> (gram: SquareMatrix, projection: [Double]) {
        var gram = SquareMatrix(size: columns)
        var projection = [Double](repeating: 0, count: columns)
        var block: [Double] = []
        block.reserveCapacity(512 * columns)
        func flush() {
            block.withUnsafeBufferPointer {
                addGram($0, rows: block.count / columns, columns: columns, to: &gram)
            }
            block.removeAll(keepingCapacity: true)
        }
        for row in targets.indices where weights[row] > 0 {
            let root = weights[row].squareRoot()
            for column in 0..<columns {
                let value = features[row * columns + column]
                block.append(root * value)
                projection[column] += weights[row] * value * targets[row]
            }
            if block.count == 512 * columns { flush() }
        }
        flush()
        for i in 0..<columns { for j in 0..<i { gram[i, j] = gram[j, i] } }
        return (gram, projection)
    }
}
