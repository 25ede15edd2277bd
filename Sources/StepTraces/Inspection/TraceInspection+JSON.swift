#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension TraceInspection: Encodable {
    private enum CodingKeys: String, CodingKey {
        case files, ignored, deployments, steps, journeys, requests, notes, warnings
        case kvEvents = "kv_events"
    }

    private struct GroupSummary: Encodable {
        var name: String
        var configuration: TraceConfiguration
        var steps: Int
        var usable: Int
    }

    private struct Summary: Encodable {
        var count: Int
        var mean: Double
        var p10: Double
        var median: Double
        var p90: Double
        var p99: Double
        var max: Double

        init?(_ values: Distribution) {
            guard values.count > 0 else { return nil }
            count = values.count
            mean = values.mean
            p10 = values.quantile(0.1)
            median = values.quantile(0.5)
            p90 = values.quantile(0.9)
            p99 = values.quantile(0.99)
            max = values.maximum
        }
    }

    private struct Steps: Encodable {
        var count: Int
        var usable: Int
        var runs: Int
        var samplingRate: Double?
        var excluded: [String: Int]
        var contextSources: [String: Int]
        var targetSources: [String: Int]
        var malformedEvents: Int
        var incompleteEvents: Int
        var malformedLines: Int
        var duplicateEvents: Int
        var conflictingSteps: Int
        var stepsWithoutKv: Int
        var droppedByExporter: Int
        var damagedFrames: Int
        var truncatedFiles: Int
        var stepSeconds: Summary?
        var batchTokens: Summary?
        var batchRequests: Summary?
        var decodeContext: Summary?
    }

    private struct Requests: Encodable {
        var count: Int
        var arrivedToQueuedSeconds: Summary?
        var queuedToScheduledSeconds: Summary?
        var finishedToDepartedSeconds: Summary?
        var timeToFirstTokenSeconds: Summary?
        var endToEndSeconds: Summary?
    }

    /// The inspection as JSON with sorted keys in snake case.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// Writes counts, distributions and warnings.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(files, forKey: .files)
        try container.encode(ignored, forKey: .ignored)
        let deployments = groups.enumerated().map { index, group in
            let rows = index < groupRows.count ? groupRows[index] : (0, 0)
            return GroupSummary(
                name: group.name, configuration: group.configuration, steps: rows.1, usable: rows.0)
        }
        try container.encode(deployments, forKey: .deployments)
        var excluded: [String: Int] = [:]
        for (reason, rows) in exclusions { excluded["\(reason)"] = rows }
        var contexts: [String: Int] = [:]
        for source in ContextSource.allCases where report.contextSources[Int(source.rawValue)] > 0 {
            contexts[source.name] = report.contextSources[Int(source.rawValue)]
        }
        var targets: [String: Int] = [:]
        for source in TargetSource.allCases where report.targetSources[Int(source.rawValue)] > 0 {
            targets[source.name] = report.targetSources[Int(source.rawValue)]
        }
        try container.encode(
            Steps(
                count: report.steps, usable: report.usable, runs: report.runs, samplingRate: samplingRate,
                excluded: excluded, contextSources: contexts, targetSources: targets,
                malformedEvents: report.malformedEvents, incompleteEvents: report.incompleteEvents,
                malformedLines: report.malformedLines, duplicateEvents: report.duplicateEvents,
                conflictingSteps: report.conflictingEvents, stepsWithoutKv: report.stepsWithoutKV,
                droppedByExporter: report.droppedByExporter, damagedFrames: report.damagedFrames,
                truncatedFiles: report.truncatedFiles, stepSeconds: Summary(stepSeconds),
                batchTokens: Summary(batchTokens), batchRequests: Summary(batchRequests),
                decodeContext: Summary(decodeContext)), forKey: .steps)
        try container.encode(
            Requests(
                count: journeys, arrivedToQueuedSeconds: Summary(arrivedToQueued),
                queuedToScheduledSeconds: Summary(queuedToScheduled),
                finishedToDepartedSeconds: Summary(finishedToDeparted)), forKey: .journeys)
        try container.encode(
            Requests(
                count: requests, timeToFirstTokenSeconds: Summary(timeToFirstToken),
                endToEndSeconds: Summary(endToEnd)), forKey: .requests)
        try container.encode(kvEvents, forKey: .kvEvents)
        try container.encode(report.notes, forKey: .notes)
        try container.encode(report.warnings, forKey: .warnings)
    }
}
