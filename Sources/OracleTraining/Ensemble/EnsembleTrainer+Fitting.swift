import LatencyOracle
import ServingCore

/// Fits the models of a grouping.
extension EnsembleTrainer {
    /// A grouping and how it is to be used.
    struct Plan {
        /// Where configurations stand.
        var embedding: ConfigurationEmbedding
        /// Group of each configuration.
        var labels: [Int]
        /// How many of the nearest specialists count.
        var top: Int
        /// What everything outside a group weighs in its fit, in units of one configuration.
        var share: Double
        /// Whether the embedding's entries are further columns.
        var embedded = false
        /// Width of the softmax over distances; nil takes it from how far configurations lie from their centroids.
        var temperature: Double?

        /// Whether another plan gives the same models, however many of them count.
        func hasSameModels(as other: Plan) -> Bool {
            labels == other.labels && embedded == other.embedded
                && (share == other.share && embedding == other.embedding && temperature == other.temperature
                    || !embedded && !labels.contains { $0 != labels[0] })
        }
    }

    /// The models that a plan gives when only some rows are known, one list of quantiles per configuration, fitted as those of
    /// all rows are.
    func models(_ plan: Plan, rows: [Int], quantiles: [Double], solver: Solver) throws(InvalidInput)
        -> [[QuantileFit]]
    {
        let part = try ConfiguredRows(
            features: data.features, rows: data.rows.selecting(rows),
            configuration: rows.map { data.configuration[$0] }, facts: data.facts, names: data.names)
        var settings = options
        settings.quantiles = quantiles
        let trainer = try EnsembleTrainer(part, options: settings)
        // A configuration that has no rows yet is served by its neighbours.
        var own = plan
        own.labels = present.indices.filter { !part.members[present[$0]].isEmpty }.map { plan.labels[$0] }
        let model = try trainer.assemble(own, configurations: trainer.present, solver: solver)
        return data.facts.map { model.models(for: $0, columns: data.features.count) }
    }

    /// The models of every group.
    func assemble(_ plan: Plan, configurations: [Int], solver: Solver) throws(InvalidInput)
        -> SpecialistModel
    {
        let groups = (plan.labels.max() ?? 0) + 1
        var specialists: [SpecialistModel.Specialist] = []
        var certified = true
        var reach: [Double] = []
        for g in 0..<groups {
            let members = plan.labels.indices.filter { plan.labels[$0] == g }.map { configurations[$0] }
            guard !members.isEmpty else { continue }
            let vectors = members.map { plan.embedding.vector(data.facts[$0]) }
            let centroid = (0..<(vectors[0].count)).map { j in
                vectors.map { $0[j] }.reduce(0, +) / Double(vectors.count)
            }
            for v in vectors { reach.append(PointCloud.squaredDistance(v, centroid).squareRoot()) }
            let fitted = try fit(members, plan, of: configurations, solver: solver)
            certified = certified && fitted.certified
            specialists.append(.init(members: members, centroid: centroid, fits: fitted.fits))
        }
        return SpecialistModel(
            embedding: plan.embedding, temperature: plan.temperature ?? Self.temperature(specialists, reach),
            topSpecialists: min(plan.top, specialists.count), specialists: specialists,
            embeddingAsFeatures: plan.embedded, certified: certified)
    }

    /// The softmax is as wide as configurations usually lie from their centroid; where all lie on it, as a third of the
    /// way to the nearest other one.
    private static func temperature(_ specialists: [SpecialistModel.Specialist], _ reach: [Double]) -> Double
    {
        let sorted = reach.sorted()
        let width = sorted.isEmpty ? 0 : sorted[sorted.count / 2]
        guard width <= 1e-9 else { return width }
        var gaps: [Double] = []
        for (a, s) in specialists.enumerated() {
            let others = specialists.enumerated().filter { $0.offset != a }.map { s.distance(to: $0.element) }
            if let least = others.min() { gaps.append(least) }
        }
        gaps.sort()
        return gaps.isEmpty ? 1 : max(gaps[gaps.count / 2] / 3, 1e-6)
    }

    /// Quantile fits of the rows of some configurations, with a thinned share of the others'.
    private func fit(_ members: [Int], _ plan: Plan, of configurations: [Int], solver: Solver)
        throws(InvalidInput) -> (fits: [QuantileFit], certified: Bool)
    {
        let columns = data.features.count
        if solver == .leastSquares {
            let x = grams.solve(members, pool: configurations, share: plan.share)
            let fits = options.quantiles.map {
                QuantileFit(
                    tau: $0, intercept: x[0], coefficients: Array(x[1...]), objective: .nan,
                    dualObjective: .nan, certified: false, rowsBelow: 0, rowsOn: 0, pivots: 0)
            }
            return (fits, false)
        }
        let extra = plan.embedded ? ConfigurationEmbedding.names.count : 0
        let most = options.rowsPerCoefficient.map { max(1, $0 * (columns + extra + 1) / members.count) }
        var chosen = Self.thinned(members.map { data.members[$0] }, to: most ?? .max)
        var weights =
            options.relative
            ? data.weights(chosen, configurations: members) : [Double](repeating: 1, count: chosen.count)
        let others = configurations.filter { !members.contains($0) }
        if plan.share > 0, !others.isEmpty {
            let foreign = Self.thinned(
                others.map { data.members[$0] }, to: max(1, 12 * (columns + 1) / others.count))
            // All of them together weigh `share` of what one member weighs.
            let one = Double(chosen.count) / Double(members.count) * plan.share
            let scale = one / Double(max(1, foreign.count))
            let own = data.weights(foreign, configurations: others)
            chosen += foreign
            weights += own.map { $0 * scale }
        }
        var x: [Double] = []
        x.reserveCapacity(chosen.count * (columns + extra))
        let vectors = plan.embedded ? data.facts.map { plan.embedding.vector($0) } : []
        for i in chosen {
            x += data.rows.row(i)
            if plan.embedded { x += vectors[data.configuration[i]] }
        }
        if options.nonNegative, options.penalty == 0 {
            // Entries of the embedding have no sign to keep, nor has the constant beside them.
            let start = grams.solve(members, pool: configurations, share: plan.share)
            let y = chosen.map { data.rows.targets[$0] }
            if solver != .separate {
                return try NestedQuantiles.fit(
                    x, columns: columns + extra, y: y, weights: weights, taus: options.quantiles,
                    signed: extra > 0 ? columns : nil, start: start, exact: solver == .joint)
            }
            let regression = BoundedQuantileRegression(x, columns: columns + extra, y: y, weights: weights)
            let bounds = BoundedQuantileRegression.Bounds.nonNegative(columns + extra + 1) {
                extra > 0 && ($0 == 0 || $0 > columns)
            }
            var fits: [QuantileFit] = []
            // Every quantile lies near the one before it.
            var near = (0...(columns + extra)).map { $0 < start.count ? start[$0] : 0 }
            for tau in options.quantiles {
                let fit = try regression.fit(tau: tau, bounds: bounds, from: near)
                near = [fit.intercept] + fit.coefficients
                fits.append(fit)
            }
            return (fits, fits.allSatisfy(\.certified))
        }
        let design = try QuantileDesign.make(x, count: chosen.count, columns: columns + extra)
        let regression = try QuantileRegression(
            design: design, y: chosen.map { data.rows.targets[$0] }, weights: weights)
        var restraint = QuantileRegression.Restraint(
            penalty: options.penalty, nonNegative: options.nonNegative,
            signedColumns: extra > 0 ? columns : nil)
        restraint.naturalPenalty = options.naturalPenalty
        if solver == .joint {
            let result = try NonCrossing.fit(regression, taus: options.quantiles, restraint: restraint)
            return (result.fits, result.certified)
        }
        let fits = options.quantiles.map { regression.fit(tau: $0, restraint: restraint) }
        return (fits, fits.allSatisfy(\.certified))
    }

    /// At most `most` of each list, evenly spread.
    static func thinned(_ lists: [[Int]], to most: Int) -> [Int] {
        var kept: [Int] = []
        for rows in lists {
            let n = min(rows.count, most)
            for k in 0..<n { kept.append(rows[k * rows.count / n]) }
        }
        return kept
    }
}
