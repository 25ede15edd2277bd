/// Factors on physical features that all accelerators share, up to one factor on dense work and one on experts for each
/// accelerator and weight format.
///
/// Kernels of one accelerator in one format are slow or fast together, so a few rows tell its two factors; what a feature
/// costs beside another needs many models to tell, and comes from all accelerators. Shape and scales are fitted in turns,
/// each by robust non-negative least squares of relative errors.
struct SharedFactors {
    /// What has scales of its own.
    struct Scope: Hashable {
        var accelerator: String
        /// nil: all formats of the accelerator.
        var format: String?
    }

    /// How firmly scales are held at those of the accelerator, and an accelerator's at 1.
    static let scaleShrinkage = 0.01
    /// Turns of shape and scales.
    static let turns = 3

    /// Factor of each feature at scale 1.
    private(set) var shape: [Double]
    /// Factors on dense work and on experts.
    private(set) var scales: [Scope: (dense: Double, experts: Double)] = [:]
    private let isExpert: [Bool]

    /// Learns from rows of physical features.
    /// - Parameters:
    ///   - scopes: accelerator and weight format of each row.
    ///   - groups: deployment of each row; all count the same.
    ///   - isExpert: which columns are work of routed experts.
    init(_ rows: DesignRows, scopes: [Scope], groups: [Int], isExpert: [Bool]) {
        self.isExpert = isExpert
        let columns = Array(0..<rows.columns)
        let none = [Double](repeating: 0, count: rows.columns)
        let weights = equalWeights(groups)
        var order: [Scope] = []
        var members: [Scope: [Int]] = [:]
        for (row, scope) in scopes.enumerated() {
            for one in [Scope(accelerator: scope.accelerator), scope] {
                if members[one] == nil { order.append(one) }
                members[one, default: []].append(row)
            }
        }
        shape = ShrunkenFit.fit(rows, weights: weights, free: columns, prior: none, shrinkage: 0).coefficients
        for turn in 1...Self.turns {
            // Accelerators come before their formats in `order`.
            for scope in order {
                let own = members[scope] ?? []
                let wide = scales[Scope(accelerator: scope.accelerator)] ?? (1, 1)
                let known = scope.format == nil ? (1, 1) : wide
                let fit = ShrunkenFit.fit(
                    parts(rows, own), weights: equalWeights(own.map { groups[$0] }), free: [0, 1],
                    prior: [known.0, known.1], shrinkage: Self.scaleShrinkage)
                scales[scope] = (fit.coefficients[0], fit.coefficients[1])
            }
            guard turn < Self.turns else { break }
            var features = rows.features
            for row in 0..<rows.count {
                let scale = scales[scopes[row]] ?? (1, 1)
                for column in columns {
                    features[row * rows.columns + column] *= isExpert[column] ? scale.1 : scale.0
                }
            }
            let scaled = DesignRows(columns: rows.columns, features: features, targets: rows.targets)
            shape =
                ShrunkenFit.fit(scaled, weights: weights, free: columns, prior: none, shrinkage: 0)
                .coefficients
        }
    }

    /// The shape's dense work and experts, row by row: two columns.
    private func parts(_ rows: DesignRows, _ members: [Int]) -> DesignRows {
        var result = DesignRows(columns: 2, capacity: members.count)
        for member in members {
            var sums = [0.0, 0.0]
            for (column, value) in rows.row(member).enumerated() {
                sums[isExpert[column] ? 1 : 0] += value * shape[column]
            }
            result.append(sums, target: rows.targets[member])
        }
        return result
    }

    /// The shape at a scope's scales; its accelerator's where the scope is new, 1 where that is, too.
    func coefficients(_ scope: Scope) -> [Double] {
        let scale = scales[scope] ?? scales[Scope(accelerator: scope.accelerator)] ?? (1, 1)
        return shape.indices.map { shape[$0] * (isExpert[$0] ? scale.1 : scale.0) }
    }
}
