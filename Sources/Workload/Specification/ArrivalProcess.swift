/// When requests arrive: the spread of the gaps between them, and the rate, which may change with time.
///
/// Gaps are drawn with mean 1 and stretched by the rate in force (time rescaling), so each spread works with
/// each profile.
public struct ArrivalProcess: Equatable, Sendable {
    /// How the gaps between requests vary around their mean.
    public enum Gaps: Equatable, Sendable {
        /// All alike; the first request comes at time 0.
        case constant
        /// Exponential: a Poisson process.
        case poisson
        /// Gamma with this shape, which `vllm bench serve` calls burstiness: 1 is Poisson, below 1 is more bursty.
        /// Coefficient of variation `1 / sqrt(shape)`.
        case gamma(shape: Double)
        /// Weibull with this shape: 1 is Poisson, below 1 is more bursty.
        case weibull(shape: Double)
    }

    /// A stretch of constant rate.
    public struct Stage: Equatable, Sendable {
        /// Requests per second.
        public var rate: Double
        /// Seconds.
        public var duration: Double

        /// `rate` requests per second for `duration` seconds.
        public init(rate: Double, duration: Double) {
            self.rate = rate
            self.duration = duration
        }
    }

    /// The rate over time.
    public enum Rate: Equatable, Sendable {
        /// Everything at time 0.
        case infinite
        /// The same rate for ever, requests per second.
        case steady(Double)
        /// One stage after another; nothing arrives after the last.
        case stages([Stage])
        /// Repeated for ever: `on.rate` for `on.duration`, then `off.rate` for `off.duration`.
        case bursts(on: Stage, off: Stage)
        /// `mean * (1 + amplitude * cos(2 pi (t - peak) / period))`, times in seconds, amplitude from 0 to 1.
        case diurnal(mean: Double, amplitude: Double, period: Double, peak: Double)
    }

    /// Spread of the gaps.
    public var gaps: Gaps
    /// Rate over time.
    public var rate: Rate
    /// Stretch the drawn gaps so that the requests take exactly as long as the rate says, as `vllm bench serve`
    /// does: `n` requests at rate `r` end at `n / r`. With stages, each stage gets exactly rate times duration
    /// requests. Needs a steady rate with a number of requests, or stages.
    public var normalized: Bool

    /// Requests with these gaps at this rate.
    public init(gaps: Gaps = .poisson, rate: Rate, normalized: Bool = false) {
        self.gaps = gaps
        self.rate = rate
        self.normalized = normalized
    }

    /// Multiplies the rate; stages, bursts and days keep their place in time.
    public mutating func scaleRate(by factor: Double) {
        switch rate {
        case .infinite: break
        case .steady(let rate): self.rate = .steady(rate * factor)
        case .stages(let stages):
            rate = .stages(stages.map { Stage(rate: $0.rate * factor, duration: $0.duration) })
        case .bursts(let on, let off):
            rate = .bursts(
                on: Stage(rate: on.rate * factor, duration: on.duration),
                off: Stage(rate: off.rate * factor, duration: off.duration))
        case .diurnal(let mean, let amplitude, let period, let peak):
            rate = .diurnal(mean: mean * factor, amplitude: amplitude, period: period, peak: peak)
        }
    }
}
