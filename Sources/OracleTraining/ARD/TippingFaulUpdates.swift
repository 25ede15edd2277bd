import LinearAlgebra

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Evidence maximisation one feature at a time: add, re-estimate or delete whichever raises the evidence most
/// (Tipping & Faul, AISTATS 2003). Every step raises the evidence and pruning is exact: no threshold.
///
/// Works on the Gram matrix, so its cost does not depend on the number of rows.
public struct TippingFaulUpdates: Sendable {
    /// Stops when no step gains this much log evidence.
    public var gainTolerance = 1e-9
    /// And the noise precision changes by less than this fraction.
    public var noiseTolerance = 1e-10
    /// Stops after so many steps.
    public var maximumSteps = 5_000
    /// With fewer rows per feature than this the evidence has several maxima worth comparing: a second start from
    /// all features is tried and the better result kept.
    public var secondStartBelowRowsPerFeature = 5.0

    /// The defaults.
    public init() {}

    /// Fits; nil when there is nothing to fit (a constant target).
    ///
    /// `start` continues from an earlier fit of nearly the same data.
    public func fit(_ gram: StandardizedGram, start: SparsePosterior? = nil) -> (
        posterior: SparsePosterior, steps: Int
    )? {
        guard gram.targetScale > 0, gram.rows > 1 else { return nil }
        var best = climb(gram, from: start.map { State($0) } ?? State(single: gram))
        let few = gram.rows < secondStartBelowRowsPerFeature * Double(gram.columns.count)
        if start == nil, few || best == nil {
            var mackay = MacKayUpdates()
            mackay.hyperprior = 1e-12
            mackay.pruneAbove = 1e9
            mackay.tolerance = 1e-8
            mackay.maximumIterations = 2_000
            if let full = mackay.fit(gram), let other = climb(gram, from: State(full.posterior)) {
                if best == nil || other.posterior.logEvidence > best!.posterior.logEvidence { best = other }
            }
        }
        return best
    }

    private struct State {
        var active: [Int]
        var precisions: [Double]
        var noise: Double

        init(_ posterior: SparsePosterior) {
            active = posterior.active
            precisions = posterior.precisions
            noise = posterior.noisePrecision
        }

        /// The single feature that explains most.
        init(single gram: StandardizedGram) {
            let n = gram.rows
            var best = 0
            for j in gram.columns.indices where abs(gram.projection[j]) > abs(gram.projection[best]) {
                best = j
            }
            guard !gram.columns.isEmpty, gram.projection[best] != 0 else {
                active = []
                precisions = []
                noise = n / gram.targetSquares
                return
            }
            let explained = gram.projection[best] * gram.projection[best] / gram.gram[best, best]
            let residual = max(gram.targetSquares - explained, 1e-9 * gram.targetSquares)
            noise = n / residual
            let weight = gram.projection[best] / gram.gram[best, best]
            active = [best]
            precisions = [1 / max(weight * weight, 1e-12)]
        }
    }

    private enum Move {
        case add(Int, Double)
        case reestimate(Int, Double)
        case delete(Int)
    }

    private func climb(_ gram: StandardizedGram, from start: State) -> (
        posterior: SparsePosterior, steps: Int
    )? {
        var state = start
        // Noise below rounding error of the sums of squares means a perfect fit: held there.
        let greatestNoise = 1e14 * gram.rows / gram.targetSquares
        guard var posterior = make(gram, state) else { return nil }
        for step in 1...maximumSteps {
            let (gain, move) = bestMove(gram, posterior)
            if let move, gain > gainTolerance {
                var next = state
                switch move {
                case .add(let column, let precision):
                    next.active.append(column)
                    next.precisions.append(precision)
                case .reestimate(let position, let precision): next.precisions[position] = precision
                case .delete(let position):
                    next.active.remove(at: position)
                    next.precisions.remove(at: position)
                }
                // A move that breaks the factorisation (a duplicate to working precision) ends the climb.
                guard let moved = make(gram, next) else { return (posterior, step) }
                state = next
                posterior = moved
            }
            let freedom = gram.rows - posterior.determinedness.reduce(0, +)
            let squares = posterior.squaredError(gram)
            let noise = min(max(freedom, 1e-9) / max(squares, .leastNormalMagnitude), greatestNoise)
            let change = abs(noise - state.noise) / noise
            if gain <= gainTolerance, change < noiseTolerance { return (posterior, step) }
            var next = state
            next.noise = noise
            guard let moved = make(gram, next) else { return (posterior, step) }
            state = next
            posterior = moved
        }
        return (posterior, maximumSteps)
    }

    private func make(_ gram: StandardizedGram, _ state: State) -> SparsePosterior? {
        SparsePosterior(gram, active: state.active, precisions: state.precisions, noisePrecision: state.noise)
    }

    /// The step with the greatest gain in log evidence (equations 20 to 22 and 32 to 37 of the paper).
    private func bestMove(_ gram: StandardizedGram, _ posterior: SparsePosterior) -> (Double, Move?) {
        let b = posterior.noisePrecision
        let active = posterior.active
        var position = [Int](repeating: -1, count: gram.columns.count)
        for (i, j) in active.enumerated() { position[j] = i }
        var bestGain = 0.0
        var best: Move?
        for j in gram.columns.indices {
            let cross = active.map { gram.gram[j, $0] }
            let sparsity = b * gram.gram[j, j] - b * b * posterior.covariance.quadratic(cross)
            let quality = b * gram.projection[j] - b * dot(cross, posterior.weights)
            var s = sparsity
            var q = quality
            let i = position[j]
            if i >= 0 {
                let a = posterior.precisions[i]
                guard a > sparsity else { continue }
                s = a * sparsity / (a - sparsity)
                q = a * quality / (a - sparsity)
            }
            let theta = q * q - s
            let gain: Double
            let move: Move
            if theta > 0 {
                let precision = s * s / theta
                guard precision.isFinite, precision > 0, s > 1e-10 * b * gram.gram[j, j] else { continue }
                if i >= 0 {
                    let delta = 1 / precision - 1 / posterior.precisions[i]
                    let inside = 1 + sparsity * delta
                    guard inside > 0 else { continue }
                    gain = 0.5 * (quality * quality * delta / inside - log(inside))
                    move = .reestimate(i, precision)
                } else {
                    gain =
                        0.5
                        * ((quality * quality - sparsity) / sparsity + log(sparsity / (quality * quality)))
                    move = .add(j, precision)
                }
            } else if i >= 0 {
                let a = posterior.precisions[i]
                gain = 0.5 * (quality * quality / (sparsity - a) - log(1 - sparsity / a))
                move = .delete(i)
            } else {
                continue
            }
            if gain > bestGain {
                bestGain = gain
                best = move
            }
        }
        return (bestGain, best)
    }
}
