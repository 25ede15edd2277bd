import LatencyOracle

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Continuous ranked probability scores in closed form, in the unit of the observation; lower is better.
public enum RankedProbabilityScore {
    /// Of a normal forecast (Gneiting & Raftery, 2007).
    public static func gaussian(observed y: Double, mean: Double, deviation s: Double) -> Double {
        guard s > 0 else { return abs(y - mean) }
        let z = (y - mean) / s
        return s
            * (z * (2 * NormalDistribution.cumulative(z) - 1) + 2 * NormalDistribution.density(z)
                - 1 / Double.pi.squareRoot())
    }

    /// Of a Student-t forecast with more than one degree of freedom (Jordan, Krueger & Lerch, 2019).
    public static func studentT(
        observed y: Double, location: Double, scale s: Double, distribution: StudentTDistribution
    ) -> Double {
        let nu = distribution.degreesOfFreedom
        guard s > 0 else { return abs(y - location) }
        guard nu > 1 else { return .infinity }
        let z = (y - location) / s
        let betas = exp(logBeta(0.5, nu - 0.5) - 2 * logBeta(0.5, nu / 2))
        return s
            * (z * (2 * distribution.cumulative(z) - 1) + 2 * distribution.density(z) * (nu + z * z)
                / (nu - 1)
                - 2 * nu.squareRoot() / (nu - 1) * betas)
    }

    /// Of a log-normal forecast; `mean` and `deviation` are those of the logarithm (Baran & Lerch, 2015).
    public static func logNormal(observed y: Double, mean: Double, deviation s: Double) -> Double {
        guard s > 0 else { return abs(y - exp(mean)) }
        // A value of 0 or less lies below the whole distribution.
        let omega = y > 0 ? (log(y) - mean) / s : -.infinity
        let below = y > 0 ? NormalDistribution.cumulative(omega) : 0
        let tail = y > 0 ? NormalDistribution.cumulative(omega - s) : 0
        return y * (2 * below - 1)
            - 2 * exp(mean + s * s / 2) * (tail + NormalDistribution.cumulative(s / 2.0.squareRoot()) - 1)
    }

    /// Twice the mean pinball loss of a few quantiles: a stand-in where no distribution is given.
    public static func fromQuantiles(observed y: Double, _ quantiles: [(tau: Double, value: Double)])
        -> Double
    {
        guard !quantiles.isEmpty else { return .nan }
        let losses = quantiles.map { max($0.tau * (y - $0.value), ($0.tau - 1) * (y - $0.value)) }
        return 2 * losses.reduce(0, +) / Double(losses.count)
    }

    private static func logBeta(_ a: Double, _ b: Double) -> Double { lgamma(a) + lgamma(b) - lgamma(a + b) }
}
