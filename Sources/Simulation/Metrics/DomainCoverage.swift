import LatencyOracle
import ServingCore

/// Every n-th step of a run, n doubling as the run grows: 512 to 1,023 steps, evenly spread.
struct StepSample: Sendable {
    private static let limit = 1024

    private(set) var states: [StepState] = []
    private var stride = 1
    private var left = 1

    /// Counts a step; most are passed by.
    /// - Returns: whether it is one to keep.
    @inline(__always)
    mutating func isNextDue() -> Bool {
        left &-= 1
        return left == 0
    }

    /// Keeps the step just counted.
    @inline(never)
    mutating func keep(_ state: StepState) {
        states.append(state)
        left = stride
        guard states.count == Self.limit else { return }
        // The kept ones stand at 0, 1, 2, … strides; every other one stays.
        states = Swift.stride(from: 0, to: states.count, by: 2).map { states[$0] }
        stride *= 2
        // The last kept stands one old stride back.
        left = stride - stride / 2
    }
}

/// How much of a run lay inside the region that the oracle's training data covered.
public struct DomainCoverage: Equatable, Sendable {
    /// A feature that left the range of the training data.
    public struct Excursion: Equatable, Sendable {
        /// Name in the oracle's feature set.
        public var feature: String
        /// Share of the steps in which it did.
        public var share: Double
        /// How far at most, in widths of the training range; infinite if it never varied in training.
        public var distance: Double
    }

    /// Share of the steps inside.
    public var share: Double
    /// Steps looked at, evenly spread over the run.
    public var sampledSteps: Int
    /// Features outside their range, by the share of steps, then by distance.
    public var excursions: [Excursion]
    /// Share of the steps with every feature in its range and a combination of them that training never saw.
    public var unusualCombinations: Double

    /// Holds steps against the domain of an oracle; nil without steps.
    /// - Complexity: some microseconds a step.
    public init?(_ states: [StepState], oracle: CompiledOracle) {
        guard !states.isEmpty else { return nil }
        var inside = 0
        var unusual = 0
        var order: [String] = []
        var found: [String: (steps: Int, distance: Double)] = [:]
        for state in states {
            let outside = oracle.outOfRange(state)
            for (feature, distance) in outside {
                if found[feature] == nil { order.append(feature) }
                let last = found[feature, default: (0, 0)]
                found[feature] = (last.steps + 1, max(last.distance, distance))
            }
            guard outside.isEmpty else { continue }
            if oracle.relativeLeverage(state) <= 1 { inside += 1 } else { unusual += 1 }
        }
        let count = Double(states.count)
        share = Double(inside) / count
        sampledSteps = states.count
        unusualCombinations = Double(unusual) / count
        excursions = order.map { name in
            let (steps, distance) = found[name]!
            // Far beyond any range stands for a feature that had none.
            return Excursion(
                feature: name, share: Double(steps) / count, distance: distance > 1e6 ? .infinity : distance)
        }.sorted { ($1.share, $1.distance, $0.feature) < ($0.share, $0.distance, $1.feature) }
    }
}
