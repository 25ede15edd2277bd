import LatencyOracle

/// What requests that wait cost those that run, learned from overloaded runs of which requests alone are known.
///
/// In measured runs of vLLM 0.15.1 at a full batch over several GPUs, steps grow by 7 to 25 us for each of the first few
/// hundred requests that wait. Neither scheduler nor kernels explain it, and whether the queue or the time since the load
/// began is the cause those runs do not tell: so the term is bounded, and there is none for a single GPU, where it was
/// not seen. It grows with the time that a rank's weights take to read, the size of a decode step: the same seconds would
/// be most of a small model's step (4.0 of the 6.4 ms forecast for 128 decodes of Llama-3.1-8B on two H100), which nobody has
/// seen, and the runs agree better that way.
public enum QueueCost {
    /// Feature whose coefficient it is.
    public static let feature = "queued_weight_read"

    /// A run: the time of steps of its batch without a queue, and the queue, on an even grid of time; and requests.
    public struct Run: Sendable {
        /// Seconds between points of the grid.
        public var interval: Double
        /// Seconds that a step would take at each point, nobody waiting.
        public var steps: [Double]
        /// The feature at each point.
        public var queue: [Double]
        /// Of each request the first and the last token's time, seconds, and the tokens after the first.
        public var requests: [(first: Double, last: Double, tokens: Double)]

        /// A run.
        public init(
            interval: Double, steps: [Double], queue: [Double],
            requests: [(first: Double, last: Double, tokens: Double)]
        ) {
            self.interval = interval
            self.steps = steps
            self.queue = queue
            self.requests = requests
        }
    }

    /// Cost per unit of the feature, at least 0: the mean over the runs, each of which says it by itself
    /// beside a factor on all its steps; nil without a run that says anything.
    public static func fit(_ runs: [Run]) -> Double? {
        let own = runs.compactMap(fit)
        return own.isEmpty ? nil : own.reduce(0, +) / Double(own.count)
    }

    /// Gauss-Newton with weights that fall with the error: in a span of time a request gets the integral of one over the
    /// step time in tokens.
    static func fit(_ run: Run) -> Double? {
        let count = run.steps.count
        guard count > 1, run.requests.count >= 100, (run.queue.max() ?? 0) > 0 else { return nil }
        var (factor, cost) = (1.0, 0.0)
        var integrals = [(tokens: Double, byFactor: Double, byCost: Double)](
            repeating: (0, 0, 0), count: count + 1)
        for _ in 0..<30 {
            for k in 0..<count {
                let step = max(factor * run.steps[k] + cost * run.queue[k], 1e-6)
                let tokens = run.interval / step
                let last = integrals[k]
                integrals[k + 1] = (
                    last.tokens + tokens, last.byFactor - tokens * run.steps[k] / step,
                    last.byCost - tokens * run.queue[k] / step
                )
            }
            func at(_ time: Double) -> (Double, Double, Double) {
                let place = min(max(time / run.interval, 0), Double(count) - 1e-9)
                let k = Int(place)
                let share = place - Double(k)
                let (a, b) = (integrals[k], integrals[k + 1])
                return (
                    a.tokens + share * (b.tokens - a.tokens), a.byFactor + share * (b.byFactor - a.byFactor),
                    a.byCost + share * (b.byCost - a.byCost)
                )
            }
            let rows = run.requests.map { request in
                let (from, to) = (at(request.first), at(request.last))
                return (
                    error: 1 - (to.0 - from.0) / request.tokens, byFactor: (to.1 - from.1) / request.tokens,
                    byCost: (to.2 - from.2) / request.tokens
                )
            }
            let spread = max(median(sorted: rows.map { abs($0.error) }.sorted()), 1e-4)
            var (ff, fc, cc, fe, ce) = (0.0, 0.0, 0.0, 0.0, 0.0)
            for row in rows {
                let z = row.error / spread
                let weight = 1 / (1 + z * z)
                ff += weight * row.byFactor * row.byFactor
                fc += weight * row.byFactor * row.byCost
                cc += weight * row.byCost * row.byCost
                fe += weight * row.byFactor * row.error
                ce += weight * row.byCost * row.error
            }
            let determinant = ff * cc - fc * fc
            // A queue of one length throughout cannot be told from slower steps.
            guard determinant > 1e-6 * ff * cc else { return nil }
            let change = (fe * cc - ce * fc) / determinant
            let costChange = (ff * ce - fc * fe) / determinant
            factor = min(max(factor + change, 0.3), 3)
            cost = max(0, cost + costChange)
            if abs(change) < 1e-9, abs(costChange) < 1e-12 { break }
        }
        return cost
    }
}

extension OracleArtifact {
    /// Gives every step model the cost of requests waiting, each as a share of the time to read a rank's weights.
    public mutating func setQueueCost(_ share: Double) {
        func set(_ model: inout StepModel) {
            guard model.featureSet == FeatureSet.physics.name, model.link == .identity else { return }
            model.coefficients.removeAll { $0.feature == QueueCost.feature }
            if share > 0 {
                model.coefficients.append(Coefficient(feature: QueueCost.feature, value: share))
            }
        }
        set(&step)
        for index in (step.specialised ?? []).indices { set(&step.specialised![index].model) }
    }

    /// The cost of requests waiting, each as a share of the time to read a rank's weights; 0 where there is none.
    public var queueCost: Double {
        step.coefficients.first { $0.feature == QueueCost.feature }?.value ?? 0
    }
}
