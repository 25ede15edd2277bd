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
        if CommandLine.arguments.contains("--drift") { return try drift() }
        if CommandLine.arguments.contains("--crossing") { return try crossing() }
        for n in [50_000, 500_000] {
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

    /// Relative residuals of 6 %, Student-t with 4 degrees of freedom, lag-one correlation 0.3.
    struct Residuals {
        var stream: RandomStream
        var last = 0.0
        mutating func normal() -> Double {
            (-2 * log(stream.positiveUniform())).squareRoot() * cos(2 * .pi * stream.uniform())
        }
        mutating func next() -> Double {
            let top = normal()
            var squares = 0.0
            for _ in 0..<4 {
                let z = normal()
                squares += z * z
            }
            last = 0.3 * last + 0.91.squareRoot() * top / (squares / 4).squareRoot() / 2.0.squareRoot()
            return 0.06 * last
        }
    }

    /// A rise of 5 % at row 20,000 in 100 streams, and false alarms of 100 quiet streams of 200,000 rows.
    static func drift() throws {
        var inTime = 0
        var early = 0
        var falseAlarms = 0
        var delays: [Int] = []
        for seed in 0..<100 {
            var r = Residuals(stream: RandomStream(seed: UInt64(seed), purpose: "rise"))
            var monitor = try DriftMonitor(reference: (0..<2000).map { _ in r.next() })
            for row in 2000..<22_000 { monitor.add(row < 20_000 ? r.next() : (1 + r.next()) * 1.05 - 1) }
            if let first = monitor.firstAlarm {
                if first < 20_000 { early += 1 } else { inTime += 1 }
                delays.append(first - 20_000)
            }
            r = Residuals(stream: RandomStream(seed: UInt64(seed), purpose: "quiet"))
            monitor = try DriftMonitor(reference: (0..<2000).map { _ in r.next() })
            for _ in 2000..<200_000 { monitor.add(r.next()) }
            if monitor.firstAlarm != nil { falseAlarms += 1 }
        }
        delays.sort()
        print(
            "flagged within 2,000 rows: \(inTime) of 100 (\(early) too early), median delay \(delays.isEmpty ? -1 : delays[delays.count / 2]) rows; false alarms in 200,000 quiet rows: \(falseAlarms) of 100"
        )
    }

    /// Quantiles in order at random points inside and outside the training box.
    static func crossing() throws {
        let columns = 22
        let (x, y) = steps(rows: 50_000, columns: columns)
        let design = try x.withUnsafeBufferPointer { try QuantileDesign($0, count: 50_000, columns: columns) }
        let start = cpuSeconds()
        let joint = try NonCrossing.fit(QuantileRegression(design: design, y: y), taus: [0.1, 0.5, 0.9])
        let seconds = cpuSeconds() - start
        var low = Array(x[..<columns])
        var high = low
        for i in 0..<50_000 {
            for j in 0..<columns {
                low[j] = min(low[j], x[i * columns + j])
                high[j] = max(high[j], x[i * columns + j])
            }
        }
        var stream = RandomStream(seed: 1, purpose: "points")
        var inside = 0
        var outside = 0
        var unsorted = 0
        for _ in 0..<500_000 {
            let a = (0..<columns).map { low[$0] + (high[$0] - low[$0]) * stream.uniform() }
            let v = joint.fits.map { $0(a) }
            if v[0] > v[1] || v[1] > v[2] { inside += 1 }
            let b = (0..<columns).map { low[$0] + (high[$0] - low[$0]) * (8 * stream.uniform() - 3.5) }
            let w = joint.fits.map { $0(b) }
            if w[0] > w[1] || w[1] > w[2] { unsorted += 1 }
            let sorted = w.sorted()
            if sorted[0] > sorted[1] || sorted[1] > sorted[2] { outside += 1 }
        }
        print(
            "joint fit \(seconds) s, certified \(joint.certified), constraints \(joint.constraints); crossings of 500,000 points inside before sorting: \(inside); outside: \(unsorted) before sorting, \(outside) after"
        )
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
