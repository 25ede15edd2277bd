/// How traces are read.
public struct TraceOptions: Equatable, Sendable {
    /// What the person says about the deployment; a trace that says otherwise is an error.
    public var flags = TraceConfiguration()
    /// Hand out rows that must not be trained on as well, each with its `exclusion`.
    public var includeExcluded = false
    /// Use context sums that the trace states for a step; false rebuilds them from snapshots and journeys.
    public var useRecordedContext = true

    /// Usable rows only, nothing said about the deployment.
    public init() {}
}
