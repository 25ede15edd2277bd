import ArgumentParser
import Catalog
import OracleTraining
import ServingCore
import StepTraces

/// Which traces to read and what is known of their deployments.
struct TraceInputOptions: ParsableArguments {
    @Option(
        parsing: .upToNextOption,
        help: "Trace files and folders: native, OTLP, vLLM logs or tables of step times.")
    var traces: [String]

    @Option(help: "Model of traces that don't name it.")
    var model: String?

    @Option(help: "Accelerator of traces that don't name it.")
    var gpu: String?

    @Option(
        name: .customLong("tensor-parallel-size"), help: "Tensor-parallel ranks of traces that don't say.")
    var tensorParallelSize: Int?

    @Option(
        parsing: .upToNextOption,
        help: "Leave out deployments whose name (model/gpu/tp/…) contains one of these.")
    var exclude: [String] = []

    /// Reads all rows.
    func read(_ shipped: ShippedFiles) throws -> StepDataSet {
        let data = try Self.read(
            traces, shipped, model: model, gpu: gpu, tensorParallelSize: tensorParallelSize, exclude: exclude)
        guard !exclude.isEmpty else { return data }
        let kept = data.leavingOut(exclude)
        guard kept.count > 0 else {
            throw InvalidInput(
                .usage, field: "--exclude", value: exclude.joined(separator: " "), "leaves no rows")
        }
        return kept
    }

    /// Reads the journeys of requests beside the steps; nil where there are none.
    func readJourneys(_ shipped: ShippedFiles) throws -> (rows: [AlphaRow], facts: [DeploymentFacts])? {
        var options = TraceOptions()
        options.flags.model = model
        options.flags.accelerator = gpu
        options.flags.tensorParallelSize = tensorParallelSize
        var reader = try AlphaTraceReader(paths: traces, options: options)
        var rows: [AlphaRow] = []
        var row = AlphaRow()
        while try reader.next(&row) { rows.append(row) }
        guard !rows.isEmpty else { return nil }
        let resolution = try DeploymentResolution(shipped)
        return (rows, try reader.groups.map { try resolution.facts(of: $0) })
    }

    /// Reads the rows of some paths.
    static func read(
        _ paths: [String], _ shipped: ShippedFiles, model: String? = nil, gpu: String? = nil,
        tensorParallelSize: Int? = nil, exclude: [String] = [], includeExcluded: Bool = false
    ) throws -> StepDataSet {
        var options = TraceOptions()
        options.includeExcluded = includeExcluded
        options.flags.model = model
        options.flags.accelerator = gpu
        options.flags.tensorParallelSize = tensorParallelSize
        return try StepDataSet(
            reading: StepTraceReader(paths: paths, options: options),
            resolution: DeploymentResolution(shipped), exclude: exclude)
    }
}

extension StepDataSet {
    /// The rows of deployments whose name contains none of these.
    func leavingOut(_ names: [String]) -> StepDataSet {
        selecting(
            (0..<count).filter { row in !names.contains { groups[group[row]].name.contains($0) } })
    }
}
