import Reports
import Validation

/// `{"runs": [{"name", "overloaded", "oracle", "in_domain_share", "share_sent_at_client_limit",
/// "metrics": {name: {"measured", "predicted", "ape"}}}], "summary": {name: {"mape"}}}`, with `band` in a metric and `coverage`
/// and `median_half_width` in the summary where there were reruns.
func validationJSON(_ comparisons: [RunComparison]) -> JSONValue {
    let runs = comparisons.map { comparison in
        let metrics = comparison.metrics.map { metric in
            var values: [(key: String, value: JSONValue)] = [
                ("measured", .number(metric.measured)), ("predicted", .number(metric.predicted)),
                ("ape", JSONValue(metric.ape)),
            ]
            if let band = metric.band {
                values.append(
                    (
                        "band",
                        .object([
                            ("p5", .number(band.lower)), ("p50", .number(band.median)),
                            ("p95", .number(band.upper)), ("covered", .boolean(band.covers(metric.measured))),
                        ])
                    ))
            }
            return (key: metric.name, value: JSONValue.object(values))
        }
        return JSONValue.object([
            ("name", .string(comparison.name)), ("overloaded", .boolean(comparison.overloaded)),
            ("oracle", .string(comparison.result.oracle)),
            ("in_domain_share", JSONValue(comparison.result.inDomainShare)),
            ("share_sent_at_client_limit", JSONValue(comparison.shareSentAtClientLimit)),
            ("metrics", .object(metrics)),
        ])
    }
    let summary = ComparisonSummary(comparisons).lines.map { line in
        var values: [(key: String, value: JSONValue)] = [("mape", .number(line.mape))]
        if let coverage = line.coverage {
            values.append(("coverage", .number(coverage)))
            values.append(("median_half_width", JSONValue(line.medianHalfWidth)))
        }
        return (key: line.name, value: JSONValue.object(values))
    }
    return .object([("runs", .array(runs)), ("summary", .object(summary))])
}

/// A table per run, then one of all.
func validationText(_ comparisons: [RunComparison]) -> String {
    var text = ""
    for comparison in comparisons {
        text += comparison.name + (comparison.overloaded ? " (overloaded)" : "")
        if let share = comparison.result.inDomainShare {
            text += ": \(percentage(share)) of the steps inside the oracle's training data"
        }
        if let share = comparison.shareSentAtClientLimit, share >= 0.1 {
            text +=
                "\n\(percentage(share)) of the requests were sent at the client's limit: their times hide how much more was meant, and "
                + "near capacity errors of steps come out severalfold"
        }
        text += "\n" + runTable(comparison) + "\n"
    }
    return text + summaryTable(comparisons)
}

private let statistics = ["mean", "p50", "p90", "p99"]
private let latencies = ["ttft", "tpot", "itl", "e2el"]
private let others = [
    ("request_throughput", "throughput (req/s)", 2), ("output_throughput", "throughput (tok/s)", 1),
    ("completed", "completed", 0), ("failed", "failed", 0), ("num_gpu_blocks", "KV blocks", 0),
    ("p99_over_p50_tpot", "TPOT P99/P50", 3),
]

private func share(_ value: Double?) -> String { value.map { fixed($0 * 100, decimals: 1) + " %" } ?? "-" }

private func runTable(_ comparison: RunComparison) -> String {
    let hasBands = comparison.metrics.contains { $0.band != nil }
    var table = TextTable(
        ["", ""] + statistics.map { $0 == "mean" ? "mean" : $0.uppercased() }, rightAligned: Set(2...5))
    func add(_ label: String, _ metrics: [RunComparison.Metric?], decimals: Int) {
        guard metrics.contains(where: { $0 != nil }) else { return }
        func row(_ name: String, _ kind: String, _ cell: (RunComparison.Metric) -> String) {
            table.add([name, kind] + metrics.map { $0.map(cell) ?? "" })
        }
        row(label, "measured") { fixed($0.measured, decimals: decimals) }
        row("", "simulated") { fixed($0.predicted, decimals: decimals) }
        row("", "error") { share($0.ape) }
        guard hasBands, metrics.contains(where: { $0?.band != nil }) else { return }
        row("", "90 % band") { metric in
            guard let band = metric.band else { return "" }
            let ends = "\(fixed(band.lower, decimals: decimals)) to \(fixed(band.upper, decimals: decimals))"
            return ends + (band.covers(metric.measured) ? "" : " missed")
        }
    }
    for latency in latencies {
        add(
            "\(latency.uppercased()) (ms)", statistics.map { comparison.metric("\($0)_\(latency)_ms") },
            decimals: 1)
    }
    for (name, label, decimals) in others { add(label, [comparison.metric(name)], decimals: decimals) }
    return table.text
}

/// The error of each run in what people ask for first, and the means over those not overloaded.
private func summaryTable(_ comparisons: [RunComparison]) -> String {
    let shown = [
        ("mean_ttft_ms", "mean TTFT"), ("p99_ttft_ms", "P99 TTFT"), ("mean_tpot_ms", "mean TPOT"),
        ("mean_e2el_ms", "mean E2EL"), ("p99_e2el_ms", "P99 E2EL"), ("request_throughput", "req/s"),
    ]
    var table = TextTable(["error"] + shown.map(\.1), rightAligned: Set(1...shown.count))
    for comparison in comparisons {
        table.add(
            [comparison.name + (comparison.overloaded ? " (overloaded)" : "")]
                + shown.map { share(comparison.metric($0.0)?.ape) })
    }
    let summary = ComparisonSummary(comparisons)
    guard summary.runs > 0 else { return table.text }
    table.addRule()
    table.add(["mean of \(summary.runs) not overloaded"] + shown.map { share(summary[$0.0]?.mape) })
    if summary.lines.contains(where: { $0.coverage != nil }) {
        table.add(["covered by the 90 % band"] + shown.map { share(summary[$0.0]?.coverage) })
        table.add(["median half-width of the band"] + shown.map { share(summary[$0.0]?.medianHalfWidth) })
    }
    return table.text
}
