import ServingCore
import Simulation

/// A figure of a configuration by the name that `vllm bench serve` gives it (`p99_ttft_ms`), or one of a sweep's own.
public struct Metric: Hashable, Sendable, CustomStringConvertible {
    /// The latencies.
    public enum Latency: String, Sendable, CaseIterable {
        /// Time to first token.
        case ttft
        /// Time per output token.
        case tpot
        /// Gaps between tokens.
        case itl
        /// End-to-end latency.
        case e2el
    }

    /// What is said of a latency.
    public enum Statistic: Hashable, Sendable {
        /// The mean.
        case mean
        /// A percentile from 0 to 100; the median is 50.
        case percentile(Double)
    }

    /// Its name.
    public let name: String
    /// If it is a latency: which, and what of it.
    public let latency: (of: Latency, statistic: Statistic)?
    /// Whether more is better.
    public let isBetterHigher: Bool

    /// As it is written.
    public var description: String { name }

    /// Same name, same figure.
    public static func == (a: Metric, b: Metric) -> Bool { a.name == b.name }

    /// By the name.
    public func hash(into hasher: inout Hasher) { hasher.combine(name) }

    private init(_ name: String, higher: Bool, latency: (of: Latency, statistic: Statistic)? = nil) {
        self.name = name
        isBetterHigher = higher
        self.latency = latency
    }

    /// Output tokens per second and GPU.
    static let outputThroughputPerGPU = Metric("output_throughput_per_gpu", higher: true)

    /// A sweep's figures that are no latencies, in the order of the results; true where more is better.
    static let plain: [(name: String, higher: Bool)] = [
        ("max_request_rate", true), ("gpus", false), ("request_throughput", true),
        ("output_throughput", true), ("total_token_throughput", true), ("request_goodput", true),
        ("good_share", true), ("request_throughput_per_gpu", true), ("output_throughput_per_gpu", true),
        ("request_goodput_per_gpu", true), ("output_throughput_per_user", true), ("cost_per_hour", false),
        ("cost_per_million_output_tokens", false), ("cost_per_million_tokens", false),
        ("gpus_for_target_rate", false), ("mean_kv_cache_usage", false), ("max_kv_cache_usage", false),
        ("prefix_cache_hit_rate", true), ("num_preemptions", false), ("busy_share", true),
        ("mean_requests_running", true), ("mean_requests_waiting", false), ("completed", true),
        ("failed", false), ("duration", false), ("in_domain_share", true),
    ]

    /// Reads a name, with dashes or underscores.
    /// - Throws: `InvalidInput` that names the nearest figure.
    public init(parsing text: String, source: String?, field: String) throws {
        let name = String(text.map { $0 == "-" ? "_" : $0 })
        if let known = Self.plain.first(where: { $0.name == name }) {
            self.init(name, higher: known.higher)
            return
        }
        if let latency = Self.latency(name) {
            self = Metric(latency.of, latency.statistic)
            return
        }
        let known =
            Self.plain.map(\.name)
            + Latency.allCases.flatMap { latency in
                ["mean", "median", "p90", "p95", "p99"].map { "\($0)_\(latency.rawValue)_ms" }
            }
        let near = nearestName(to: name, among: known).map { "; did you mean \($0)?" } ?? ""
        throw InvalidInput(
            source: source, field: field, value: text, "is not a figure of a configuration" + near,
            accepted: "such as output_throughput_per_gpu or p99_ttft_ms")
    }

    /// A latency's mean or percentile.
    public init(_ latency: Latency, _ statistic: Statistic) {
        let prefix: String
        switch statistic {
        case .mean: prefix = "mean"
        case .percentile(50): prefix = "median"
        case .percentile(let percent):
            prefix = "p" + (Int(exactly: percent).map { "\($0)" } ?? "\(percent)")
        }
        self.init("\(prefix)_\(latency.rawValue)_ms", higher: false, latency: (latency, statistic))
    }

    private static func latency(_ name: String) -> (of: Latency, statistic: Statistic)? {
        let parts = name.split(separator: "_")
        guard parts.count == 3, parts[2] == "ms", let latency = Latency(rawValue: String(parts[1])) else {
            return nil
        }
        switch parts[0] {
        case "mean": return (latency, .mean)
        case "median": return (latency, .percentile(50))
        default:
            guard parts[0].first == "p", let percent = Double(parts[0].dropFirst()),
                (0...100).contains(percent)
            else { return nil }
            return (latency, .percentile(percent))
        }
    }
}

extension SimulationMetrics {
    /// A latency's figures.
    func summary(of latency: Metric.Latency) -> LatencySummary {
        switch latency {
        case .ttft: ttft
        case .tpot: tpot
        case .itl: itl
        case .e2el: e2el
        }
    }
}
