import ServingCore

/// What to leave out of the metrics because the system was still filling up.
public enum WarmUp: Equatable, Sendable {
    /// Nothing.
    case none
    /// The first requests sent.
    case requests(Int)
    /// Requests sent within this time of the first one.
    case time(Ticks)
}

/// What metrics to keep.
public struct MetricsConfiguration: Equatable, Sendable {
    /// Percentiles to report with their sampling errors, each from 0 to 100.
    public var percentiles: [Double] = [50, 90, 95, 99]
    /// Limits that a request must meet to be good; empty for no goodput.
    public var objectives = ServiceLevelObjectives()
    /// Requests left out at the start.
    public var warmUp = WarmUp.none
    /// Data-parallel engines.
    public var engines = 1

    /// Median, P90, P95 and P99 of everything, no goodput, no warm-up, one engine.
    public init() {}
}
