extension TraceInspection {
    /// The inspection as lines of text.
    public var text: String {
        var lines: [String] = []
        for file in files { lines.append("\(file.path): \(file.kind)") }
        for path in ignored { lines.append("\(path): not a trace, ignored") }
        for (index, group) in groups.enumerated() {
            lines.append("deployment \(index + 1): \(group.configuration.summary)\(rows(index))")
            let details = group.configuration.details
            if !details.isEmpty { lines.append("  " + details) }
        }
        lines += stepLines
        lines += requestLines
        for note in report.notes { lines.append("note: \(note)") }
        for warning in report.warnings { lines.append("warning: \(warning)") }
        return lines.joined(separator: "\n")
    }

    private func rows(_ group: Int) -> String {
        guard group < groupRows.count, groupRows[group].all > 0 else { return "" }
        return ", \(groupRows[group].usable) usable of \(groupRows[group].all) steps"
    }

    private var stepLines: [String] {
        var lines = ["steps: \(report.steps) in \(report.runs) runs, \(report.usable) usable\(share)"]
        if let samplingRate, samplingRate < 0.9999 {
            lines.append("  sampled: \(twoDecimals(samplingRate * 100)) % of the steps were recorded")
        }
        for (reason, rows) in exclusions { lines.append("  left out: \(rows) (\(reason.name))") }
        let contexts = ContextSource.allCases.filter { report.contextSources[Int($0.rawValue)] > 0 }
            .map { "\($0.name) \(report.contextSources[Int($0.rawValue)])" }
        if !contexts.isEmpty { lines.append("  context lengths: \(contexts.joined(separator: ", "))") }
        let targets = TargetSource.allCases.filter { report.targetSources[Int($0.rawValue)] > 0 }
            .map { "\($0.name) \(report.targetSources[Int($0.rawValue)])" }
        if !targets.isEmpty { lines.append("  step times: \(targets.joined(separator: ", "))") }
        lines += summary("step time, ms", stepSeconds, scale: 1000)
        lines += summary("tokens a step", batchTokens, scale: 1)
        lines += summary("requests a step", batchRequests, scale: 1)
        lines += summary("decode context", decodeContext, scale: 1)
        let problems = [
            ("malformed events", report.malformedEvents), ("incomplete events", report.incompleteEvents),
            ("malformed lines", report.malformedLines), ("duplicate events", report.duplicateEvents),
            ("steps in conflict", report.conflictingEvents),
            ("steps without KV-cache figures", report.stepsWithoutKV),
            ("events dropped by the exporter", report.droppedByExporter),
            ("damaged frames", report.damagedFrames),
            ("truncated files", report.truncatedFiles),
        ]
        for (name, count) in problems where count > 0 { lines.append("  \(name): \(count)") }
        return lines
    }

    private var requestLines: [String] {
        var lines: [String] = []
        if journeys > 0 {
            lines.append("journeys: \(journeys) requests")
            lines += summary("arrived to queued, ms", arrivedToQueued, scale: 1000)
            lines += summary("queued to scheduled, ms", queuedToScheduled, scale: 1000)
            lines += summary("finished to departed, ms", finishedToDeparted, scale: 1000)
        }
        if requests > 0 {
            lines.append("load generator: \(requests) requests")
            lines += summary("time to first token, ms", timeToFirstToken, scale: 1000)
            lines += summary("end to end, ms", endToEnd, scale: 1000)
        }
        if kvEvents > 0 {
            lines.append("KV-cache events: \(kvEvents)")
            lines += summary("transfer, ms", transferSeconds, scale: 1000)
        }
        return lines
    }

    private var share: String {
        report.steps > 0 ? " (\(twoDecimals(Double(report.usable) / Double(report.steps) * 100)) %)" : ""
    }

    private func summary(_ name: String, _ values: Distribution, scale: Double) -> [String] {
        guard values.count > 0 else { return [] }
        let figures = [("p10", 0.1), ("median", 0.5), ("p90", 0.9), ("p99", 0.99)].map {
            "\($0.0) \(twoDecimals(values.quantile($0.1) * scale))"
        }
        return [
            "  \(name): \(figures.joined(separator: ", ")), mean \(twoDecimals(values.mean * scale)), max \(twoDecimals(values.maximum * scale))"
        ]
    }
}

extension TraceConfiguration {
    /// Engine flags that are known.
    var details: String {
        var parts: [String] = []
        if let engineVersion { parts.append("vLLM \(engineVersion)") }
        if let asyncScheduling {
            parts.append(asyncScheduling ? "--async-scheduling" : "--no-async-scheduling")
        }
        if let maxNumBatchedTokens { parts.append("--max-num-batched-tokens \(maxNumBatchedTokens)") }
        if let maxNumSeqs { parts.append("--max-num-seqs \(maxNumSeqs)") }
        if let maxModelLen { parts.append("--max-model-len \(maxModelLen)") }
        if let blockSize { parts.append("--block-size \(blockSize)") }
        if let kvBlocks { parts.append("\(kvBlocks) KV blocks") }
        if let prefixCaching { parts.append(prefixCaching ? "prefix caching" : "--no-enable-prefix-caching") }
        if enforceEager == true { parts.append("--enforce-eager") }
        return parts.joined(separator: ", ")
    }
}
