import Catalog
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
        /// |predicted - measured| / measured; nil when nothing was measured.
        public var ape: Double? { measured > 0 ? abs(predicted - measured) / measured : nil }
    }

    /// Name of the run.
    public var name: String
    /// What the index says.
    public var overloaded: Bool
    /// Every metric, always in the same order.
    public var metrics: [Metric]
    /// The simulation's result.
    public var result: SimulationResult

    /// Simulates `run` as `base` says and compares.
    /// - Throws: `InvalidInput` for an unknown model, accelerator or engine.
    public init(_ run: MeasuredRun, base: Scenario, shipped: ShippedFiles) throws {
        name = run.entry.name
        overloaded = run.entry.overloaded
        result = try run.scenario(base: base).prepare(shipped: shipped).run()
        metrics = []
        let (measured, predicted) = (run.measured, result.metrics)
        for (key, path) in Self.latencies {
            let (a, b) = (measured[keyPath: path], predicted[keyPath: path])
            metrics.append(Metric(name: "mean_\(key)_ms", measured: a.mean.value, predicted: b.mean.value))
            for percent in [50.0, 90, 99] {
                guard let x = a.percentile(percent), let y = b.percentile(percent) else { continue }
                metrics.append(
                    Metric(name: "p\(Int(percent))_\(key)_ms", measured: x.value, predicted: y.value))
            }
        }
        metrics.append(
            Metric(
                name: "request_throughput", measured: measured.requestThroughput,
                predicted: predicted.requestThroughput))
        metrics.append(
            Metric(
                name: "output_throughput", measured: measured.outputThroughput,
                predicted: predicted.outputThroughput))
        metrics.append(
            Metric(
                name: "completed", measured: Double(measured.completed),
                predicted: Double(predicted.completed)))
        metrics.append(
            Metric(name: "failed", measured: Double(measured.failed), predicted: Double(predicted.failed)))
    }

    private static let latencies: [(String, KeyPath<SimulationMetrics, LatencySummary> & Sendable)] = [
        ("ttft", \.ttft), ("tpot", \.tpot), ("e2el", \.e2el),
    ]

    /// The metric of a name.
    public func metric(_ name: String) -> Metric? { metrics.first { $0.name == name } }

    /// Mean absolute percentage error of each metric over the runs that were not overloaded, in metric order.
    public static func summary(of comparisons: [RunComparison]) -> [(name: String, mape: Double)] {
        let counted = comparisons.filter { !$0.overloaded }
        guard let first = counted.first else { return [] }
        return first.metrics.compactMap { metric in
            let errors = counted.compactMap { $0.metric(metric.name)?.ape }
            guard !errors.isEmpty else { return nil }
            return (metric.name, errors.reduce(0, +) / Double(errors.count))
        }
    }
}
