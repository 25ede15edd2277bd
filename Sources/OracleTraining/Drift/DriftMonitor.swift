import ServingCore

/// Watches how the residuals of a stream lie among those of a reference period, and says when that changed.
///
/// A residual's rank in the reference is bounded and knows nothing of tails or units. Page-Hinkley looks for a rise, a fall and
/// a change of spread; ADWIN for any change of level. Their thresholds follow from the long-run variance of the
/// reference, so that neighbours that resemble each other raise no alarm.
package struct DriftMonitor: Sendable {
    /// What was noticed.
    package enum Detector: String, Sendable, CaseIterable {
        /// Page-Hinkley: steps take longer than before.
        case slower = "page-hinkley, slower"
        /// Page-Hinkley: steps take less time than before.
        case faster = "page-hinkley, faster"
        /// Page-Hinkley: residuals scatter more than before.
        case wider = "page-hinkley, wider"
        /// ADWIN on the residual's rank.
        case window = "adwin"
    }

    /// First alarm of each detector, by row of the stream counted from 0, the reference included.
    package private(set) var alarms: [(detector: Detector, row: Int)] = []
    /// Long-run variance over variance of the ranks in the reference.
    package let inflation: Double

    private let reference: [Double]
    private let center: Double
    private var row: Int
    private var rise: PageHinkley
    private var fall: PageHinkley
    private var spread: PageHinkley
    private var window: AdaptiveWindow
    private var alarmed = Set<String>()

    /// Change of the mean rank that is tolerated: about 0.1 standard deviations of the residual.
    static let toleratedRank = 0.03

    /// Fewest rows of a reference.
    package static let leastReference = 200

    /// - Parameter reference: residuals of the period taken as normal, in order of time, relative to their predictions.
    /// - Throws: `InvalidInput` when the reference is too short, or a residual isn't finite.
    package init(reference: [Double]) throws(InvalidInput) {
        guard reference.count >= Self.leastReference else {
            throw InvalidInput(
                field: "reference rows", value: "\(reference.count)", "are too few to tell drift from noise",
                accepted: "at least \(Self.leastReference)")
        }
        for (i, value) in reference.enumerated() where !value.isFinite {
            throw InvalidInput(line: i + 1, field: "residual", value: "\(value)", "is not a finite number")
        }
        self.reference = reference.sorted()
        center = self.reference[reference.count / 2]
        row = reference.count
        let sorted = self.reference
        let ranks = reference.map { Self.rank($0, in: sorted) }
        let level = Self.longRunInflation(ranks)
        let folded = ranks.map { abs($0 - 0.5) }
        let foldedInflation = Self.longRunInflation(folded)
        inflation = level
        // A random walk of drift -delta and variance v per row rises by h with chance exp(-2 delta h / v): 22 for less
        // than one false alarm in some millions of rows.
        func threshold(_ variance: Double) -> Double { 22 * variance / (2 * Self.toleratedRank) }
        rise = PageHinkley(delta: Self.toleratedRank, threshold: threshold(level / 12))
        fall = rise
        spread = PageHinkley(delta: Self.toleratedRank, threshold: threshold(foldedInflation / 48))
        window = AdaptiveWindow(confidence: 1e-6, inflation: level)
        for rank in ranks { take(rank, quietly: true) }
    }

    /// Takes in the next relative residual.
    package mutating func add(_ residual: Double) {
        take(residual.isNaN ? 0.5 : Self.rank(residual, in: reference), quietly: false)
        row += 1
    }

    /// First row at which any detector alarmed.
    package var firstAlarm: Int? { alarms.map(\.row).min() }

    private mutating func take(_ rank: Double, quietly: Bool) {
        let up = rise.add(rank)
        let down = fall.add(-rank)
        let out = spread.add(abs(rank - 0.5))
        let cut = window.add(rank)
        guard !quietly else { return }
        if up { note(.slower) }
        if down { note(.faster) }
        if out { note(.wider) }
        if cut { note(.window) }
    }

    private mutating func note(_ detector: Detector) {
        if alarmed.insert(detector.rawValue).inserted { alarms.append((detector, row)) }
    }

    /// Place of a value among the sorted reference, between 0 and 1; ties stand in the middle.
    private static func rank(_ value: Double, in sorted: [Double]) -> Double {
        func place(_ strictly: Bool) -> Int {
            var low = 0
            var high = sorted.count
            while low < high {
                let middle = (low + high) / 2
                if strictly ? sorted[middle] < value : sorted[middle] <= value {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            return low
        }
        return (Double(place(true) + place(false)) / 2 + 0.5) / Double(sorted.count + 1)
    }

    /// Sum of autocorrelations with Bartlett weights over a window that grows with the cube root of the length; at least 1.
    static func longRunInflation(_ values: [Double]) -> Double {
        let n = values.count
        guard n > 10 else { return 1 }
        let mean = values.reduce(0, +) / Double(n)
        var lags = 1
        while lags * lags * lags < 8 * n { lags += 1 }
        lags = min(lags * 2, n / 4)
        func covariance(_ lag: Int) -> Double {
            var sum = 0.0
            for i in lag..<n { sum += (values[i] - mean) * (values[i - lag] - mean) }
            return sum / Double(n)
        }
        let variance = covariance(0)
        guard variance > 0 else { return 1 }
        var total = 1.0
        for lag in 1...max(lags, 1) {
            total += 2 * (1 - Double(lag) / Double(lags + 1)) * covariance(lag) / variance
        }
        return max(1, total)
    }
}
