/// How the configurations are gone through.
public enum Search: Sendable, Equatable {
    /// Every one, at its full length.
    case grid
    /// All on a short prefix of the requests, those that may be the best on longer ones, the last on all of them.
    case successiveHalving(Halving)
    /// For every one the highest rate at which all constraints hold.
    case highestRate(RateSearch)

    /// Settings of successive halving (Jamieson & Talwalkar, AISTATS 2016).
    public struct Halving: Sendable, Equatable {
        /// How much longer each prefix is than the one before.
        public var reduction = 3.0
        /// Requests of the first prefix; nil for a share of all of them.
        public var firstRequests: Int?
        /// Configurations that compete with each other. Groups don't depend on shards, so that shards together do what one
        /// run does.
        public var groupSize = 32
    }

    /// Settings of the search for the highest rate.
    public struct RateSearch: Sendable, Equatable {
        /// The field that is varied.
        public var field = "request-rate"
        /// Where to begin; nil for one that the search finds.
        public var from = 1.0
        /// Lowest and highest rate of interest.
        public var lowest = 0.001
        /// See `lowest`.
        public var highest = 1e6
        /// The highest rate that holds and the lowest that doesn't are this close in the end, relative.
        public var tolerance = 0.005
    }

    /// Its name in a specification.
    public var name: String {
        switch self {
        case .grid: "grid"
        case .successiveHalving: "successive-halving"
        case .highestRate: "highest-rate"
        }
    }
}

/// How configurations are drawn from axes instead of taking all of them.
public struct Sampling: Sendable, Equatable {
    /// Ways to draw.
    public enum Method: String, Sendable, CaseIterable {
        /// Each axis on its own.
        case random
        /// Every axis cut into as many strata as there are samples, each stratum used once (McKay, Beckman & Conover,
        /// Technometrics 21, 1979).
        case latinHypercube = "latin-hypercube"
    }

    /// The way.
    public var method: Method
    /// How many.
    public var count: Int
    /// Seed of the draws.
    public var seed: UInt64
}
