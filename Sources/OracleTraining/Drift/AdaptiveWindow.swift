#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// ADWIN (Bifet & Gavalda 2007): a window over a stream that drops its older part when the means of the two differ by more
/// than chance allows. Values must lie between 0 and 1.
package struct AdaptiveWindow: Sendable {
    private struct Bucket {
        var sum: Double
        var squares: Double
    }

    private let confidence: Double
    private let inflation: Double
    private let interval: Int
    /// Buckets of 2^k rows at level k, newest last.
    private var levels: [[Bucket]] = [[]]
    private var seen = 0
    /// Rows in the window.
    package private(set) var count = 0

    /// - Parameters:
    ///   - confidence: chance of a false cut at a check.
    ///   - inflation: long-run variance over variance of the stream, at least 1: rows that resemble their neighbours
    ///     count for less.
    ///   - interval: rows between checks.
    package init(confidence: Double, inflation: Double = 1, interval: Int = 32) {
        self.confidence = confidence
        self.inflation = max(1, inflation)
        self.interval = interval
    }

    /// Takes in a value; true when the window was cut.
    package mutating func add(_ value: Double) -> Bool {
        levels[0].append(Bucket(sum: value, squares: value * value))
        count += 1
        seen += 1
        var k = 0
        while levels[k].count > 5 {
            let a = levels[k].removeFirst()
            let b = levels[k].removeFirst()
            if k + 1 == levels.count { levels.append([]) }
            levels[k + 1].append(Bucket(sum: a.sum + b.sum, squares: a.squares + b.squares))
            k += 1
        }
        return seen % interval == 0 && cut()
    }

    private mutating func cut() -> Bool {
        var any = false
        while true {
            var total = 0.0
            var squares = 0.0
            for level in levels {
                for b in level {
                    total += b.sum
                    squares += b.squares
                }
            }
            let n = Double(count)
            guard n >= 64 else { return any }
            let mean = total / n
            let variance = max(0, squares / n - mean * mean) * inflation
            let logarithm = log(2 * log(max(n, 3)) / confidence)
            var older = 0.0
            var olderRows = 0.0
            var found = false
            search: for k in levels.indices.reversed() {
                let size = Double(1 << k)
                for b in levels[k] {
                    older += b.sum
                    olderRows += size
                    let newerRows = n - olderRows
                    if olderRows < 32 || newerRows < 32 { continue }
                    let m = inflation * (1 / olderRows + 1 / newerRows)
                    let bound =
                        (2 * m / inflation * variance * logarithm).squareRoot() + 2.0 / 3 * m * logarithm
                    if abs(older / olderRows - (total - older) / newerRows) > bound {
                        found = true
                        break search
                    }
                }
            }
            guard found else { return any }
            any = true
            // Drop the oldest bucket and look again.
            guard let k = levels.lastIndex(where: { !$0.isEmpty }) else { return any }
            levels[k].removeFirst()
            count -= 1 << k
        }
    }
}
