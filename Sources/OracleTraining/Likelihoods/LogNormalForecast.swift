import LatencyOracle

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// A forecast whose logarithm is normal: back-transforms of a fit to log latency.
public struct LogNormalForecast: Sendable {
    /// Mean of the logarithm.
    public let logMean: Double
    /// Full predictive variance of the logarithm, coefficients' uncertainty included.
    public let logVariance: Double

    /// A forecast of a log-scale prediction.
    public init(logMean: Double, logVariance: Double) {
        self.logMean = logMean
        self.logVariance = logVariance
    }

    /// Median: exp(mu).
    public var median: Double { exp(logMean) }
    /// Mean: exp(mu + v / 2).
    public var mean: Double { exp(logMean + logVariance / 2) }
    /// Value not exceeded with probability `p`.
    public func quantile(_ p: Double) -> Double {
        exp(logMean + NormalDistribution.quantile(p) * logVariance.squareRoot())
    }

    /// Duan's smearing factor: mean of exp(residual) on the log scale (Duan, JASA 1983).
    public static func smearingFactor(logResiduals: [Double]) -> Double {
        logResiduals.reduce(0) { $0 + exp($1) } / Double(max(1, logResiduals.count))
    }
}
