import Scenarios
import ServingCore
import Simulation

/// What came of one configuration.
public struct SweepOutcome: Sendable, Equatable {
    /// How far it came.
    public enum Status: String, Sendable, CaseIterable {
        /// It was run.
        case completed
        /// It cannot be run, and vLLM would say so, too.
        case cannotRun = "cannot run"
    }

    /// The configuration's number.
    public var index: Int
    /// Round of successive halving; 0 otherwise.
    public var round = 0
    /// Whether it is the last round, at full length.
    public var isFinal = true
    /// Which other oracle it was run with, from 0; nil with the oracle as it is.
    public var draw: Int?
    /// How far it came.
    public var status = Status.completed
    /// Why it cannot run, or what keeps the rate down.
    public var reason = ""
    /// Requests simulated in the run that the figures come from.
    public var requests = 0
    /// Figures by name.
    public var values: [String: Double] = [:]
    /// Confidence limits (95 %) by name; a limit that the run does not bound is missing.
    public var intervals: [String: Interval] = [:]
    /// Deviations of batches of requests from the objective's value; see `RequestTotals.deviations`.
    public var deviations: [Double] = []
    /// Whether the deployment kept up: a verdict of the simulation.
    public var saturation = ""
    /// Simulations that the search for the highest rate took, in order.
    public var trials: [Trial] = []

    /// A confidence interval.
    public struct Interval: Sendable, Equatable {
        /// Lower end; nil when the sample does not bound it.
        public var lower: Double?
        /// Upper end.
        public var upper: Double?
    }

    /// One rate that was tried.
    public struct Trial: Sendable, Equatable {
        /// The rate.
        public var rate: Double
        /// Whether all constraints hold.
        public var holds: Bool
        /// Whether one is broken for certain.
        public var isBroken: Bool
        /// What decided.
        public var reason: String
    }

    /// An outcome without figures.
    public init(index: Int) { self.index = index }

    /// A configuration that cannot run.
    init(index: Int, cannotRun reason: String) {
        self.index = index
        status = .cannotRun
        self.reason = reason
    }
}

/// How a run's figures are made into an outcome.
struct OutcomeMaker: Sendable {
    let specification: SweepSpecification
    /// Price per GPU and hour of a scenario's accelerator.
    let price: Double?

    func outcome(_ index: Int, _ measurement: Measurement, rate: Double? = nil) -> SweepOutcome {
        var outcome = SweepOutcome(index: index)
        let result = measurement.result
        outcome.requests = result.requests
        outcome.saturation = result.metrics.saturation.verdict.rawValue
        outcome.values = plainValues(result)
        for latency in Metric.Latency.allCases {
            let summary = result.metrics.summary(of: latency)
            guard summary.count > 0 else { continue }
            func add(_ statistic: Metric.Statistic, _ estimate: Estimate) {
                let name = Metric(latency, statistic).name
                outcome.values[name] = estimate.value
                outcome.intervals[name] = .init(lower: estimate.lower, upper: estimate.upper)
            }
            add(.mean, summary.mean)
            for percentile in summary.percentiles {
                add(.percentile(percentile.percent), percentile.estimate)
            }
            // As `vllm bench serve` computes it.
            outcome.values[Metric(latency, .percentile(50)).name] = summary.median
        }
        addError(of: specification.objective.metric, measurement, &outcome)
        for constraint in specification.constraints { addError(of: constraint.metric, measurement, &outcome) }
        return outcome
    }

    private func plainValues(_ result: SimulationResult) -> [String: Double] {
        let metrics = result.metrics
        let gpus = Double(result.accelerators)
        var values: [String: Double] = [
            "gpus": gpus, "request_throughput": metrics.requestThroughput,
            "output_throughput": metrics.outputThroughput,
            "total_token_throughput": metrics.totalTokenThroughput,
            "request_throughput_per_gpu": metrics.requestThroughput / gpus,
            "output_throughput_per_gpu": metrics.outputThroughput / gpus,
            "mean_kv_cache_usage": metrics.meanKVUsage, "max_kv_cache_usage": metrics.peakKVUsage,
            "prefix_cache_hit_rate": result.prefixCacheHitRate,
            "num_preemptions": Double(result.preemptions), "busy_share": metrics.busyShare,
            "mean_requests_running": metrics.meanRunningRequests,
            "mean_requests_waiting": metrics.meanWaitingRequests,
            "completed": Double(metrics.completed), "failed": Double(metrics.failed),
            "duration": metrics.duration,
        ]
        values["in_domain_share"] = result.inDomainShare
        if let goodput = metrics.requestGoodput {
            values["request_goodput"] = goodput
            values["request_goodput_per_gpu"] = goodput / gpus
        }
        if let share = metrics.goodShare { values["good_share"] = share }
        // As `vllm bench sweep plot_pareto` counts users.
        let users = Double(result.maxConcurrency ?? metrics.maxConcurrentRequests)
        if users > 0 { values["output_throughput_per_user"] = metrics.outputThroughput / users }
        if let price {
            let perHour = price * gpus
            values["cost_per_hour"] = perHour
            if metrics.outputThroughput > 0 {
                values["cost_per_million_output_tokens"] = perHour / 3600 / metrics.outputThroughput * 1e6
            }
            if metrics.totalTokenThroughput > 0 {
                values["cost_per_million_tokens"] = perHour / 3600 / metrics.totalTokenThroughput * 1e6
            }
        }
        if let target = specification.targetRate, metrics.requestThroughput > 0 {
            values["gpus_for_target_rate"] = Self.gpus(gpus, for: target, carried: metrics.requestThroughput)
        }
        return values
    }

    /// Whole deployments until their rates together are at least the target.
    static func gpus(_ gpus: Double, for target: Double, carried: Double) -> Double {
        gpus * max(1, (target / carried - 1e-9).rounded(.up))
    }

    /// Confidence limits of a figure that is no latency, from batches of requests.
    private func addError(of metric: Metric, _ measurement: Measurement, _ outcome: inout SweepOutcome) {
        guard metric.latency == nil, let value = outcome.values[metric.name] else { return }
        let gpus = Double(measurement.result.accelerators)
        let first = measurement.result.metrics.warmUpRequests
        let totals = measurement.requests
        func rate(_ count: RequestTotals.Count, times factor: Double) -> [Double] {
            totals.deviations(of: count, from: first).map { $0 * factor }
        }
        let metrics = measurement.result.metrics
        let deviations: [Double]
        switch metric.name {
        case "request_throughput": deviations = rate(.requests, times: 1)
        case "request_throughput_per_gpu": deviations = rate(.requests, times: 1 / gpus)
        case "output_throughput": deviations = rate(.outputTokens, times: 1)
        case "output_throughput_per_gpu": deviations = rate(.outputTokens, times: 1 / gpus)
        case "total_token_throughput": deviations = rate(.totalTokens, times: 1)
        case "request_goodput": deviations = rate(.goodRequests, times: 1)
        case "request_goodput_per_gpu": deviations = rate(.goodRequests, times: 1 / gpus)
        case "good_share": deviations = totals.deviationsOfGoodShare(from: first)
        case "output_throughput_per_user":
            deviations = rate(
                .outputTokens, times: metrics.outputThroughput > 0 ? value / metrics.outputThroughput : 0)
        // The derivative of a/x is -a/x².
        case "cost_per_million_output_tokens":
            deviations = rate(
                .outputTokens, times: -value / max(metrics.outputThroughput, .leastNormalMagnitude))
        case "cost_per_million_tokens":
            deviations = rate(
                .totalTokens, times: -value / max(metrics.totalTokenThroughput, .leastNormalMagnitude))
        default: return
        }
        if let half = Statistics.halfWidth(deviations) {
            outcome.intervals[metric.name] = .init(lower: value - half, upper: value + half)
        }
        if metric == specification.objective.metric { outcome.deviations = deviations }
    }
}

/// Errors from batches.
enum Statistics {
    /// Half of the 95 % confidence interval of a figure whose batches deviate so; nil for too few.
    static func halfWidth(_ deviations: [Double], probability: Double = 0.05) -> Double? {
        guard deviations.count >= 4 else { return nil }
        let count = Double(deviations.count)
        let squares = deviations.reduce(0) { $0 + $1 * $1 }
        let error = (squares / (count * (count - 1))).squareRoot()
        return error * studentTCritical(probability: probability, degreesOfFreedom: count - 1)
    }
}
