import Simulation

/// The console block of `vllm bench serve`, character by character (vllm/benchmarks/serve.py, `benchmark`).
/// - Returns: the lines from `Serving Benchmark Result` to the closing rule, the last with its newline.
public func benchServeReport(_ result: SimulationResult, _ options: ReportOptions = ReportOptions()) -> String
{
    let metrics = result.metrics
    var text = title(" Serving Benchmark Result ", "=")
    text += row("Successful requests:", "\(metrics.completed)")
    text += row("Failed requests:", "\(metrics.failed)")
    if let limit = result.maxConcurrency { text += row("Maximum request concurrency:", "\(limit)") }
    if let rate = result.requestRate, rate.isFinite {
        text += row("Request rate configured (RPS):", fixed(rate))
    }
    text += row("Benchmark duration (s):", fixed(metrics.duration))
    text += row("Total input tokens:", "\(metrics.totalInputTokens)")
    text += row("Total generated tokens:", "\(metrics.totalOutputTokens)")
    text += row("Request throughput (req/s):", fixed(metrics.requestThroughput))
    if let goodput = metrics.requestGoodput { text += row("Request goodput (req/s):", fixed(goodput)) }
    text += row("Output token throughput (tok/s):", fixed(metrics.outputThroughput))
    text += row("Peak output token throughput (tok/s):", fixed(Double(metrics.maxOutputTokensPerSecond)))
    text += row("Peak concurrent requests:", fixed(Double(metrics.maxConcurrentRequests)))
    text += row("Total token throughput (tok/s):", fixed(metrics.totalTokenThroughput))
    for metric in ReportOptions.Metric.allCases where options.percentileMetrics.contains(metric) {
        let name = metric.rawValue.uppercased()
        let summary = metrics.latency(metric)
        text += title(metric.title, "-")
        text += row("Mean \(name) (ms):", fixed(summary.mean.value))
        text += row("Median \(name) (ms):", fixed(summary.median))
        for percent in options.metricPercentiles {
            guard let estimate = summary.percentile(percent) else { continue }
            text += row("P\(percentileName(percent)) \(name) (ms):", fixed(estimate.value))
        }
    }
    return text + String(repeating: "=", count: 50) + "\n"
}

/// Python's `"{s:{c}^50}"`.
private func title(_ text: String, _ fill: String) -> String {
    let missing = max(0, 50 - text.count)
    return String(repeating: fill, count: missing / 2) + text
        + String(repeating: fill, count: missing - missing / 2) + "\n"
}

/// Python's `"{:<40} {:<10}"`.
private func row(_ label: String, _ value: String) -> String {
    label.padded(to: 40) + " " + value.padded(to: 10) + "\n"
}

extension String {
    /// Filled with spaces on the right up to a width.
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}

extension ReportOptions.Metric {
    /// Heading of the metric's section.
    var title: String {
        switch self {
        case .ttft: "Time to First Token"
        case .tpot: "Time per Output Token (excl. 1st token)"
        case .itl: "Inter-token Latency"
        case .e2el: "End-to-end Latency"
        }
    }
}

extension SimulationMetrics {
    /// The summary of a metric.
    func latency(_ metric: ReportOptions.Metric) -> LatencySummary {
        switch metric {
        case .ttft: ttft
        case .tpot: tpot
        case .itl: itl
        case .e2el: e2el
        }
    }
}
