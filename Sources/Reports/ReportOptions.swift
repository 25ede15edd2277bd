/// What a report shows of a result.
public struct ReportOptions: Equatable, Sendable {
    /// Latency metrics of `vllm bench serve`, in the order of its report.
    public enum Metric: String, Sendable, CaseIterable {
        /// Time to first token.
        case ttft
        /// Time per output token, the first left out.
        case tpot
        /// Inter-token latency.
        case itl
        /// End-to-end latency.
        case e2el
    }

    /// `--percentile-metrics`: the metrics that have a section in the report.
    public var percentileMetrics = Metric.allCases
    /// `--metric-percentiles`: the percentiles of each section, from 0 to 100; those the metrics do not hold are
    /// left out.
    public var metricPercentiles: [Double] = [99]
    /// `date` of the result file, as `vllm bench serve` writes it (YYYYmmdd-HHMMSS); nil to leave it out.
    public var date: String?
    /// `--label`
    public var label: String?
    /// `--metadata KEY=VALUE`, in order.
    public var metadata: [(key: String, value: String)] = []

    /// All four metrics with their P99, no date.
    public init() {}

    /// Whether two sets of options show the same.
    public static func == (a: ReportOptions, b: ReportOptions) -> Bool {
        a.percentileMetrics == b.percentileMetrics && a.metricPercentiles == b.metricPercentiles
            && a.date == b.date && a.label == b.label
            && a.metadata.elementsEqual(b.metadata) { $0.key == $1.key && $0.value == $1.value }
    }
}
