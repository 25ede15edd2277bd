import LatencyOracle
import ServingCore

/// How P10, P50 and P90 of a method did on held-out steps.
public struct IntervalScore: Codable, Sendable, Equatable {
    /// Method.
    public var method: String
    /// Rows.
    public var rows: Int
    /// Mean pinball loss of the three quantiles, relative to the measurement.
    public var pinball: Double
    /// Median absolute relative error of P50.
    public var medianError: Double
    /// Share of measurements inside P10-P90, in the mean over runs; 0.8 is right.
    public var coverage: Double
    /// Its 95 % interval by block bootstrap within each run.
    public var coverageInterval: [Double]
    /// Mean width of P10-P90 relative to the measurement.
    public var width: Double
    /// Coverage of each run.
    public var runs: [Run]

    /// Coverage of one run.
    public struct Run: Codable, Sendable, Equatable {
        /// Configuration and number of the run.
        public var run: String
        /// Rows.
        public var rows: Int
        /// Share of measurements inside P10-P90.
        public var coverage: Double
        /// Its 95 % interval by block bootstrap.
        public var interval: [Double]
    }

    enum CodingKeys: String, CodingKey {
        case method, rows, pinball, coverage, width, runs
        case medianError = "median_error"
        case coverageInterval = "coverage_interval"
    }
}

/// Quantiles of steps beside their measurements, run by run in order of time.
package struct IntervalEvaluation: Sendable {
    /// One step.
    struct Step {
        var measured: Double
        var low: Double
        var middle: Double
        var high: Double

        var score: Double {
            max(low - measured, measured - high) / max(high - low, 1e-9 * abs(high), 1e-300)
        }
    }

    private let names: [String]
    private let runs: [[Step]]

    /// Quantiles that an oracle gives for the rows of the indices given.
    /// - Throws: `InvalidInput` when the oracle does not fit the data's deployments.
    package init(_ oracle: StepTimeOracle, _ data: StepDataSet, rows: [Int]) throws {
        var compiled: [CompiledOracle?] = data.groups.map { _ in nil }
        for g in data.groups.indices where rows.contains(where: { data.group[$0] == g }) {
            compiled[g] = try oracle.compile(for: data.groups[g].facts)
        }
        self.init(data, rows: rows) { row in
            guard let predictor = compiled[data.group[row]] else { return [] }
            let forecast = predictor.forecast(data.states[row])
            return [forecast.quantile(0.1), forecast.quantile(0.5), forecast.quantile(0.9)]
        }
    }

    /// The same from P10, P50 and P90 of each row, in any order.
    package init(_ data: StepDataSet, rows: [Int], quantiles: (Int) -> [Double]) {
        var place: [Int: Int] = [:]
        var names: [String] = []
        var runs: [[Step]] = []
        for row in rows {
            let values = quantiles(row).sorted()
            guard values.count == 3 else { continue }
            let key = data.run[row] * (data.groups.count + 1) + data.group[row]
            let run: Int
            if let known = place[key] {
                run = known
            } else {
                run = runs.count
                place[key] = run
                names.append("run \(data.run[row]): \(data.groups[data.group[row]].name)")
                runs.append([])
            }
            runs[run].append(
                Step(measured: data.seconds[row], low: values[0], middle: values[1], high: values[2]))
        }
        self.names = names
        self.runs = runs
    }

    /// Scores of the intervals as they are.
    package func score(_ method: String) -> IntervalScore { score(method, runs) }

    /// Scores of the same intervals moved along each run by adaptive conformal inference: what a live stream of measured steps
    /// makes of them (Gibbs & Candes 2021). A step's interval knows the steps before it.
    package func adaptiveScore(_ method: String) -> IntervalScore {
        let adapted = runs.map { steps -> [Step] in
            var conformal = AdaptiveConformal(target: 0.2, scores: [], capacity: 500)
            return steps.map { step in
                // The first few scores say nothing of their 80 % point.
                let offset = conformal.count < 30 ? 0 : conformal.offset
                let width = step.high - step.low
                var moved = step
                moved.low = max(0, step.low - offset * width)
                moved.high = step.high + offset * width
                if moved.low > moved.high {
                    moved.low = step.middle
                    moved.high = step.middle
                }
                conformal.observe(score: step.score)
                return moved
            }
        }
        return score(method, adapted)
    }

    private func score(_ method: String, _ runs: [[Step]]) -> IntervalScore {
        let steps = runs.flatMap { $0 }
        let n = Double(max(1, steps.count))
        var pinball = 0.0
        var width = 0.0
        for step in steps {
            let y = step.measured
            for (tau, q) in [(0.1, step.low), (0.5, step.middle), (0.9, step.high)] {
                pinball += max(tau * (y - q), (tau - 1) * (y - q)) / (3 * y)
            }
            width += (step.high - step.low) / y
        }
        var lines: [IntervalScore.Run] = []
        var (below, above) = (0.0, 0.0)
        for (name, own) in zip(names, runs) {
            let inside = own.map { $0.low <= $0.measured && $0.measured <= $0.high ? 1.0 : 0 }
            let mean = inside.reduce(0, +) / Double(max(1, inside.count))
            let interval = IntervalScores.blockBootstrap(inside)
            below += (mean - interval.low) * (mean - interval.low)
            above += (interval.high - mean) * (interval.high - mean)
            lines.append(
                .init(run: name, rows: own.count, coverage: mean, interval: [interval.low, interval.high]))
        }
        let count = Double(max(1, lines.count))
        let coverage = lines.reduce(0) { $0 + $1.coverage } / count
        return IntervalScore(
            method: method, rows: steps.count, pinball: pinball / n,
            medianError: EnsembleTrainer.median(steps.map { abs($0.middle / $0.measured - 1) }),
            coverage: coverage,
            // Runs are independent of one another: their half-widths add as squares.
            coverageInterval: [coverage - below.squareRoot() / count, coverage + above.squareRoot() / count],
            width: width / n, runs: lines)
    }
}
