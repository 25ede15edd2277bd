import ServingCore

/// Computes the terms of a step for one deployment.
public struct StepTermEvaluator: Sendable {
    private let functions: TokenFunctions
    private let window: Double

    /// For the deployment of these facts.
    public init(facts: DeploymentFacts) {
        functions = TokenFunctions(facts: facts)
        window = Double(max(0, facts.slidingWindow))
    }

    /// Writes the terms of a step, in the order of `StepTerm`.
    /// - Precondition: `terms` holds `StepTerm.count` elements.
    public func evaluate(_ state: StepState, into terms: UnsafeMutableBufferPointer<Double>) {
        precondition(terms.count == StepTerm.count)
        let prefill = Double(state.prefillTokens)
        let decode = Double(state.decodeRequests)
        let running = Double(state.runningRequests)
        let usage = state.kvUsageRatio
        terms[StepTerm.one.rawValue] = 1
        terms[StepTerm.prefillTokens.rawValue] = prefill
        terms[StepTerm.prefillRequests.rawValue] = Double(state.prefillRequests)
        terms[StepTerm.prefillContextTokens.rawValue] = Double(state.prefillContextTokens)
        terms[StepTerm.prefillAttentionPairs.rawValue] = state.prefillAttentionPairs
        terms[StepTerm.decodeRequests.rawValue] = decode
        terms[StepTerm.decodeContextTokens.rawValue] = Double(state.decodeContextTokens)
        terms[StepTerm.runningRequests.rawValue] = running
        terms[StepTerm.hasPrefill.rawValue] = state.prefillTokens > 0 ? 1 : 0
        terms[StepTerm.waitingRequests.rawValue] = Double(state.waitingRequests)
        terms[StepTerm.windowedPrefillPairs.rawValue] = min(state.prefillAttentionPairs, prefill * window)
        terms[StepTerm.windowedDecodeContext.rawValue] = min(
            Double(state.decodeContextTokens), decode * window)
        terms[StepTerm.blocksToOffload.rawValue] = Double(state.blocksToOffload)
        terms[StepTerm.blocksToRestore.rawValue] = Double(state.blocksToRestore)
        terms[StepTerm.kvUsage.rawValue] = usage
        terms[StepTerm.kvUsageSquared.rawValue] = usage * usage
        terms[StepTerm.prefillTokensSquared.rawValue] = prefill * prefill
        terms[StepTerm.decodeRequestsSquared.rawValue] = decode * decode
        terms[StepTerm.prefillTimesDecode.rawValue] = prefill * decode
        terms[StepTerm.prefillTimesKvUsage.rawValue] = prefill * usage
        terms[StepTerm.decodeTimesRunning.rawValue] = decode * running
        terms[StepTerm.queuedRequests.rawValue] = Double(
            min(state.waitingRequests, StepTerm.mostQueuedRequests))
        terms[StepTerm.prefillBesideDecodes.rawValue] =
            prefill * Double(min(state.decodeRequests, StepTerm.mostDecodesBesidePrefill))
        terms[StepTerm.sustainedPrefillTokens.rawValue] = Double(
            max(0, state.prefillTokens - StepTerm.burstTokens))
        let (tokens, overflow) = state.prefillTokens.addingReportingOverflow(state.decodeRequests)
        let values = functions.values(overflow ? .max : tokens, peerTokens: state.peerTokens)
        terms[StepTerm.paddedTokens.rawValue] = values.0
        terms[StepTerm.tokensAbove128.rawValue] = values.1
        terms[StepTerm.tokensAbove512.rawValue] = values.2
        terms[StepTerm.matrixRoofline.rawValue] = values.3
        terms[StepTerm.distinctExperts.rawValue] = values.4
        terms[StepTerm.expertLoadSpread.rawValue] = values.5
        terms[StepTerm.rankLoadSpread.rawValue] = values.6
        terms[StepTerm.peerTokens.rawValue] = values.7
    }
}

/// Computes a list of features for many steps of one deployment: the trainer's side of the feature definitions.
public struct StepFeatureEvaluator: Sendable {
    /// Number of features.
    public let count: Int
    private let terms: StepTermEvaluator
    private let starts: [Int]
    private let entries: [(term: Int, coefficient: Double)]

    /// Features in the order given, for the deployment of these facts.
    public init(features: [StepFeature], facts: DeploymentFacts) {
        count = features.count
        terms = StepTermEvaluator(facts: facts)
        var starts = [0]
        var entries: [(term: Int, coefficient: Double)] = []
        for feature in features {
            entries += feature.form(facts).nonzero
            starts.append(entries.count)
        }
        self.starts = starts
        self.entries = entries
    }

    /// Writes the feature values of a step.
    /// - Precondition: `values` holds `count` elements.
    /// - Complexity: O(terms + non-zero coefficients); does not allocate.
    public func evaluate(_ state: StepState, into values: UnsafeMutableBufferPointer<Double>) {
        precondition(values.count == count)
        withUnsafeTemporaryAllocation(of: Double.self, capacity: StepTerm.count) { scratch in
            terms.evaluate(state, into: scratch)
            for feature in 0..<count {
                var value = 0.0
                for entry in starts[feature]..<starts[feature + 1] {
                    value += entries[entry].coefficient * scratch[entries[entry].term]
                }
                values[feature] = value
            }
        }
    }

    /// The feature values of a step, as an array.
    public func values(of state: StepState) -> [Double] {
        var result = [Double](repeating: 0, count: count)
        result.withUnsafeMutableBufferPointer { evaluate(state, into: $0) }
        return result
    }
}
