import ServingCore

/// Chooses a replica for each request. It knows what a router in front of real servers knows: what it has sent where,
/// what has come back, and the prompts; nothing of queues, output lengths or caches inside the servers.
struct Router {
    /// Data-parallel engines of one replica; those of replica r follow each other from `r * enginesPerReplica`.
    let enginesPerReplica: Int
    private let replicas: Int
    private let policy: RoutingPolicy
    private var turn = 0
    private var draws: RandomStream
    private var prefixes: PrefixDirectory?

    /// Beyond both limits affinity gives way to balance, as in SGLang's cache-aware router: the busiest replica has
    /// this many requests more than the least busy, and this many times as many.
    private static let unbalancedBy = 16
    private static let unbalancedTimes = 1.5
    /// Less of the prompt than this is not worth a detour.
    private static let worthwhileShare = 0.1

    init(_ configuration: SimulationConfiguration) {
        replicas = max(1, configuration.replicas)
        enginesPerReplica = max(1, configuration.engines / replicas)
        policy = configuration.router
        draws = RandomStream(seed: configuration.seed, purpose: "router")
        if replicas > 1, policy == .prefixAffinity {
            let blocks = configuration.scheduler.numBlocks - 1
            let (tokens, overflow) = blocks.multipliedReportingOverflow(
                by: configuration.scheduler.blockSize)
            let (all, tooMany) = tokens.multipliedReportingOverflow(by: enginesPerReplica)
            prefixes = PrefixDirectory(
                replicas: replicas, tokensPerReplica: overflow || tooMany ? .max : all)
        }
    }

    /// The replica that a request is sent to.
    /// - Complexity: O(engines), and for prefix affinity O(shared segments of the prompt) on top.
    mutating func choose(for request: borrowing IncomingRequest, engines: [EngineDriver]) -> Int {
        guard replicas > 1 else { return 0 }
        defer { turn = turn + 1 == replicas ? 0 : turn + 1 }
        switch policy {
        case .roundRobin: return turn
        case .leastLoaded: return leastLoaded(engines)
        case .powerOfTwoChoices:
            let first = Int(draws.next() % UInt64(replicas))
            var second = Int(draws.next() % UInt64(replicas - 1))
            if second >= first { second += 1 }
            return load(second, engines) < load(first, engines) ? second : first
        case .prefixAffinity:
            let chosen = nearest(to: request, engines)
            prefixes!.note(request, at: chosen)
            return chosen
        }
    }

    private func load(_ replica: Int, _ engines: [EngineDriver]) -> Int {
        var load = 0
        for i in replica * enginesPerReplica..<(replica + 1) * enginesPerReplica {
            load += engines[i].inSystem
        }
        return load
    }

    private func leastLoaded(_ engines: [EngineDriver]) -> Int {
        var best = turn
        var least = load(turn, engines)
        for k in 1..<replicas {
            let replica = (turn + k) % replicas
            let load = load(replica, engines)
            if load < least { (best, least) = (replica, load) }
        }
        return best
    }

    /// The replica with the longest known part of the prompt, the less loaded one on ties; the least loaded one when
    /// the fleet is out of balance or nothing worthwhile is known.
    private mutating func nearest(to request: borrowing IncomingRequest, _ engines: [EngineDriver]) -> Int {
        var most = 0
        var least = Int.max
        for replica in 0..<replicas {
            let load = load(replica, engines)
            most = max(most, load)
            least = min(least, load)
        }
        let isUnbalanced =
            most - least > Self.unbalancedBy && Double(most) > Self.unbalancedTimes * Double(least)
        if isUnbalanced { return leastLoaded(engines) }
        let known = prefixes!.knownTokens(of: request)
        var best = leastLoaded(engines)
        let worthwhile = max(1, Int(Self.worthwhileShare * Double(request.promptTokens)))
        var longest = max(known[best], worthwhile - 1)
        for k in 0..<replicas {
            let replica = (turn + k) % replicas
            let isLonger = known[replica] > longest
            let isAsLong = known[replica] == longest && known[best] == longest
            if isLonger || isAsLong && load(replica, engines) < load(best, engines) {
                best = replica
                longest = known[replica]
            }
        }
        return best
    }
}
