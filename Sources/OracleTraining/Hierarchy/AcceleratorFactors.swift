import LatencyOracle
import ServingCore

/// Factors of each accelerator and weight format, drawn towards those that all share: first of dense work, on rows of
/// dense models, then of experts, on rows of mixtures of experts.
struct AcceleratorFactors {
    typealias Scope = SharedFactors.Scope

    /// How firmly factors are held at the shared ones.
    struct Shrinkage {
        /// Of dense work.
        var dense = 0.02
        /// Of experts: few models have experts, and kernels differ by their shape.
        var experts = 0.5
        /// What is tried.
        static let candidates = [0.005, 0.02, 0.1, 0.5, 2]
    }

    /// Rows to learn from, with what they come from.
    struct Rows {
        /// Values of all features, the constant among them.
        var design: DesignRows
        /// Accelerator and weight format.
        var scopes: [Scope]
        /// Deployments.
        var groups: [Int]
        /// Whether the model is a mixture of experts.
        var hasExperts: [Bool]
        /// Which columns are work of experts.
        var isExpert: [Bool]

        /// Some of them.
        func selecting(_ members: [Int]) -> Rows {
            Rows(
                design: design.selecting(members), scopes: members.map { scopes[$0] },
                groups: members.map { groups[$0] }, hasExperts: members.map { hasExperts[$0] },
                isExpert: isExpert)
        }
    }

    /// Fewer rows than this have no factors of their own.
    static let leastRows = 60

    let rows: Rows
    let shared: SharedFactors

    init(_ rows: Rows) {
        self.rows = rows
        shared = SharedFactors(
            rows.design, scopes: rows.scopes, groups: rows.groups, isExpert: rows.isExpert)
    }

    /// Rows of a scope.
    func members(_ scope: Scope, hasExperts: Bool) -> [Int] {
        rows.scopes.indices.filter {
            rows.scopes[$0].accelerator == scope.accelerator
                && (scope.format == nil || rows.scopes[$0].format == scope.format)
                && rows.hasExperts[$0] == hasExperts
        }
    }

    /// Factors of a scope with dense work fitted, experts as all accelerators share them.
    func dense(_ scope: Scope, _ shrinkage: Double) -> [Double] {
        var prior = shared.coefficients(scope)
        var own = members(scope, hasExperts: false)
        if own.count < Self.leastRows, scope.format != nil {
            let wide = Scope(accelerator: scope.accelerator)
            let dense = shared.coefficients(wide)
            for column in prior.indices where !rows.isExpert[column] { prior[column] = dense[column] }
            own = members(wide, hasExperts: false)
        }
        guard own.count >= Self.leastRows else { return prior }
        return fit(own, prior: prior, shrinkage, experts: false)
    }

    /// Factors of a scope with experts fitted on top of the dense work.
    func experts(_ scope: Scope, on base: [Double], _ shrinkage: Double) -> [Double] {
        let own = members(scope, hasExperts: true)
        guard scope.format != nil, !own.isEmpty else { return base }
        return fit(own, prior: base, shrinkage, experts: true)
    }

    private func fit(_ own: [Int], prior: [Double], _ shrinkage: Double, experts: Bool) -> [Double] {
        ShrunkenFit.fit(
            rows.design.selecting(own), weights: equalWeights(own.map { rows.groups[$0] }),
            free: prior.indices.filter { rows.isExpert[$0] == experts }, prior: prior, shrinkage: shrinkage
        ).coefficients
    }
}
