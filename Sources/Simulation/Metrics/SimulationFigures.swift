extension SimulationMetrics {
    /// One figure by the name that `vllm bench serve` gives it in its result file.
    public struct Figure: Equatable, Sendable {
        /// `mean_ttft_ms`, `request_throughput` and the like.
        public var name: String
        /// Infinite for a latency that no request reached.
        public var value: Double

        /// The figure of a name.
        public init(name: String, value: Double) {
            self.name = name
            self.value = value
        }
    }

    /// Every figure that a person compares, by name, always in the same order for the same percentiles.
    public var figures: [Figure] {
        var list: [Figure] = []
        func add(_ name: String, _ value: Double?) {
            if let value { list.append(Figure(name: name, value: value)) }
        }
        add("duration", duration)
        add("completed", Double(completed))
        add("failed", Double(failed))
        add("request_throughput", requestThroughput)
        add("request_goodput", requestGoodput)
        add("output_throughput", outputThroughput)
        add("total_token_throughput", totalTokenThroughput)
        add("max_output_tokens_per_s", Double(maxOutputTokensPerSecond))
        add("max_concurrent_requests", Double(maxConcurrentRequests))
        for (name, summary) in [("ttft", ttft), ("tpot", tpot), ("itl", itl), ("e2el", e2el)] {
            func latency(_ value: Double) -> Double { summary.count > 0 ? value : .infinity }
            add("mean_\(name)_ms", latency(summary.mean.value))
            add("median_\(name)_ms", latency(summary.median))
            add("std_\(name)_ms", latency(summary.standardDeviation))
            for percentile in summary.percentiles {
                let percent = Int(exactly: percentile.percent).map { "\($0)" } ?? "\(percentile.percent)"
                add("p\(percent)_\(name)_ms", latency(percentile.estimate.value))
            }
        }
        add("mean_queue_time_ms", completed > 0 ? meanQueueTime : .infinity)
        add("good_share", goodShare)
        add("mean_requests_running", meanRunningRequests)
        add("mean_requests_waiting", meanWaitingRequests)
        add("busy_share", busyShare)
        add("mean_kv_cache_usage", meanKVUsage)
        add("num_preemptions", Double(preemptions))
        return list
    }
}
