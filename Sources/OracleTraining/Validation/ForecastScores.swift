import ServingCore

/// How well predictions met measurements.
public struct ForecastScores: Sendable, Equatable, Codable {
    /// Rows.
    public var rows: Int
    /// Mean absolute percentage error, as a fraction.
    public var mape: Double
    /// Median absolute percentage error, as a fraction.
    public var medianAPE: Double
    /// Root mean squared error, seconds.
    public var rmse: Double
    /// Mean of prediction - measurement over mean measurement.
    public var bias: Double
    /// Share of the measurements' variance that predictions explain.
    public var rSquared: Double
    /// Mean continuous ranked probability score, seconds.
    public var crps: Double
    /// The same, each row relative to its measurement or prediction, whichever is longer.
    public var relativeCRPS: Double
    /// Share of measurements inside the P10-P90 interval; 0.8 is right.
    public var coverage: Double
    /// Mean width of that interval relative to the prediction.
    public var width: Double
    /// Winkler score of that interval relative to the measurement: width + 2 / 0.2 x the miss.
    public var winkler: Double
    /// 90 % interval of the coverage by block bootstrap.
    public var coverageInterval: ClosedRange<Double>

    enum CodingKeys: String, CodingKey {
        case rows, mape, rmse, bias, crps, coverage, width, winkler
        case medianAPE = "median_ape"
        case rSquared = "r_squared"
        case relativeCRPS = "relative_crps"
        case coverageInterval = "coverage_interval"
    }
}

/// One prediction beside its measurement.
public struct ScoredStep: Sendable, Equatable {
    /// Row in the data set.
    public var row: Int
    /// Seconds measured.
    public var measured: Double
    /// Seconds predicted (mean).
    public var predicted: Double
    /// P10.
    public var low: Double
    /// P90.
    public var high: Double
    /// Continuous ranked probability score, seconds.
    public var crps: Double

    var absolutePercentageError: Double { abs(predicted - measured) / measured }
    var isCovered: Bool { low <= measured && measured <= high }
}

extension ForecastScores {
    /// Scores of some steps, in order of time within each run; `blocks` says which run each belongs to.
    /// - Precondition: at least one step.
    public init(_ steps: [ScoredStep], runs: [Int]) {
        precondition(!steps.isEmpty && steps.count == runs.count)
        let n = Double(steps.count)
        rows = steps.count
        let errors = steps.map(\.absolutePercentageError).sorted()
        mape = errors.reduce(0, +) / n
        medianAPE = median(sorted: errors)
        let mean = steps.reduce(0) { $0 + $1.measured } / n
        let squares = steps.reduce(0) { $0 + ($1.predicted - $1.measured) * ($1.predicted - $1.measured) }
        let total = steps.reduce(0) { $0 + ($1.measured - mean) * ($1.measured - mean) }
        rmse = (squares / n).squareRoot()
        bias = steps.reduce(0) { $0 + $1.predicted - $1.measured } / n / mean
        rSquared = total > 0 ? 1 - squares / total : 0
        crps = steps.reduce(0) { $0 + $1.crps } / n
        relativeCRPS = steps.reduce(0) { $0 + $1.crps / max($1.measured, $1.predicted) } / n
        coverage = Double(steps.count(where: { $0.isCovered })) / n
        width = steps.reduce(0) { $0 + ($1.high - $1.low) / max($1.predicted, 1e-12) } / n
        winkler =
            steps.reduce(0) { sum, step in
                let miss = max(0, step.low - step.measured) + max(0, step.measured - step.high)
                return sum + (step.high - step.low + 10 * miss) / step.measured
            } / n
        coverageInterval = Self.bootstrapCoverage(steps, runs: runs)
    }

    /// Resamples blocks of 50 consecutive steps of a run 400 times: steps follow one another, so that single rows
    /// would promise too much.
    private static func bootstrapCoverage(_ steps: [ScoredStep], runs: [Int]) -> ClosedRange<Double> {
        var blocks: [(covered: Int, count: Int)] = []
        for (i, step) in steps.enumerated() {
            let startsRun = i == 0 || runs[i] != runs[i - 1]
            if startsRun || blocks[blocks.count - 1].count == 50 { blocks.append((0, 0)) }
            blocks[blocks.count - 1].covered += step.isCovered ? 1 : 0
            blocks[blocks.count - 1].count += 1
        }
        var stream = RandomStream(seed: 1, purpose: "coverage bootstrap")
        var draws: [Double] = []
        for _ in 0..<400 {
            var covered = 0
            var count = 0
            for _ in blocks.indices {
                let block = blocks[min(Int(stream.uniform() * Double(blocks.count)), blocks.count - 1)]
                covered += block.covered
                count += block.count
            }
            draws.append(Double(covered) / Double(count))
        }
        draws.sort()
        return draws[20]...draws[379]
    }
}

/// Median of sorted values; 0 for none.
func median(sorted values: [Double]) -> Double {
    guard !values.isEmpty else { return 0 }
    let middle = values.count / 2
    return values.count % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle])
}

/// The value below which a fraction of sorted values lies; 0 for none.
func quantile(sorted values: [Double], _ p: Double) -> Double {
    guard !values.isEmpty else { return 0 }
    let position = p * Double(values.count - 1)
    let index = min(Int(position), values.count - 1)
    let next = min(index + 1, values.count - 1)
    return values[index] + (position - Double(index)) * (values[next] - values[index])
}
