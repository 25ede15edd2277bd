/// A figure measured on a finite sample, with the error that comes from the sample being finite.
public struct Estimate: Equatable, Sendable {
    /// The figure itself.
    public var value: Double
    /// Standard error; nil when the sample is too small to tell.
    public var standardError: Double?
    /// Lower end of the 95 % confidence interval; nil when the sample does not bound it.
    public var lower: Double?
    /// Upper end of the 95 % confidence interval; nil when the sample does not bound it (a P99.9 of 100 requests).
    public var upper: Double?
    /// Independent observations that would give the same error; nil when the sample is too small to tell.
    public var effectiveSamples: Double?

    /// A figure whose error is unknown unless given.
    public init(
        _ value: Double, standardError: Double? = nil, lower: Double? = nil, upper: Double? = nil,
        effectiveSamples: Double? = nil
    ) {
        self.value = value
        self.standardError = standardError
        self.lower = lower
        self.upper = upper
        self.effectiveSamples = effectiveSamples
    }

    /// The same in another unit, `factor` of which make one of this.
    func scaled(by factor: Double) -> Estimate {
        Estimate(
            value * factor, standardError: standardError.map { $0 * factor },
            lower: lower.map { $0 * factor },
            upper: upper.map { $0 * factor }, effectiveSamples: effectiveSamples)
    }
}

/// Mean, spread and percentiles of one latency metric, in milliseconds.
public struct LatencySummary: Equatable, Sendable {
    /// Observations.
    public var count = 0
    /// Mean.
    public var mean = Estimate(0)
    /// Population standard deviation.
    public var standardDeviation = 0.0
    /// Median (numpy's).
    public var median = 0.0
    /// Smallest.
    public var minimum = 0.0
    /// Largest.
    public var maximum = 0.0
    /// Percentiles, ascending, each with its error.
    public var percentiles: [Percentile] = []
    /// Whether every observation was kept; otherwise percentiles have a relative error below 0.05 %.
    public var isExact = true

    /// A summary of nothing.
    public init() {}

    /// One percentile.
    public struct Percentile: Equatable, Sendable {
        /// Which, from 0 to 100.
        public var percent: Double
        /// Its value in milliseconds.
        public var estimate: Estimate

        /// The percentile `percent`.
        public init(_ percent: Double, _ estimate: Estimate) {
            self.percent = percent
            self.estimate = estimate
        }
    }

    /// The percentile in milliseconds, nil when it was not asked for.
    public func percentile(_ percent: Double) -> Estimate? {
        percentiles.first { $0.percent == percent }?.estimate
    }
}
