import OracleTraining
import ServingCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// CPU seconds of quantile regression on synthetic steps: heteroscedastic, heavy-tailed noise on 22 features.
@main
enum QuantileBenchmark {
    static func main() throws {
        for n in [50_000] {
            let (x, y) = steps(rows: n, columns: 22)
            for _ in 0..<1 {
                let start = cpuSeconds()
                let design = try x.withUnsafeBufferPointer {
                    try QuantileDesign($0, count: n, columns: 22)
                }
                let regression = try QuantileRegression(design: design, y: y)
                let prepared = cpuSeconds()
                let median = regression.fit(tau: 0.5)
                let first = cpuSeconds()
                let low = regression.fit(tau: 0.1)
                let high = regression.fit(tau: 0.9)
                let end = cpuSeconds()
                print(
                    "\(n) x 22: prepare \(ms(start, prepared)) ms, tau .5 \(ms(prepared, first)) ms (total \(ms(start, first))), three quantiles \(ms(start, end)) ms; certified \(median.certified) \(low.certified) \(high.certified); pivots \(median.pivots) \(low.pivots) \(high.pivots); gap \((median.objective - median.dualObjective) / median.objective)"
                )
            }
        }
    }

    static func ms(_ a: Double, _ b: Double) -> Double { ((b - a) * 10_000).rounded() / 10 }

    static func cpuSeconds() -> Double {
        var t = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t)
        return Double(t.tv_sec) + Double(t.tv_nsec) * 1e-9
    }

    static func steps(rows: Int, columns: Int) -> ([Double], [Double]) {
        var stream = RandomStream(seed: 7, purpose: "benchmark")
        func normal() -> Double {
            (-2 * log(stream.positiveUniform())).squareRoot() * cos(2 * .pi * stream.uniform())
        }
        var x: [Double] = []
        var y: [Double] = []
        x.reserveCapacity(rows * columns)
        for _ in 0..<rows {
            let base = normal()
            var mean = 10.0
            var spread = 1.0
            for j in 0..<columns {
                let value = (0.4 * base + normal()) * Double(1 + j % 5) + (j % 3 == 0 ? abs(normal()) : 0)
                x.append(value)
                mean += value * Double(j % 7) * 0.3
                if j % 6 == 0 { spread += 0.3 * abs(value) }
            }
            let chi = (0..<3).map { _ in normal() }.map { $0 * $0 }.reduce(0, +) / 3
            y.append(mean + spread * normal() / chi.squareRoot())
        }
        return (x, y)
    }
}
