import LatencyOracle
import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// What a target's rows say about an oracle that was trained on others.
public struct TransferEvidence: Sendable, Equatable, Codable {
    /// Rows of the target.
    public var rows: Int
    /// Share of rows more than two standard deviations off.
    public var outlierRate: Double
    /// Share of rows inside P10-P90, with its 99 % interval by block bootstrap.
    public var coverage: Double
    /// Lower and upper end of that interval.
    public var coverageInterval: [Double]
    /// Mean error in units of the oracle's noise, errors beyond 1.5 cut, with its 99 % interval by block bootstrap.
    public var bias: Double
    /// Lower and upper end of that interval.
    public var biasInterval: [Double]
    /// CRPS relative to the measurement.
    public var relativeCRPS: Double
    /// What the noise model itself promises for it.
    public var expectedCRPS: Double
    /// Median absolute percentage error, fraction.
    public var medianAPE: Double
    /// Mean absolute percentage error, fraction.
    public var mape: Double

    enum CodingKeys: String, CodingKey {
        case rows, coverage, bias, mape
        case outlierRate = "outlier_rate"
        case coverageInterval = "coverage_interval"
        case biasInterval = "bias_interval"
        case relativeCRPS = "relative_crps"
        case expectedCRPS = "expected_crps"
        case medianAPE = "median_ape"
    }

    /// Bias below this many units of noise does no harm, however significant.
    static let harmlessBias = 1.0 / 3
    /// Coverage of P10-P90 within these limits does no harm, however significant the distance from 80 %.
    static let harmlessCoverage = 0.70...0.88
    /// The same for CRPS against what the noise model promises.
    static let harmlessCRPSRatio = 1.25

    /// Compares an oracle compiled for the target with rows of it, in order of time.
    /// - Precondition: as many states as seconds, at least one.
    public init(_ oracle: CompiledOracle, states: [StepState], seconds: [Double]) {
        precondition(states.count == seconds.count && !states.isEmpty)
        var scores: [Double] = []
        var covered: [Double] = []
        var outliers = 0
        var crps = 0.0
        var expected = 0.0
        var errors: [Double] = []
        for (state, measured) in zip(states, seconds) {
            let forecast = oracle.forecast(state)
            let predicted = forecast.mean
            let low = forecast.quantile(0.1)
            let high = forecast.quantile(0.9)
            // Half the width of P10-P90 over a normal's: the same unit for every kind of noise.
            let unit = max((high - low) / (2 * 1.2815515655446004), 1e-12)
            let median = forecast.quantile(0.5)
            // Cut at 1.5 (Huber): the centre of the distribution is tested, not the few slow steps in its tail.
            scores.append(min(max((measured - median) / unit, -1.5), 1.5))
            covered.append(low <= measured && measured <= high ? 1 : 0)
            if abs(measured - predicted) > 2 * forecast.standardDeviation { outliers += 1 }
            crps += forecast.rankedProbabilityScore(measured: measured) / max(measured, predicted)
            // A normal's expected CRPS is its standard deviation / sqrt(pi).
            expected += unit / Double.pi.squareRoot() / max(predicted, 1e-12)
            errors.append(abs(predicted - measured) / measured)
        }
        let n = Double(states.count)
        rows = states.count
        outlierRate = Double(outliers) / n
        coverage = covered.reduce(0, +) / n
        bias = scores.reduce(0, +) / n
        let coverageRange = Self.blockBootstrap(covered)
        coverageInterval = [coverageRange.lowerBound, coverageRange.upperBound]
        let biasRange = Self.blockBootstrap(scores)
        biasInterval = [biasRange.lowerBound, biasRange.upperBound]
        relativeCRPS = crps / n
        expectedCRPS = expected / n
        mape = errors.reduce(0, +) / n
        medianAPE = OracleTraining.median(sorted: errors.sorted())
    }

    /// 99 % interval of a mean of dependent values: 400 resamples of moving blocks of 50 values, or n^(1/2) if more.
    /// A machine's speed wanders over tens of steps.
    static func blockBootstrap(_ values: [Double]) -> ClosedRange<Double> {
        let n = values.count
        let length = max(1, min(max(Int(Double(n).squareRoot()), 50), n / 2))
        let starts = n - length + 1
        let blocks = (n + length - 1) / length
        var sums = [0.0]
        for value in values { sums.append(sums[sums.count - 1] + value) }
        var stream = RandomStream(seed: 1, purpose: "transfer bootstrap")
        var means: [Double] = []
        for _ in 0..<400 {
            var sum = 0.0
            for _ in 0..<blocks {
                let start = min(Int(stream.uniform() * Double(starts)), starts - 1)
                sum += sums[start + length] - sums[start]
            }
            means.append(sum / Double(blocks * length))
        }
        means.sort()
        return means[2]...means[397]
    }

    /// What speaks against the oracle: effects that are both significant and large enough to matter.
    public var objections: [String] {
        var found: [String] = []
        if abs(bias) > Self.harmlessBias, biasInterval[0] > 0 || biasInterval[1] < 0 {
            found.append(
                "measurements lie \(NumberText.fixed(abs(bias), 2)) noise units \(bias > 0 ? "above" : "below") predictions"
            )
        }
        if !Self.harmlessCoverage.contains(coverage), coverageInterval[0] > 0.8 || coverageInterval[1] < 0.8 {
            found.append("P10-P90 covers \(NumberText.percent(coverage, 0)) % of the measurements")
        }
        // On few rows a handful of slow steps makes a bad score; coverage and bias still speak then.
        if rows >= 50, relativeCRPS > Self.harmlessCRPSRatio * expectedCRPS,
            !Self.harmlessCoverage.contains(coverage) || abs(bias) > Self.harmlessBias
        {
            found.append(
                "CRPS is \(NumberText.percent(relativeCRPS, 1)) % where \(NumberText.percent(expectedCRPS, 1)) % was promised"
            )
        }
        return found
    }
}

/// How a transfer is judged.
public enum TransferRule: String, Sendable, CaseIterable {
    /// Two-sided coverage, a bias test with block bootstrap, and CRPS against what the oracle promises.
    case coverage
    /// The rule of BSR-ARD as written: more than 10 % of rows beyond two standard deviations.
    case zscore

    /// What speaks against the oracle under this rule.
    public func objections(_ evidence: TransferEvidence) -> [String] {
        switch self {
        case .coverage: return evidence.objections
        case .zscore:
            guard evidence.outlierRate > 0.1 else { return [] }
            return [
                "\(NumberText.percent(evidence.outlierRate, 1)) % of rows are beyond two standard deviations"
            ]
        }
    }
}
