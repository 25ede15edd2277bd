import ServingCore

/// A linear step-time model with one deployment's facts folded in: some twenty multiply-adds and one table
/// look-up per step, without allocation.
///
/// Whatever depends on the batch's token count alone (CUDA-graph padding, distinct experts, hinges, the matrix
/// roofline) is one table, exact for every count up to the largest batch, as long as data-parallel peers do as much.
///
/// A class, because a struct of this size would be copied whenever it is asked.
public final class CompiledStepModel: Sendable {
    @usableFromInline let constant: Double
    @usableFromInline let prefillTokens: Double
    @usableFromInline let prefillRequests: Double
    @usableFromInline let prefillContextTokens: Double
    @usableFromInline let prefillAttentionPairs: Double
    @usableFromInline let decodeRequests: Double
    @usableFromInline let decodeContextTokens: Double
    @usableFromInline let runningRequests: Double
    @usableFromInline let hasPrefill: Double
    @usableFromInline let prefillBesideDecodes: Double
    @usableFromInline let sustainedPrefillTokens: Double
    @usableFromInline let queuedRequests: Double
    /// Whether any of the coefficients below is not 0.
    @usableFromInline let hasRareTerms: Bool
    @usableFromInline let waitingRequests: Double
    @usableFromInline let windowedPrefillPairs: Double
    @usableFromInline let windowedDecodeContext: Double
    @usableFromInline let blocksToOffload: Double
    @usableFromInline let blocksToRestore: Double
    @usableFromInline let kvUsage: Double
    @usableFromInline let kvUsageSquared: Double
    @usableFromInline let prefillTokensSquared: Double
    @usableFromInline let decodeRequestsSquared: Double
    @usableFromInline let prefillTimesDecode: Double
    @usableFromInline let prefillTimesKvUsage: Double
    @usableFromInline let decodeTimesRunning: Double
    @usableFromInline let window: Double
    /// Contribution of the token functions by batch tokens.
    @usableFromInline let byTokens: [Double]
    private let tail: TokenFunctions
    private let tailCoefficients: [Double]

    /// Longest table: beyond it the token functions are computed (a batch of 16,384 tokens is rare).
    static let longestTable = 16_384

    /// Folds a form for the deployment of these facts.
    public init(form: LinearForm, facts: DeploymentFacts) {
        constant = form[.one]
        prefillTokens = form[.prefillTokens]
        prefillRequests = form[.prefillRequests]
        prefillContextTokens = form[.prefillContextTokens]
        prefillAttentionPairs = form[.prefillAttentionPairs]
        decodeRequests = form[.decodeRequests]
        decodeContextTokens = form[.decodeContextTokens]
        runningRequests = form[.runningRequests]
        hasPrefill = form[.hasPrefill]
        prefillBesideDecodes = form[.prefillBesideDecodes]
        sustainedPrefillTokens = form[.sustainedPrefillTokens]
        queuedRequests = form[.queuedRequests]
        waitingRequests = form[.waitingRequests]
        windowedPrefillPairs = form[.windowedPrefillPairs]
        windowedDecodeContext = form[.windowedDecodeContext]
        blocksToOffload = form[.blocksToOffload]
        blocksToRestore = form[.blocksToRestore]
        kvUsage = form[.kvUsage]
        kvUsageSquared = form[.kvUsageSquared]
        prefillTokensSquared = form[.prefillTokensSquared]
        decodeRequestsSquared = form[.decodeRequestsSquared]
        prefillTimesDecode = form[.prefillTimesDecode]
        prefillTimesKvUsage = form[.prefillTimesKvUsage]
        decodeTimesRunning = form[.decodeTimesRunning]
        hasRareTerms = form.coefficients[
            StepTerm.waitingRequests.rawValue..<StepTerm.queuedRequests.rawValue
        ].contains { $0 != 0 }
        window = Double(max(0, facts.slidingWindow))
        tail = TokenFunctions(facts: facts)
        tailCoefficients = Array(form.coefficients[StepTerm.firstTokenFunction...])
        let limit = max(facts.maxNumBatchedTokens, facts.maxNumSeqs, 0)
        let length = min(limit, Self.longestTable) + 1
        let functions = tail
        let coefficients = tailCoefficients
        if coefficients.contains(where: { $0 != 0 }) {
            byTokens = (0..<length).map { Self.apply(coefficients, functions.values($0)) }
        } else {
            byTokens = [Double](repeating: 0, count: length)
        }
    }

    /// The model's value for a step, exactly the dot product of coefficients and features (up to rounding).
    @inlinable @inline(__always)
    public func callAsFunction(_ state: borrowing StepState) -> Double {
        let prefill = Double(state.prefillTokens)
        let decode = Double(state.decodeRequests)
        var seconds = constant
        // Most steps only decode, and each sum waits for the one before.
        let counts = state.prefillTokens | state.prefillRequests | state.prefillContextTokens
        let pairs = state.prefillAttentionPairs
        if counts != 0 || pairs != 0 {
            seconds =
                seconds + prefillTokens * prefill + prefillRequests * Double(state.prefillRequests)
                + prefillContextTokens * Double(state.prefillContextTokens)
                + prefillAttentionPairs * pairs
        }
        seconds =
            seconds + decodeRequests * decode + decodeContextTokens * Double(state.decodeContextTokens)
            + runningRequests * Double(state.runningRequests)
        if state.prefillTokens > 0 {
            let beside = Double(min(state.decodeRequests, StepTerm.mostDecodesBesidePrefill))
            seconds += hasPrefill + prefillBesideDecodes * prefill * beside
            if state.prefillTokens > StepTerm.burstTokens {
                seconds += sustainedPrefillTokens * Double(state.prefillTokens - StepTerm.burstTokens)
            }
        }
        if state.waitingRequests > 0 {
            seconds += queuedRequests * Double(min(state.waitingRequests, StepTerm.mostQueuedRequests))
        }
        if hasRareTerms { seconds += rareTerms(state, prefill, decode) }
        let tokens = state.prefillTokens &+ state.decodeRequests
        if tokens >= 0, tokens < byTokens.count, state.peerTokens == nil {
            seconds += byTokens[tokens]
        } else {
            seconds += beyondTable(tokens, peerTokens: state.peerTokens)
        }
        return seconds
    }

    @inlinable @inline(__always)
    func rareTerms(_ state: borrowing StepState, _ prefill: Double, _ decode: Double) -> Double {
        let usage = state.kvUsageRatio
        let running = Double(state.runningRequests)
        let load =
            waitingRequests * Double(state.waitingRequests)
            + windowedPrefillPairs * min(state.prefillAttentionPairs, prefill * window)
            + windowedDecodeContext * min(Double(state.decodeContextTokens), decode * window)
        let transfers =
            blocksToOffload * Double(state.blocksToOffload) + blocksToRestore * Double(state.blocksToRestore)
        let pressure = usage * (kvUsage + kvUsageSquared * usage + prefillTimesKvUsage * prefill)
        let products =
            prefill * (prefillTokensSquared * prefill + prefillTimesDecode * decode)
            + decode * (decodeRequestsSquared * decode + decodeTimesRunning * running)
        return load + transfers + pressure + products
    }

    @usableFromInline
    func beyondTable(_ tokens: Int, peerTokens: Int?) -> Double {
        Self.apply(tailCoefficients, tail.values(tokens < 0 ? 0 : tokens, peerTokens: peerTokens))
    }

    private static func apply(_ c: [Double], _ v: TokenFunctions.Values) -> Double {
        let dense = c[0] * v.0 + c[1] * v.1 + c[2] * v.2 + c[3] * v.3
        return dense + c[4] * v.4 + c[5] * v.5 + c[6] * v.6 + c[7] * v.7
    }
}
