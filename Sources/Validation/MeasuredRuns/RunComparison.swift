import Catalog
import LatencyOracle
import Scenarios
import ServingCore
import Simulation

/// A measured run beside its simulation.
public struct RunComparison: Sendable {
    /// One metric of both.
    public struct Metric: Sendable, Equatable {
        /// `mean_e2el_ms` and the like, as `vllm bench serve` names it.
        public var name: String
        /// As measured.
        public var measured: Double
        /// As simulated.
        public var predicted: Double
        /// Spread over reruns with other oracles; nil without reruns.
        public var band: UncertaintyBands.Band?

        /// |predicted - measured| / measured; nil when nothing was measured.
        public var ape: Double? { measured > 0 ? abs(predicted - measured) / measured : nil }
    }

    /// Name of the run.
    public var name: String
    /// What the index says.
    public var overloaded: Bool
    /// Share of the measured requests that were sent at the client's limit; nil where it has none.
    public var shareSentAtClientLimit: Double?
    /// Every metric that was measured, always in the same order.
    public var metrics: [Metric]
    /// The simulation's result, with its bands if there are any.
    public var result: SimulationResult

    /// How to compare.
    public struct Options: Sendable {
        /// Reruns for bands; 0 for none.
        public var uncertaintyReruns = 0
        /// Compare only the requests that this holds out.
        public var part: Holdout?
        /// Asked now and then; true ends the comparison with `CancellationError`.
        public var isCancelled: @Sendable () -> Bool = { false }

        /// All requests, no bands.
        public init() {}
    }

    /// Simulates `run` as `base` says, with `oracle` in the place of the scenario's if given, and compares.
    /// - Throws: `InvalidInput` for an unknown model, accelerator or engine, `CancellationError`.
    public init(
        _ run: MeasuredRun, base: Scenario, shipped: ShippedFiles, oracle: StepTimeOracle? = nil,
        options: Options = Options()
    ) throws {
        name = run.entry.name
        overloaded = run.entry.overloaded
        shareSentAtClientLimit = run.shareSentAtClientLimit
        let scenario = try run.scenario(base: base)
        var prepared = try scenario.prepare(shipped: shipped, oracle: oracle)
        prepared.configuration.collectsRecords = options.part != nil
        var records: [RequestRecord] = []
        var simulation = try prepared.makeRun()
        while try simulation.advance(events: 1 << 14) {
            if options.isCancelled() { throw CancellationError() }
            records += simulation.takeRecords()
        }
        result = prepared.describe(simulation.finish())
        records += simulation.takeRecords()
        if options.uncertaintyReruns > 0, options.part == nil {
            var reruns = UncertaintyReruns(count: options.uncertaintyReruns)
            // Runs are compared side by side; their reruns need no threads of their own.
            reruns.threads = 1
            reruns.isCancelled = options.isCancelled
            result.uncertainty = try reruns.bands(of: prepared)
        }
        let measured = options.part.map { run.metrics(of: run.records, $0) } ?? run.measured
        let predicted = options.part.map { run.metrics(of: records, $0) } ?? result.metrics
        metrics = Self.compare(measured, predicted, result.uncertainty, isPart: options.part != nil)
        if let blocks = run.entry.kvBlocks, options.part == nil {
            // What the memory plan says without being told.
            var untold = scenario
            untold.engine.numGPUBlocksOverride = nil
            let plan = try Deployment(
                untold.engine, gpu: run.entry.gpu, version: untold.engineVersion, shipped: shipped)
            metrics.append(
                Metric(
                    name: "num_gpu_blocks", measured: Double(blocks),
                    predicted: Double(plan.facts().kvBlocks)))
        }
    }

    /// What a measured summary and a forecast have in common: `measured` by the names of `SimulationMetrics.figures`.
    public init(name: String, measured: [String: Double], result: SimulationResult) {
        self.name = name
        overloaded = false
        self.result = result
        metrics = result.metrics.figures.compactMap { figure in
            measured[figure.name].map {
                Metric(
                    name: figure.name, measured: $0, predicted: figure.value,
                    band: result.uncertainty?[figure.name])
            }
        }
    }

    private static func compare(
        _ measured: SimulationMetrics, _ predicted: SimulationMetrics, _ bands: UncertaintyBands?,
        isPart: Bool
    ) -> [Metric] {
        var names: [String] = []
        for latency in ["ttft", "tpot", "e2el"] {
            names += ["mean", "p50", "p90", "p99"].map { "\($0)_\(latency)_ms" }
        }
        // Rates of a part of the requests mean nothing.
        if !isPart { names += ["request_throughput", "output_throughput", "completed", "failed"] }
        let (a, b) = (measured.figures, predicted.figures)
        var metrics: [Metric] = names.compactMap { name in
            guard let x = a.first(where: { $0.name == name }), let y = b.first(where: { $0.name == name }),
                x.value.isFinite
            else { return nil }
            return Metric(name: name, measured: x.value, predicted: y.value, band: bands?[name])
        }
        // How far requests spread: only `--latency sample` can show it whole.
        if let p50 = metrics.first(where: { $0.name == "p50_tpot_ms" }),
            let p99 = metrics.first(where: { $0.name == "p99_tpot_ms" }), p50.measured > 0, p50.predicted > 0
        {
            metrics.append(
                Metric(
                    name: "p99_over_p50_tpot", measured: p99.measured / p50.measured,
                    predicted: p99.predicted / p50.predicted))
        }
        return metrics
    }

    /// The metric of a name.
    public func metric(_ name: String) -> Metric? { metrics.first { $0.name == name } }
}

/// Errors of many runs in short.
public struct ComparisonSummary: Sendable {
    /// One metric over the runs that were not overloaded.
    public struct Line: Sendable {
        /// `mean_e2el_ms` and the like.
        public var name: String
        /// Mean absolute percentage error, as a share.
        public var mape: Double
        /// Share of the runs whose band covered the measurement; nil without bands.
        public var coverage: Double?
        /// Median of the bands' half-widths as shares of their medians; nil without bands.
        public var medianHalfWidth: Double?
    }

    /// Runs that were not overloaded.
    public var runs: Int
    /// Metrics in the order of the runs'.
    public var lines: [Line]

    /// Leaves out what was overloaded.
    public init(_ comparisons: [RunComparison]) {
        let counted = comparisons.filter { !$0.overloaded }
        runs = counted.count
        var names: [String] = []
        for metric in counted.flatMap(\.metrics) where !names.contains(metric.name) {
            names.append(metric.name)
        }
        lines = names.compactMap { name in
            let metrics = counted.compactMap { $0.metric(name) }
            let errors = metrics.compactMap(\.ape)
            guard !errors.isEmpty else { return nil }
            let banded = metrics.filter { $0.band != nil }
            let widths = banded.compactMap { $0.band?.relativeHalfWidth }.sorted()
            return Line(
                name: name, mape: errors.reduce(0, +) / Double(errors.count),
                coverage: banded.isEmpty
                    ? nil : Double(banded.count { $0.band!.covers($0.measured) }) / Double(banded.count),
                medianHalfWidth: widths.isEmpty
                    ? nil : (widths[(widths.count - 1) / 2] + widths[widths.count / 2]) / 2)
        }
    }

    /// The line of a metric.
    public subscript(name: String) -> Line? { lines.first { $0.name == name } }
}
