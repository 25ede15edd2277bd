import Simulation

/// What only a simulator can say, for the terminal: how far the figures may be trusted, whether the deployment keeps
/// up, and what its engines did.
/// - Returns: lines of at most about 110 characters, the last with its newline.
public func forecastReport(_ result: SimulationResult, _ options: ReportOptions = ReportOptions()) -> String {
    let metrics = result.metrics
    var text = uncertaintyTable(result, options)
    text += "Sampling error: what another run of this length would differ by (95 % intervals)\n"
    text += samplingErrorTable(metrics, options)
    text += "\n"
    func line(_ label: String, _ value: String) {
        for (place, part) in wrapped(value, 92).enumerated() {
            text += (place == 0 ? label : "").padded(to: 18) + part + "\n"
        }
    }
    line("Load:", "\(metrics.saturation.verdict.rawValue): \(metrics.saturation.reason)")
    if let uncertainty = result.uncertainty { line("", verdictCounts(uncertainty)) }
    if let share = metrics.goodShare {
        line("Goodput:", "\(percentage(share)) of the requests met every objective")
    }
    if metrics.failed > 0 {
        line(
            "Failed requests:",
            "\(grouped(metrics.rejected)) rejected, \(grouped(metrics.timedOut)) timed out, "
                + "\(grouped(metrics.unfinished)) unfinished")
    }
    if metrics.warmUpRequests > 0 { line("Warm-up:", "\(grouped(metrics.warmUpRequests)) requests left out") }
    line(
        "Queue:",
        "\(significant(metrics.meanWaitingRequests)) waiting on average, \(grouped(metrics.peakWaitingRequests)) "
            + "at most; \(significant(metrics.meanQueueTime)) ms in the queue on average")
    line(
        "Running:",
        "\(significant(metrics.meanRunningRequests)) on average, \(grouped(metrics.peakRunningRequests)) at most; "
            + "a step running \(percentage(metrics.busyShare)) of the time, \(grouped(result.steps)) steps")
    line("KV cache:", kvCacheLine(result))
    line("Prefix cache:", prefixCacheLine(result))
    if let offload = result.offload { for row in offloadLines(offload) { line(row.label, row.value) } }
    if result.preemptions > 0 {
        line(
            "Preemptions:",
            "\(grouped(result.preemptions)), of \(grouped(metrics.preemptedRequests)) completed requests")
    }
    if !result.oracle.isEmpty {
        var trust = result.oracle
        if let share = result.inDomainShare {
            trust += "; \(percentage(share)) of the steps inside its training data"
        }
        line("Latency oracle:", trust)
        if let domain = result.domain { for row in domainLines(domain) { line("", row) } }
        for note in result.oracleNotes { line("", note) }
    }
    if let share = result.inDomainShare, share < 0.5 {
        line(
            "Warning:",
            "only \(percentage(share)) of the steps resemble anything that the oracle was trained on: "
                + "this forecast is an extrapolation")
    }
    for warning in result.warnings { line("Warning:", warning) }
    return text
}

private func samplingErrorTable(_ metrics: SimulationMetrics, _ options: ReportOptions) -> String {
    var table = TextTable([
        .init(""), .init("value (ms)", .right), .init("± std. error", .right), .init("from", .right),
        .init("to", .right), .init("independent samples", .right),
    ])
    func bound(_ value: Double?) -> String { value.map { fixed($0) } ?? "-" }
    for metric in ReportOptions.Metric.allCases where options.percentileMetrics.contains(metric) {
        let summary = metrics.latency(metric)
        let name = metric.rawValue.uppercased()
        var rows = [("Mean \(name)", summary.mean)]
        for percentile in summary.percentiles {
            rows.append(("P\(percentileName(percentile.percent)) \(name)", percentile.estimate))
        }
        for (label, estimate) in rows {
            table.add(
                label, fixed(estimate.value), bound(estimate.standardError), bound(estimate.lower),
                bound(estimate.upper), estimate.effectiveSamples.map { grouped(Int(min($0, 1e15))) } ?? "-")
        }
    }
    return table.text
}

private func kvCacheLine(_ result: SimulationResult) -> String {
    let metrics = result.metrics
    guard result.kvBlocks > 0 else { return "unlimited" }
    let (tokens, overflow) = result.kvBlocks.multipliedReportingOverflow(by: result.blockSize)
    return "\(grouped(result.kvBlocks)) blocks of \(result.blockSize) tokens"
        + (overflow ? "" : " (\(grouped(tokens)) tokens)")
        + (result.engines > 1 ? " on each of \(result.engines) engines" : "")
        + ", \(percentage(metrics.meanKVUsage)) in use on average, \(percentage(metrics.peakKVUsage)) at most"
}

private func prefixCacheLine(_ result: SimulationResult) -> String {
    guard result.prefixCacheQueries > 0 else { return "not asked" }
    return "hit rate \(percentage(result.prefixCacheHitRate)) "
        + "(\(grouped(result.prefixCacheHits)) of \(grouped(result.prefixCacheQueries)) tokens)"
}

/// Text broken between words into lines of at most `width` characters; at least one line.
func wrapped(_ text: String, _ width: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
        if !line.isEmpty, line.count + 1 + word.count > width {
            lines.append(line)
            line = ""
        }
        line += (line.isEmpty ? "" : " ") + word
    }
    return lines + [line]
}
