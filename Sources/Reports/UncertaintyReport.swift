import Simulation

/// The bands of a forecast as a table for the terminal; empty without bands.
func uncertaintyTable(_ result: SimulationResult, _ options: ReportOptions) -> String {
    guard let uncertainty = result.uncertainty else { return "" }
    let level = fixed(UncertaintyBands.level * 100, decimals: 0)
    let reruns = uncertainty.reruns
    var text =
        "Uncertainty of the latency oracle: what the figures would be with other oracles that its data allow\n"
    text +=
        reruns < UncertaintyBands.fewestReruns
        ? "(range of \(reruns) reruns; \(UncertaintyBands.fewestReruns) are needed for a \(level) % band)\n"
        : "(\(level) % bands over \(reruns) reruns of the same requests)\n"
    var table = TextTable([
        .init(""), .init("forecast", .right), .init("from", .right), .init("median", .right),
        .init("to", .right), .init("± half-width", .right),
    ])
    let forecast = result.metrics.figures
    func add(_ label: String, _ name: String, scale: Double = 1) {
        guard let band = uncertainty[name], let own = forecast.first(where: { $0.name == name }) else {
            return
        }
        func cell(_ value: Double) -> String { value.isFinite ? fixed(value * scale) : "-" }
        table.add(
            label, cell(own.value), cell(band.lower), cell(band.median), cell(band.upper),
            band.relativeHalfWidth.map(percentage) ?? "-")
    }
    for metric in ReportOptions.Metric.allCases where options.percentileMetrics.contains(metric) {
        let name = metric.rawValue
        add("Mean \(name.uppercased()) (ms)", "mean_\(name)_ms")
        for percentile in result.metrics.latency(metric).percentiles {
            let percent = percentileName(percentile.percent)
            add("P\(percent) \(name.uppercased()) (ms)", "p\(percent)_\(name)_ms")
        }
    }
    add("Request throughput (req/s)", "request_throughput")
    add("Request goodput (req/s)", "request_goodput")
    add("Output throughput (tok/s)", "output_throughput")
    add("Failed requests", "failed")
    add("Queue time, mean (ms)", "mean_queue_time_ms")
    add("KV cache in use, mean (%)", "mean_kv_cache_usage", scale: 100)
    return text + table.text + "\n"
}

/// On how many reruns the load had each verdict, as a clause.
func verdictCounts(_ uncertainty: UncertaintyBands) -> String {
    zip(Saturation.Verdict.allCases, uncertainty.verdicts).filter { $0.1 > 0 }.map {
        "\($0.0.rawValue) in \($0.1)"
    }.joined(separator: ", ") + " of \(uncertainty.reruns) reruns"
}

/// The bands for the result file.
func uncertaintyJSON(_ uncertainty: UncertaintyBands) -> JSONValue {
    .object([
        ("reruns", .integer(uncertainty.reruns)), ("level", .number(UncertaintyBands.level)),
        (
            "verdicts",
            .object(
                zip(Saturation.Verdict.allCases, uncertainty.verdicts).map { ($0.0.rawValue, .integer($0.1)) }
            )
        ),
        (
            "bands",
            .object(
                uncertainty.bands.map { band in
                    (
                        band.name,
                        .object([
                            ("p5", .number(band.lower)), ("p50", .number(band.median)),
                            ("p95", .number(band.upper)),
                        ])
                    )
                })
        ),
    ])
}

/// What left the oracle's training domain, for the result file.
func domainJSON(_ domain: DomainCoverage) -> JSONValue {
    .object([
        ("in_domain_share", .number(domain.share)), ("sampled_steps", .integer(domain.sampledSteps)),
        ("unusual_combinations", .number(domain.unusualCombinations)),
        (
            "out_of_range",
            .array(
                domain.excursions.map {
                    .object([
                        ("feature", .string($0.feature)), ("share", .number($0.share)),
                        ("distance", .number($0.distance)),
                    ])
                })
        ),
    ])
}

/// What a person should know about steps outside the oracle's training domain, a line each.
func domainLines(_ domain: DomainCoverage) -> [String] {
    guard domain.share < 1 else { return [] }
    var lines: [String] = []
    let worst = domain.excursions.prefix(3).map { excursion in
        let distance =
            excursion.distance.isFinite
            ? "up to \(significant(excursion.distance)) x its training range beyond it"
            : "a value that training never had"
        return "\(excursion.feature) in \(percentage(excursion.share)) (\(distance))"
    }
    if !worst.isEmpty { lines.append("outside it most often: " + worst.joined(separator: "; ")) }
    if domain.unusualCombinations > 0 {
        lines.append(
            "each feature in its range but no such combination in training: "
                + "\(percentage(domain.unusualCombinations)) of the steps")
    }
    return lines
}
