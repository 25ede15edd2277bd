/// Page-Hinkley test: alarms when a stream's cumulated deviation from its running mean rises far above its least value.
package struct PageHinkley: Sendable {
    /// Deviation per row that is tolerated.
    package let delta: Double
    /// Rise at which it alarms.
    package let threshold: Double
    private var rows = 0.0
    private var mean = 0.0
    private var sum = 0.0
    private var least = 0.0

    /// A test for a rise of the mean; feed it negated values to look for a fall.
    package init(delta: Double, threshold: Double) {
        self.delta = delta
        self.threshold = threshold
    }

    /// Takes in a value; true when the test alarms.
    package mutating func add(_ value: Double) -> Bool {
        rows += 1
        mean += (value - mean) / rows
        sum += value - mean - delta
        least = min(least, sum)
        return sum - least > threshold
    }
}
