import ServingCore

/// Arrival times of an `ArrivalProcess`, one after another.
///
/// Time is kept on the operational clock, on which requests arrive at rate 1; the rate profile turns it into
/// seconds. Memory: a few words, whatever the number of requests.
struct ArrivalGenerator: Sendable {
    private enum Gap: UInt8 { case constant, poisson, gamma, weibull }
    private enum Profile: UInt8 { case infinite, steady, stages, bursts, diurnal }

    private var stream: RandomStream
    private let gap: Gap
    private var shape = 1.0
    private var scale = 1.0
    private let profile: Profile

    /// Operational time of the last arrival: requests expected so far.
    private var operational = 0.0
    private var isFirst = true
    /// Time of the last arrival, seconds.
    private var time = 0.0
    private var rate = 1.0

    // Stages, and one period of bursts as two stages.
    private var stages: [ArrivalProcess.Stage] = []
    private var stage = 0
    private var stageOperational = 0.0
    private var stageTime = 0.0

    // Diurnal: rate * (1 + amplitude * cos(omega * t - phase)).
    private var amplitude = 0.0
    private var omega = 0.0
    private var phase = 0.0
    private var waveOffset = 0.0
    private var lastSine = 0.0
    private var lastCosine = 1.0

    // Normalised gaps: how many are left in the current span and what each is multiplied with.
    private let normalized: Bool
    private var leftInSpan = 0
    private var spanFactor = 1.0

    /// Arrivals of `process` drawn from `stream`; `count` is the number of requests wanted, if there is one.
    init(_ process: ArrivalProcess, count: Int?, stream: RandomStream) {
        self.stream = stream
        switch process.gaps {
        case .constant: gap = .constant
        case .poisson: gap = .poisson
        case .gamma(let shape):
            gap = shape == 1 ? .poisson : shape.isInfinite ? .constant : .gamma
            self.shape = shape
        case .weibull(let shape):
            gap = shape == 1 ? .poisson : .weibull
            self.shape = shape
            scale = ContinuousSampling.weibullScale(shape: shape)
        }
        normalized = process.normalized && gap != .constant
        switch process.rate {
        case .infinite: profile = .infinite
        case .steady(let rate):
            profile = .steady
            self.rate = rate
            if normalized, let count { startSpan(count) }
        case .stages(let stages):
            profile = .stages
            self.stages = stages
            if normalized { startSpan(Self.requests(in: stages[0])) }
        case .bursts(let on, let off):
            profile = .bursts
            stages = [on, off]
        case .diurnal(let mean, let amplitude, let period, let peak):
            profile = .diurnal
            rate = mean
            self.amplitude = amplitude
            omega = 2 * Double.pi / period
            phase = omega * peak
            (lastSine, lastCosine) = ContinuousSampling.sineAndCosine(-phase)
            waveOffset = lastSine
        }
    }

    /// Requests of a stage when gaps are normalised.
    static func requests(in stage: ArrivalProcess.Stage) -> Int {
        Int(min((stage.rate * stage.duration).rounded(), 1e15))
    }

    /// The next arrival in seconds, never before the last one; nil when the process has ended.
    @inline(__always)
    mutating func next() -> Double? {
        switch profile {
        case .infinite: return 0
        case .steady:
            // Dividing the sum, not summing quotients, keeps constant gaps exact over millions of requests.
            operational += nextGap()
            return operational / rate
        case .stages: return nextInStages()
        case .bursts: return nextInBursts()
        case .diurnal: return nextInWave()
        }
    }

    @inline(__always)
    private mutating func nextGap() -> Double {
        let drawn: Double
        switch gap {
        case .constant:
            defer { isFirst = false }
            return isFirst ? 0 : 1
        case .poisson: drawn = ContinuousSampling.unitExponential(stream.positiveUniform())
        case .gamma: drawn = ContinuousSampling.unitMeanGamma(shape: shape, &stream)
        case .weibull:
            drawn = ContinuousSampling.unitMeanWeibull(stream.positiveUniform(), shape: shape, scale: scale)
        }
        return normalized ? drawn * spanFactor : drawn
    }

    /// Looks ahead over the next `count` gaps to find the factor that makes their sum `count`.
    private mutating func startSpan(_ count: Int) {
        leftInSpan = count
        spanFactor = 1
        let streamBefore = stream
        var sum = 0.0
        for _ in 0..<count { sum += nextGap() }
        stream = streamBefore
        spanFactor = sum > 0 ? Double(count) / sum : 1
    }

    private mutating func nextInStages() -> Double? {
        if normalized {
            while leftInSpan == 0 {
                guard advanceStage() else { return nil }
                operational = stageOperational
                startSpan(Self.requests(in: stages[stage]))
            }
            leftInSpan -= 1
            operational += nextGap()
            let current = stages[stage]
            let end = stageTime + current.duration
            return min(stageTime + (operational - stageOperational) / current.rate, end)
        }
        operational += nextGap()
        while operational >= stageOperational + stages[stage].rate * stages[stage].duration {
            guard advanceStage() else { return nil }
        }
        return stageTime + (operational - stageOperational) / stages[stage].rate
    }

    private mutating func advanceStage() -> Bool {
        guard stage + 1 < stages.count else { return false }
        let ended = stages[stage]
        stageOperational += normalized ? Double(Self.requests(in: ended)) : ended.rate * ended.duration
        stageTime += ended.duration
        stage += 1
        return true
    }

    private mutating func nextInBursts() -> Double? {
        operational += nextGap()
        let on = stages[0]
        let off = stages[1]
        let expectedOn = on.rate * on.duration
        let perPeriod = expectedOn + off.rate * off.duration
        let period = (operational / perPeriod).rounded(.down)
        let rest = max(0, operational - period * perPeriod)
        let start = period * (on.duration + off.duration)
        let within =
            rest < expectedOn || off.rate == 0 ? rest / on.rate : on.duration + (rest - expectedOn) / off.rate
        time = max(time, start + within)
        return time
    }

    /// Solves `expected(t) = operational` by Newton's method, kept inside a shrinking bracket because the rate may
    /// touch zero.
    ///
    /// The guess extrapolates rate and slope from the last arrival, so that one evaluation usually suffices.
    private mutating func nextInWave() -> Double? {
        operational += nextGap()
        // expected(t) = rate * (t + swing * (sin(omega t - phase) - sin(-phase)))
        let swing = amplitude / omega
        var low = max(time, operational / rate - 2 * swing)
        var high = max(operational / rate + 2 * swing, low)
        let missing = operational - rate * (time + swing * (lastSine - waveOffset))
        let lastRate = rate * (1 + amplitude * lastCosine)
        let wait = missing / lastRate
        let bend = rate * amplitude * omega * lastSine * wait * wait / (2 * lastRate)
        var t = lastRate > 0.05 * rate ? time + wait + bend : (low + high) / 2
        if !(t >= low && t <= high) { t = (low + high) / 2 }
        for _ in 0..<80 {
            (lastSine, lastCosine) = ContinuousSampling.sineAndCosine(omega * t - phase)
            let miss = rate * (t + swing * (lastSine - waveOffset)) - operational
            if miss > 0 { high = t } else { low = t }
            let newton = t - miss / (rate * (1 + amplitude * lastCosine))
            let isInside = newton >= low && newton <= high
            let following = isInside ? newton : (low + high) / 2
            let change = abs(following - t)
            t = following
            // Half a tick, or what the arithmetic can resolve.
            if change < max(5e-10, 4e-16 * t) { break }
        }
        time = max(time, t)
        return time
    }
}
