import ServingCore

#if canImport(Glibc)
    import Glibc
#endif

/// The terms that depend on nothing but the number of tokens in the batch and in those of data-parallel peers, for one
/// deployment.
@usableFromInline
struct TokenFunctions: Sendable {
    /// Values in the order of `StepTerm` from `paddedTokens` on.
    typealias Values = (Double, Double, Double, Double, Double, Double, Double, Double)

    private let graphSizes: [Int]
    private let weightSeconds: Double
    private let flopSecondsPerToken: Double
    private let experts: Double
    private let expertsPerToken: Double
    private let expertsPerRank: Double
    private let expertRanks: Double
    /// Data-parallel engines whose tokens meet the same experts, besides this one.
    private let peers: Int

    init(facts: DeploymentFacts) {
        graphSizes = facts.cudaGraphSizes.filter { $0 > 0 }.sorted()
        weightSeconds = ratio(facts.denseWeightBytesPerRank, facts.memoryBandwidth)
        flopSecondsPerToken = ratio(facts.denseMatrixFlopsPerTokenPerRank, facts.peakFlops)
        experts = Double(max(0, facts.experts))
        expertsPerToken = Double(max(0, min(facts.expertsPerToken, facts.experts)))
        expertsPerRank = max(0, facts.expertsPerRank)
        expertRanks = Double(max(1, facts.expertParallelSize))
        peers = facts.experts > 0 ? max(1, facts.dataParallelSize) - 1 : 0
    }

    /// The smallest captured CUDA graph that holds the tokens; the tokens themselves beyond the largest
    /// (vLLM: `CudagraphDispatcher.dispatch`).
    func padded(_ tokens: Int) -> Int {
        guard tokens > 0, let largest = graphSizes.last, tokens <= largest else { return max(0, tokens) }
        var low = 0
        var high = graphSizes.count - 1
        while low < high {
            let middle = (low + high) / 2
            if graphSizes[middle] < tokens { low = middle + 1 } else { high = middle }
        }
        return graphSizes[low]
    }

    /// Values of the token functions.
    /// - Parameter peerTokens: of all peers together; nil for as many as `tokens` each.
    func values(_ tokens: Int, peerTokens: Int? = nil) -> Values {
        let padded = Double(padded(tokens))
        let elsewhere = self.peerTokens(peerTokens, beside: tokens)
        let (all, overflow) = tokens.addingReportingOverflow(elsewhere)
        let routed = overflow ? .max : all
        return (
            padded, max(0, padded - 128), max(0, padded - 512),
            tokens > 0 ? max(weightSeconds, padded * flopSecondsPerToken) : 0,
            distinctExperts(routed), expertLoadSpread(routed), rankLoadSpread(routed), Double(elsewhere)
        )
    }

    private func peerTokens(_ stated: Int?, beside tokens: Int) -> Int {
        guard peers > 0 else { return 0 }
        if let stated { return max(0, stated) }
        let (all, overflow) = max(0, tokens).multipliedReportingOverflow(by: peers)
        return overflow ? .max : all
    }

    /// Expected distinct experts per rank with routing uniform at random: E_rank (1 - (1 - k/E)^tokens).
    func distinctExperts(_ tokens: Int) -> Double {
        guard experts > 0, tokens > 0 else { return 0 }
        let share = expertsPerToken / experts
        guard share < 1 else { return expertsPerRank }
        return -expertsPerRank * expm1(Double(tokens) * log1p(-share))
    }

    /// Expected excess of the busiest of `parts` over the mean, in routed tokens: sqrt(2 ln parts x load), the
    /// extreme of as many nearly Poisson loads (Raab & Steger, 1998).
    private func loadSpread(_ tokens: Int, parts: Double) -> Double {
        guard experts > 0, parts > 1, tokens > 0 else { return 0 }
        let load = Double(tokens) * expertsPerToken / parts
        return (2 * log(parts) * load).squareRoot()
    }

    /// Excess of the busiest expert.
    func expertLoadSpread(_ tokens: Int) -> Double { loadSpread(tokens, parts: experts) }

    /// Excess of the busiest expert-parallel rank.
    func rankLoadSpread(_ tokens: Int) -> Double { loadSpread(tokens, parts: expertRanks) }
}
