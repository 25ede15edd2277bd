#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Two-sided critical value of Student's t: `P(|T| > value) = probability`.
///
/// Hill, Algorithm 396, CACM 13 (1970); about six digits from one degree of freedom upwards.
package func studentTCritical(probability: Double, degreesOfFreedom n: Double) -> Double {
    if n < 1.5 {
        let angle = probability * .pi / 2
        return cos(angle) / sin(angle)
    }
    if n < 2.5 { return (2 / (probability * (2 - probability)) - 2).squareRoot() }
    let a = 1 / (n - 0.5)
    let b = 48 / (a * a)
    var c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    let d = ((94.5 / (b + c) - 3) / b + 1) * (a * .pi / 2).squareRoot() * n
    var y = pow(d * probability, 2 / n)
    if y > 0.05 + a {
        let x = normalQuantile(0.5 * probability)
        y = x * x
        if n < 5 { c += 0.3 * (n - 4.5) * (x + 0.6) }
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = expm1(a * y * y)
    } else {
        let first: Double = ((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3
        y = ((1 / first + 0.5 / (n + 4)) * y - 1) * (n + 1) / (n + 2) + 1 / y
    }
    return (n * y).squareRoot()
}

/// Quantile of the standard normal distribution (Wichura, AS 241, PPND7: seven digits).
func normalQuantile(_ p: Double) -> Double {
    let q = p - 0.5
    if abs(q) <= 0.425 {
        let r = 0.180625 - q * q
        return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179)
            / (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1)
    }
    var r = (-log(min(p, 1 - p))).squareRoot()
    let value: Double
    if r <= 5 {
        r -= 1.6
        value =
            (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777)
            / ((0.12021132975 * r + 0.73700164250) * r + 1)
    } else {
        r -= 5
        value =
            (((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150)
            / ((0.012258202635 * r + 0.24197894225) * r + 1)
    }
    return q < 0 ? -value : value
}
