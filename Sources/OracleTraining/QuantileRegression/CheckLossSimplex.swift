/// Exact minimiser of a sum of asymmetric absolute losses plus a linear term, by the long-step simplex method of Barrodale
/// and Roberts (1973) started from any vertex.
///
/// A vertex is a basis of as many rows with zero residual as there are coefficients. At each pivot one row leaves and the
/// line search runs past breakpoints until the slope turns, which is a weighted median. The dual values of the basis rows
/// prove optimality: each must lie within its row's slopes. Ties are broken by perturbing the observations and
/// undoing it. Cost per pivot: one pass over the rows of the blocks that move.
struct CheckLossSimplex {
    /// Which row of which block stands in the basis.
    struct Slot: Equatable {
        var block: Int
        var row: Int
    }

    /// How a run ended.
    enum Outcome: Equatable {
        case optimal
        /// The objective falls without end along some direction: the linear term outweighs the rows.
        case unbounded
        /// The pivot limit was reached, or no basis could be inverted.
        case stalled
    }

    /// Coefficients of the stacked vector: for each coefficient its padded position.
    let positions: [Int]
    /// Length of the stacked vector, in groups of four.
    let quads: Int
    /// Row blocks; several may share coefficients.
    var blocks: [LossRows]
    /// Linear part of the objective: `linear . beta`.
    var linear: [Double]
    /// Stacked, padded coefficients.
    var beta: [Double]
    /// One row per coefficient.
    var basis: [Slot] = []
    /// Dual value of each basis row.
    var dual: [Double] = []
    /// Pivots done so far.
    var pivots = 0

    var inverse: RowBlock
    /// `linear - sum of weight * row` over the rows outside the basis.
    var gradient: RowBlock
    var direction: RowBlock
    var breakpoints: [Breakpoint] = []
    var perturbed: [[Double]]?

    struct Breakpoint {
        var step: Double
        var weight: Double
        var block: Int32
        var row: Int32
    }

    /// Direction of the last pivot: along it the objective falls without end when a run ends as unbounded.
    var lastDirection: [Double] { (0..<4 * quads).map { direction.elements(0)[$0] } }

    var size: Int { positions.count }

    /// A program over `quads` groups of coefficients of which `positions` are used.
    init(positions: [Int], quads: Int, blocks: [LossRows], linear: [Double]) {
        self.positions = positions
        self.quads = quads
        self.blocks = blocks
        self.linear = linear
        beta = [Double](repeating: 0, count: 4 * quads)
        inverse = RowBlock(width: 4 * quads, count: positions.count)
        gradient = RowBlock(width: 4 * quads, count: 1)
        direction = RowBlock(width: 4 * quads, count: 1)
    }

    static let zeroResidual = 1e-11

    /// Pivots until the duals prove optimality.
    mutating func run(maxPivots: Int) -> Outcome {
        var stalls = 0
        var rounds = 0
        var sinceRefresh = 0
        var fresh = false
        let limit = pivots + maxPivots
        while true {
            let violation = price()
            guard let violation else {
                if !fresh {
                    guard refresh() else { return .stalled }
                    fresh = true
                    continue
                }
                guard perturbed != nil else { return .optimal }
                restoreObservations()
                guard refresh() else { return .stalled }
                rounds += 1
                stalls = 0
                continue
            }
            if pivots >= limit { break }
            fresh = false
            guard let step = pivot(violation) else {
                if sinceRefresh > 0 {
                    guard refresh() else { return .stalled }
                    sinceRefresh = 0
                    fresh = true
                    continue
                }
                if perturbed != nil { restoreObservations() }
                _ = refresh()
                return .unbounded
            }
            pivots += 1
            sinceRefresh += 1
            stalls = step <= 1e-13 ? stalls + 1 : 0
            if stalls > size + 20, perturbed == nil {
                if rounds >= 6 { break }
                perturbObservations(round: rounds)
                stalls = 0
                sinceRefresh = 64
            }
            if sinceRefresh >= 64 {
                guard refresh() else { return .stalled }
                sinceRefresh = 0
                fresh = true
            }
        }
        if perturbed != nil { restoreObservations() }
        _ = refresh()
        _ = price()
        return .stalled
    }

    /// Value of the objective at the present coefficients, by the rows' true residuals.
    var objective: Double {
        var sum = 0.0
        for (j, value) in linear.enumerated() { sum += value * beta[j] }
        for block in blocks {
            for i in 0..<block.count {
                let r = block.residual[i]
                sum += r > 0 ? block.above[i] * r : -block.below[i] * r
            }
        }
        return sum
    }
}
