import LatencyOracle
import ServingCore

/// Scores of fits to the beginning of every run on the stretches of time that follow.
///
/// A run is cut into twelfths. Fits to the first 3, 5 and 8 of them are each scored until the next one takes over, so that
/// every stretch is judged once, by a fit to what came before it, up to about half as far ahead as the fit reaches back.
struct LaterBlocks {
    let trainer: EnsembleTrainer
    let plan: EnsembleTrainer.Plan
    let options: TrainingOptions
    /// Row indices of each run and deployment, in order of time.
    let runs: [[Int]]
    /// Name of the calibration group of each configuration.
    let scopes: [String]

    /// Blocks of a run at most.
    private static let most = 12
    /// First fit's share of a run, and how much longer the next fit reaches back.
    private static let first = 0.25
    private static let growth = 1.5
    /// Rows per coefficient that a scored fit is made to, at most. A quantile fit to n rows passes through about one of them per
    /// coefficient, which moves its coverage by k / n: one percent here, below what blocks of time can tell.
    private static let rowsPerCoefficient = 100

    /// Where fits end, in blocks of a run.
    static func origins(_ blocks: Int) -> [Int] {
        var result: [Int] = []
        var next = max(1, (Double(blocks) * first).rounded())
        while next < Double(blocks) {
            result.append(Int(next))
            next = max(next + 1, (next * growth).rounded())
        }
        return result
    }

    /// The scored blocks; none where no fit has rows enough.
    /// - Throws: `InvalidInput` when the rows can't be fitted.
    func scored() throws(InvalidInput) -> [BlockCalibration.Block] {
        let count = runs.reduce(0) { $0 + $1.count }
        guard count / 4 >= 20 else { return [] }
        let columns = trainer.data.rows.columns
        let shares = Self.origins(Self.most).map { Double($0) / Double(Self.most) }
        // A fit to fewer rows says more of itself than of the rows that follow.
        var usable = shares.filter { $0 * Double(count) >= 4 * Double(columns + 1) }
        if usable.isEmpty { usable = [shares[shares.count - 1]] }
        let coefficients = columns + 1 + (plan.embedded ? ConfigurationEmbedding.names.count : 0)
        let enough = Self.rowsPerCoefficient * coefficients * ((plan.labels.max() ?? 0) + 1)
        var result: [BlockCalibration.Block] = []
        for (index, share) in usable.enumerated() {
            let next = index + 1 < usable.count ? usable[index + 1] : 1
            var early: [[Int]] = []
            var late: [Stretch] = []
            for own in runs {
                // Blocks of five rows at least.
                let blocks = min(Self.most, max(4, own.count / 5))
                let cut = Int((Double(blocks) * share).rounded())
                let end = Int((Double(blocks) * next).rounded())
                early.append(Array(own[..<(own.count * cut / blocks)]))
                for b in cut..<max(cut, end) {
                    let rows = own[(own.count * b / blocks)..<(own.count * (b + 1) / blocks)]
                    guard !rows.isEmpty else { continue }
                    late.append(
                        Stretch(
                            rows: rows, start: Double(b) / Double(blocks),
                            end: Double(b + 1) / Double(blocks)))
                }
            }
            let most = max(50, enough / max(1, early.count))
            result += try score(late, by: EnsembleTrainer.thinned(early, to: most).sorted())
        }
        return result
    }

    /// Rows that follow one another, and where they lie in their run.
    private struct Stretch {
        var rows: ArraySlice<Int>
        var start: Double
        var end: Double
    }

    /// Scores of stretches by a fit to earlier rows.
    private func score(_ late: [Stretch], by early: [Int]) throws(InvalidInput) -> [BlockCalibration.Block] {
        let design = trainer.data.rows
        let quantiles = [options.quantiles[0], options.quantiles[options.quantiles.count - 1]]
        let fits = try trainer.models(plan, rows: early, quantiles: quantiles, solver: .smoothed)
        return late.map { stretch in
            let configuration = trainer.data.configuration[stretch.rows[stretch.rows.startIndex]]
            let own = fits[configuration]
            let scores = stretch.rows.map { k in
                let row = design.row(k)
                let (a, b) = (own[0](row), own[1](row))
                let (low, high) = (min(a, b), max(a, b))
                let width = max(high - low, 1e-9 * abs(high), 1e-300)
                let y = design.targets[k]
                return max(low - y, y - high) / width
            }
            return BlockCalibration.Block(
                group: scopes[configuration], start: stretch.start, end: stretch.end, scores: scores)
        }
    }
}
