import Simulation

/// The result file: the keys of `vllm bench serve --save-result` at the top level with the same definitions and
/// units, everything else under `stepcast`.
/// - Parameter extra: further members of `stepcast`, such as uncertainty bands.
public func resultJSON(
    _ result: SimulationResult, _ options: ReportOptions = ReportOptions(),
    extra: [(key: String, value: JSONValue)] = []
) -> JSONValue {
    let metrics = result.metrics
    var members: [(key: String, value: JSONValue)] = []
    func add(_ key: String, _ value: JSONValue) {
        // As in Python, a later value takes the place of an earlier one of the same key.
        if let place = members.firstIndex(where: { $0.key == key }) {
            members[place].value = value
        } else {
            members.append((key, value))
        }
    }
    if let date = options.date { add("date", .string(date)) }
    add("endpoint_type", "stepcast")
    add("backend", "stepcast")
    add("label", JSONValue(options.label))
    add("model_id", .string(result.modelID))
    add("tokenizer_id", .string(result.modelID))
    add("num_prompts", .integer(result.requests))
    for pair in options.metadata { add(pair.key, .string(pair.value)) }
    add("request_rate", result.requestRate.map { $0.isFinite ? .number($0) : "inf" } ?? "inf")
    add("burstiness", .number(result.burstiness))
    add("max_concurrency", JSONValue(result.maxConcurrency))

    add("duration", .number(metrics.duration))
    add("completed", .integer(metrics.completed))
    add("failed", .integer(metrics.failed))
    add("total_input_tokens", .integer(metrics.totalInputTokens))
    add("total_output_tokens", .integer(metrics.totalOutputTokens))
    add("request_throughput", .number(metrics.requestThroughput))
    add("request_goodput", JSONValue(metrics.requestGoodput))
    add("output_throughput", .number(metrics.outputThroughput))
    add("total_token_throughput", .number(metrics.totalTokenThroughput))
    add("max_output_tokens_per_s", .number(Double(metrics.maxOutputTokensPerSecond)))
    add("max_concurrent_requests", .integer(metrics.maxConcurrentRequests))
    for metric in ReportOptions.Metric.allCases {
        let name = metric.rawValue
        let summary = metrics.latency(metric)
        add("mean_\(name)_ms", .number(summary.mean.value))
        add("median_\(name)_ms", .number(summary.median))
        add("std_\(name)_ms", .number(summary.standardDeviation))
        for percentile in summary.percentiles {
            add("p\(percentileName(percentile.percent))_\(name)_ms", .number(percentile.estimate.value))
        }
    }
    add("stepcast", .object(stepcastMembers(result) + extra))
    return .object(members)
}

private func stepcastMembers(_ result: SimulationResult) -> [(key: String, value: JSONValue)] {
    let metrics = result.metrics
    let offload = result.offload.map { [("kv_offload", offloadJSON($0))] } ?? []
    let uncertainty = result.uncertainty.map { [("uncertainty", uncertaintyJSON($0))] } ?? []
    return [
        ("version", .string(stepcastVersion)),
        ("seed", .unsigned(result.seed)),
        (
            "definitions",
            .object([
                ("ttft", "first token received - request sent"),
                ("tpot", "(e2el - ttft) / (output tokens - 1), per request with more than one output token"),
                ("itl", "every gap between two tokens of a request, pooled over requests"),
                ("e2el", "last token received - request sent"),
                ("duration", "first request sent - last request ended"),
            ])
        ),
        ("deployment", deployment(result)),
        (
            "requests",
            .object([
                ("completed", .integer(metrics.completed)), ("rejected", .integer(metrics.rejected)),
                ("timed_out", .integer(metrics.timedOut)), ("unfinished", .integer(metrics.unfinished)),
                ("warm_up", .integer(metrics.warmUpRequests)), ("good_share", JSONValue(metrics.goodShare)),
                ("preempted", .integer(metrics.preemptedRequests)),
                ("mean_queue_time_ms", .number(metrics.meanQueueTime)),
            ])
        ),
        ("saturation", saturation(metrics.saturation)),
        (
            "sampling_error",
            .object(ReportOptions.Metric.allCases.map { ($0.rawValue, errors(metrics.latency($0))) })
        ),
        (
            "engine",
            .object([
                ("steps", .integer(result.steps)), ("simulated_s", .number(result.simulatedSeconds)),
                ("busy_share", .number(metrics.busyShare)),
                ("mean_requests_running", .number(metrics.meanRunningRequests)),
                ("max_requests_running", .integer(metrics.peakRunningRequests)),
                ("mean_requests_waiting", .number(metrics.meanWaitingRequests)),
                ("max_requests_waiting", .integer(metrics.peakWaitingRequests)),
                ("mean_kv_cache_usage", .number(metrics.meanKVUsage)),
                ("max_kv_cache_usage", .number(metrics.peakKVUsage)),
                ("num_preemptions", .integer(result.preemptions)),
                ("prefix_cache_queries", .integer(result.prefixCacheQueries)),
                ("prefix_cache_hits", .integer(result.prefixCacheHits)),
                ("prefix_cache_hit_rate", .number(result.prefixCacheHitRate)),
            ])
        ),
    ] + offload + uncertainty + [
        ("timeline", timeline(metrics.timeline)),
        (
            "oracle",
            .object([
                ("name", .string(result.oracle)), ("in_domain_share", JSONValue(result.inDomainShare)),
                ("domain", result.domain.map(domainJSON) ?? .null),
                ("notes", .array(result.oracleNotes.map { .string($0) })),
            ])
        ),
        ("warnings", .array(result.warnings.map { .string($0) })),
    ]
}

private func deployment(_ result: SimulationResult) -> JSONValue {
    .object([
        ("model", .string(result.modelID)), ("accelerator", .string(result.accelerator)),
        ("accelerators", .integer(result.accelerators)), ("engines", .integer(result.engines)),
        ("engine_version", .string(result.engineVersion)), ("num_gpu_blocks", .integer(result.kvBlocks)),
        ("block_size", .integer(result.blockSize)),
        ("settings", .object(result.engine.map { ($0.name, .string($0.value)) })),
    ])
}

private func saturation(_ saturation: Saturation) -> JSONValue {
    .object([
        ("verdict", .string(saturation.verdict.rawValue)), ("reason", .string(saturation.reason)),
        ("offered_rate", .number(saturation.offeredRate)),
        ("completed_rate", .number(saturation.completedRate)),
        ("queue_growth_per_s", .number(saturation.queueGrowth.value)),
        ("queue_growth_lower", JSONValue(saturation.queueGrowth.lower)),
        ("queue_growth_upper", JSONValue(saturation.queueGrowth.upper)),
        ("empty_queue_share", .number(saturation.emptyQueueShare)),
        ("mean_in_system", .number(saturation.meanInSystem)), ("littles_law", .number(saturation.littlesLaw)),
    ])
}

private func errors(_ summary: LatencySummary) -> JSONValue {
    func error(_ estimate: Estimate) -> JSONValue {
        .object([
            ("standard_error_ms", JSONValue(estimate.standardError)), ("lower_ms", JSONValue(estimate.lower)),
            ("upper_ms", JSONValue(estimate.upper)),
            ("effective_samples", JSONValue(estimate.effectiveSamples)),
        ])
    }
    var members: [(key: String, value: JSONValue)] = [
        ("count", .integer(summary.count)), ("exact", .boolean(summary.isExact)),
        ("min_ms", .number(summary.minimum)), ("max_ms", .number(summary.maximum)),
        ("mean", error(summary.mean)),
    ]
    for percentile in summary.percentiles {
        members.append(("p\(percentileName(percentile.percent))", error(percentile.estimate)))
    }
    return .object(members)
}

private func timeline(_ samples: [StateSample]) -> JSONValue {
    .object([
        ("start_s", .array(samples.map { .number($0.start) })),
        ("width_s", .array(samples.map { .number($0.width) })),
        ("requests_waiting", .array(samples.map { .number($0.waitingRequests) })),
        ("max_requests_waiting", .array(samples.map { .integer($0.mostWaitingRequests) })),
        ("requests_running", .array(samples.map { .number($0.runningRequests) })),
        ("kv_cache_usage", .array(samples.map { .number($0.kvUsage) })),
    ])
}
