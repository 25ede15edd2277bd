import ServingCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#else
    import Musl
#endif

/// Standard functions of probability that turn uniform random numbers into others. Every one is written so that
/// the same bits give the same number, and takes as few uniform numbers as the method allows.
enum ContinuousSampling {
    /// The standard normal quantile: the `z` below which a share `p` of the distribution lies, `p` in (0, 1).
    ///
    /// Relative error about 1e-16: algorithm AS 241, PPND16 (Wichura, Applied Statistics 37, 1988).
    static func normalQuantile(_ p: Double) -> Double {
        let q = p - 0.5
        if abs(q) <= 0.425 {
            let r = 0.180625 - q * q
            let numerator =
                (((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r
                    + 45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r
                    + 133.14166789178437745) * r + 3.387132872796366608)
            let denominator =
                (((((((5226.495278852545925 * r + 28729.085735721942674) * r + 39307.89580009271061) * r
                    + 21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r
                    + 42.313330701600911252) * r + 1)
            return q * numerator / denominator
        }
        let tail = q < 0 ? p : 1 - p
        guard tail > 0 else { return q < 0 ? -38 : 38 }
        var r = (-log(tail)).squareRoot()
        let value: Double
        if r <= 5 {
            r -= 1.6
            let numerator =
                (((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r
                    + 0.24178072517745061177) * r + 1.27045825245236838258) * r + 3.64784832476320460504) * r
                    + 5.7694972214606914055) * r + 4.6303378461565452959) * r + 1.42343711074968357734)
            let denominator =
                (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r
                    + 0.0151986665636164571966) * r + 0.14810397642748007459) * r + 0.68976733498510000455)
                    * r
                    + 1.6763848301838038494) * r + 2.05319162663775882187) * r + 1)
            value = numerator / denominator
        } else {
            r -= 5
            let numerator =
                (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r
                    + 0.0012426609473880784386) * r + 0.026532189526576123093) * r + 0.29656057182850489123)
                    * r
                    + 1.7848265399172913358) * r + 5.4637849111641143699) * r + 6.6579046435011037772)
            let denominator =
                (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r
                    + 1.8463183175100546818e-5) * r + 7.868691311456132591e-4) * r + 0.0148753612908506148525)
                    * r + 0.13692988092273580531) * r + 0.59983220655588793769) * r + 1)
            value = numerator / denominator
        }
        return q < 0 ? -value : value
    }

    /// A gamma variate with the given shape and mean 1, for any shape above 0.
    ///
    /// Marsaglia and Tsang, "A simple method for generating gamma variables" (ACM TOMS 26, 2000); shapes below 1
    /// by their boost `G(k) = G(k + 1) * U^(1/k)`.
    static func unitMeanGamma(shape: Double, _ stream: inout RandomStream) -> Double {
        let boosted = shape < 1 ? shape + 1 : shape
        let d = boosted - 1.0 / 3
        let c = 1 / (9 * d).squareRoot()
        while true {
            let x = normalQuantile(stream.positiveUniform() - 0x1p-54)
            let base = 1 + c * x
            guard base > 0 else { continue }
            let v = base * base * base
            let u = stream.positiveUniform()
            let square = x * x
            guard u < 1 - 0.0331 * square * square || log(u) < 0.5 * square + d * (1 - v + log(v)) else {
                continue
            }
            let sample = d * v
            if shape < 1 { return sample * pow(stream.positiveUniform(), 1 / shape) / shape }
            return sample / shape
        }
    }

    /// The factor that gives a Weibull variate of this shape a mean of 1: `1 / gamma(1 + 1/shape)`.
    static func weibullScale(shape: Double) -> Double { 1 / tgamma(1 + 1 / shape) }

    /// `-ln(u)` for `u` in (0, 1]: an exponential variate with mean 1.
    static func unitExponential(_ u: Double) -> Double { -log(u) }

    /// A Weibull variate with mean 1 from `u` in (0, 1]; `scale` as `weibullScale` gives it.
    static func unitMeanWeibull(_ u: Double, shape: Double, scale: Double) -> Double {
        scale * pow(-log(u), 1 / shape)
    }

    /// `e` to the power of `x`.
    static func exponential(_ x: Double) -> Double { exp(x) }

    /// The natural logarithm of `x`.
    static func logarithm(_ x: Double) -> Double { log(x) }

    /// `x` to the power of `y`.
    static func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }

    /// Sine and cosine of an angle in radians.
    static func sineAndCosine(_ x: Double) -> (sine: Double, cosine: Double) { (sin(x), cos(x)) }
}
