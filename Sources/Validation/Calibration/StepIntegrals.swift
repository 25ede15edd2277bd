import LatencyOracle
import ServingCore
import Simulation

/// Feature sums of a simulated run over any span of time: what a request's latency is made of.
///
/// A request that is in the system from `a` to `b` waits for every step between, whoever's tokens it computes: its
/// time is the sum of their times and of the pauses. A step that lies partly in the span counts in part.
struct StepIntegrals {
    /// One moment at which the sums are wanted.
    struct Moment {
        var time: Ticks
        var engine: Int
        /// Whether a token was delivered: the moment is then the end of the last step before it.
        var isDelivery = false
    }

    /// Sums up to each moment, `columns` values each in the order of the moments.
    private(set) var sums: [Double]
    /// Time up to each moment in which the moment's engine ran no step, seconds.
    private(set) var idle: [Double]
    /// The moments, those of deliveries moved to the ends of their steps.
    private(set) var times: [Ticks]
    private let columns: Int

    /// Feature sums from the start of a run up to each moment.
    /// - Parameter steps: in order of time for each engine.
    /// - Complexity: O(steps x features + moments log moments); memory for the moments alone.
    init(_ steps: [StepRecord], moments: [Moment], features: StepFeatureEvaluator) {
        let columns = features.count
        self.columns = columns
        sums = [Double](repeating: 0, count: moments.count * columns)
        idle = [Double](repeating: 0, count: moments.count)
        times = moments.map(\.time)
        let order = moments.indices.sorted { (moments[$0].time, $0) < (moments[$1].time, $1) }
        for engine in Set(moments.map(\.engine)).sorted() {
            var total = [Double](repeating: 0, count: columns)
            var values = total
            var busy: Ticks = 0
            var lastEnd: Ticks = 0
            var next = 0
            let own = order.filter { moments[$0].engine == engine }
            for step in steps where step.engine == engine {
                guard next < own.count else { break }
                values.withUnsafeMutableBufferPointer { features.evaluate(step.state, into: $0) }
                while next < own.count, moments[own[next]].time < step.end {
                    let moment = own[next]
                    if moments[moment].isDelivery { times[moment] = lastEnd }
                    let inside = max(0, times[moment] - step.start)
                    let share = Double(inside) / Double(step.end - step.start)
                    for column in 0..<columns {
                        sums[moment * columns + column] = total[column] + share * values[column]
                    }
                    idle[moment] = (times[moment] - busy - inside).seconds
                    next += 1
                }
                for column in 0..<columns { total[column] += values[column] }
                busy += step.end - step.start
                lastEnd = step.end
            }
            for moment in own[next...] {
                for column in 0..<columns { sums[moment * columns + column] = total[column] }
                if moments[moment].isDelivery { times[moment] = lastEnd }
                idle[moment] = (times[moment] - busy).seconds
            }
        }
    }

    /// Writes the feature sums between two moments.
    func between(_ from: Int, _ to: Int, into row: UnsafeMutableBufferPointer<Double>) {
        for column in 0..<columns {
            row[column] = sums[to * columns + column] - sums[from * columns + column]
        }
    }
}
