#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Student's t distribution with location 0 and scale 1.
public struct StudentTDistribution: Sendable {
    /// Degrees of freedom, above 0.
    public let degreesOfFreedom: Double
    private let logNormaliser: Double

    /// - Precondition: `degreesOfFreedom` is above 0 and finite.
    public init(degreesOfFreedom nu: Double) {
        precondition(nu > 0 && nu.isFinite)
        degreesOfFreedom = nu
        logNormaliser = lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * log(nu * Double.pi)
    }

    /// Density at `t`.
    public func density(_ t: Double) -> Double { exp(logDensity(t)) }

    /// Logarithm of the density at `t`.
    public func logDensity(_ t: Double) -> Double {
        logNormaliser - (degreesOfFreedom + 1) / 2 * log1p(t * t / degreesOfFreedom)
    }

    /// Probability of a value of at most `t`.
    public func cumulative(_ t: Double) -> Double {
        guard t.isFinite else { return t.isNaN ? .nan : t > 0 ? 1 : 0 }
        let nu = degreesOfFreedom
        let tail = 0.5 * regularizedIncompleteBeta(nu / 2, 0.5, nu / (nu + t * t))
        return t > 0 ? 1 - tail : tail
    }

    /// The value that is not exceeded with probability `p`; infinite at 0 and 1, NaN outside.
    ///
    /// Newton's method inside a bracket, on the lower half by symmetry.
    public func quantile(_ p: Double) -> Double {
        guard p > 0, p < 1 else { return p == 0 ? -.infinity : p == 1 ? .infinity : .nan }
        if p == 0.5 { return 0 }
        if degreesOfFreedom == 4 { return Self.quantileOfFour(p) }
        let lower = min(p, 1 - p)
        var low = -1.0
        while cumulative(low) > lower {
            low *= 2
            if low < -1e300 { return p < 0.5 ? low : -low }
        }
        var high = 0.0
        var t = max(low, NormalDistribution.quantile(lower))
        for _ in 0..<200 {
            let excess = cumulative(t) - lower
            if excess > 0 { high = t } else { low = t }
            var next = t - excess / density(t)
            if !(next > low && next < high) { next = 0.5 * (low + high) }
            if abs(next - t) <= 1e-15 * abs(t) { break }
            t = next
        }
        return p < 0.5 ? t : -t
    }

    /// Quantiles of many probabilities below one half, in rising order: each begins where the Taylor series around the one
    /// before leads, and takes one step of Halley's method as a rule.
    func quantiles(ofRising probabilities: [Double]) -> [Double] {
        let nu = degreesOfFreedom
        var result: [Double] = []
        result.reserveCapacity(probabilities.count)
        var last: Double?
        for p in probabilities {
            // In the far tail, and where there is a closed form, nothing is gained.
            guard let before = last, nu != 4, p < 0.5, p < 1.1 * before else {
                result.append(quantile(p))
                last = p
                continue
            }
            last = p
            let start = result[result.count - 1]
            // t' = 1 / f and t'' = -f' / f^3 for the density f, with f' / f = -(nu + 1) t / (nu + t^2).
            let density = density(start)
            let slope = -(nu + 1) * start / (nu + start * start)
            let step = (p - before) / density
            var t = start + step - 0.5 * slope * step * step
            var isFound = false
            for _ in 0..<8 where !isFound {
                let newton = (cumulative(t) - p) / self.density(t)
                let slope = -(nu + 1) * t / (nu + t * t)
                let change = newton / (1 - 0.5 * newton * slope)
                t -= change
                isFound = abs(change) <= 1e-6 * max(abs(t), 1e-3)
            }
            result.append(isFound ? t : quantile(p))
        }
        return result
    }

    /// Closed form for four degrees of freedom (Shaw, 2006).
    private static func quantileOfFour(_ p: Double) -> Double {
        let root = 2 * (p * (1 - p)).squareRoot()
        let q = cos(acos(root) / 3) / root
        let t = 2 * max(0, q - 1).squareRoot()
        return p < 0.5 ? -t : t
    }

    /// Variance, infinite for two degrees of freedom or fewer.
    public var variance: Double {
        degreesOfFreedom > 2 ? degreesOfFreedom / (degreesOfFreedom - 2) : .infinity
    }
}

/// I_x(a, b) by Lentz's continued fraction (Numerical Recipes, 6.4).
func regularizedIncompleteBeta(_ a: Double, _ b: Double, _ x: Double) -> Double {
    if x <= 0 { return 0 }
    if x >= 1 { return 1 }
    let front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x > (a + 1) / (a + b + 2) { return 1 - front * betaFraction(b, a, 1 - x) / b }
    return front * betaFraction(a, b, x) / a
}

private func betaFraction(_ a: Double, _ b: Double, _ x: Double) -> Double {
    let tiny = 1e-300
    var c = 1.0
    var d = 1 - (a + b) * x / (a + 1)
    if abs(d) < tiny { d = tiny }
    d = 1 / d
    var fraction = d
    for m in 1...500 {
        let m = Double(m)
        let even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        let odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for numerator in [even, odd] {
            d = 1 + numerator * d
            if abs(d) < tiny { d = tiny }
            c = 1 + numerator / c
            if abs(c) < tiny { c = tiny }
            d = 1 / d
            fraction *= d * c
        }
        if abs(d * c - 1) < 1e-16 { break }
    }
    return fraction
}
