import ServingCore
import Simulation

extension Scenario {
    /// Most reruns that may be asked for.
    public static let mostUncertaintyReruns = 10_000
}

/// Runs a scenario again and again with oracles drawn from what the training data leave open, on several cores.
///
/// All reruns share the requests and every random stream (common random numbers), so that they differ by the oracle
/// alone. Which rerun a thread takes changes nothing: draw `k` depends on the seed and `k`.
public struct UncertaintyReruns: Sendable {
    /// How many.
    public var count: Int
    /// Threads at most.
    public var threads = availableCores
    /// Asked now and then; true ends the reruns with `CancellationError`.
    public var isCancelled: @Sendable () -> Bool = { false }
    /// Told after each rerun, from any thread.
    public var didFinishOne: @Sendable () -> Void = {}

    /// Reruns on all cores.
    public init(count: Int) { self.count = count }

    /// The spread of every figure.
    /// - Throws: `InvalidInput` when a request cannot be drawn, `CancellationError` when cancelled.
    public func bands(of prepared: PreparedScenario) throws -> UncertaintyBands {
        let draws = OracleDraws(count: count, for: prepared)
        let metrics = try parallelMap(count, threads: threads) { index in
            var own = prepared
            own.configuration.oracle = try draws.oracle(index, for: prepared)
            own.configuration.checksDomain = false
            own.configuration.collectsRecords = false
            own.configuration.collectsSteps = false
            var run = try own.makeRun()
            repeat {
                if isCancelled() { throw CancellationError() }
            } while try run.advance(events: 1 << 14)
            didFinishOne()
            return run.finish().metrics
        }
        return UncertaintyBands(metrics)
    }
}
