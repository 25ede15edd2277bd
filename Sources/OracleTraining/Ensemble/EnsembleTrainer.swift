import LatencyOracle
import ServingCore

/// Trains quantile models on rows of several configurations and chooses how many, by configurations left out.
package struct EnsembleTrainer {
    /// How configurations share models.
    package enum Form: String, Sendable, CaseIterable, Codable {
        /// One model for all, the embedding left out.
        case pooled = "one model"
        /// One model for all with the embedding as further features.
        case embeddingAsFeatures = "one model with embedding"
        /// Groups by all entries of the embedding, k by silhouette; the two nearest are averaged.
        case similarity = "specialists by similarity"
        /// Groups by the entries that matter; the nearest answers alone.
        case nearest = "nearest specialist"
        /// Groups by the entries that matter; the two nearest are averaged.
        case learned = "specialists by learned similarity"
        /// As the design writes it: k-means with k = 5 on raw vectors, cosine, all specialists, temperature 0.5, an L1
        /// penalty of 1, absolute errors.
        case asWritten = "as written"
    }

    /// Settings.
    package struct Options: Sendable {
        /// Quantiles, ascending.
        package var quantiles = [0.1, 0.5, 0.9]
        /// Whether no coefficient of a feature may be negative.
        package var nonNegative = true
        /// Groups at most.
        package var mostSpecialists = 48
        /// Exactly this many groups; nil chooses.
        package var specialists: Int?
        /// Rows that are enough to choose a form, over all configurations.
        package var rowsForChoice = 3000
        /// Rows per coefficient that a fit is made to, at most; nil takes all.
        var rowsPerCoefficient: Int?
        /// Errors count relative to the measurement, and every configuration the same.
        package var relative = true
        /// L1 penalty on natural coefficients, as the design writes it; 0 leaves it out.
        package var naturalPenalty = 0.0
        /// L1 penalty on standardised coefficients; 0 leaves it out.
        package var penalty = 0.0
        /// Seed of k-means.
        package var seed: UInt64 = 0
        /// Forms to compare.
        package var forms: [Form] = [.pooled, .embeddingAsFeatures, .similarity, .nearest, .learned]

        /// Defaults.
        package init() {}
    }

    /// How a form did on configurations left out.
    package struct Score: Sendable, Equatable {
        /// The form.
        package var form: Form
        /// Mean relative pinball loss over quantiles, every configuration with the same say.
        package var pinball: Double
        /// Median absolute relative error of the middle quantile, over rows.
        package var medianError: Double
        /// The same for each configuration; NaN for one that was not scored.
        package var byConfiguration: [Double]
        /// Pinball loss of each configuration.
        package var pinballByConfiguration: [Double]
    }

    package let data: ConfiguredRows
    package let options: Options
    /// What least-squares fits of groups need.
    let grams: ConfigurationGrams

    /// Takes rows and settings.
    /// - Throws: `InvalidInput` for quantiles out of order, or more specialists than distinct configurations.
    package init(_ data: ConfiguredRows, options: Options = Options()) throws(InvalidInput) {
        try NonCrossing.check(options.quantiles)
        let present = data.members.indices.filter { !data.members[$0].isEmpty }
        if let k = options.specialists {
            let distinct = Set(present.map { ConfigurationEmbedding.logarithmic(data.facts[$0]) }).count
            guard k >= 1, k <= distinct else {
                throw InvalidInput(
                    .usage, field: "--specialists", value: "\(k)",
                    "can't be formed from \(distinct) distinct configurations", accepted: "1 to \(distinct)")
            }
        }
        self.data = data
        self.options = options
        grams = ConfigurationGrams(data, nonNegative: options.nonNegative)
    }

    /// Configurations that have rows.
    package var present: [Int] { data.members.indices.filter { !data.members[$0].isEmpty } }

    /// What fits the models of a group.
    package enum Solver: Sendable {
        /// Exact quantiles, fitted together so that they don't cross.
        case joint
        /// Exact quantiles, each alone.
        case separate
        /// Quantiles near the optimum that don't cross: enough to compare forms and to score later blocks. Exact ones, each
        /// alone, where coefficients may be negative or are penalised.
        case smoothed
        /// Relative least squares from sums of squares, for every quantile the same: enough to see which grouping is worth
        /// the exact fit.
        case leastSquares
    }

    /// Trains one form on some configurations.
    package func train(_ form: Form, on configurations: [Int], solver: Solver = .joint) throws(InvalidInput)
        -> SpecialistModel
    {
        try assemble(try plan(form, on: configurations), configurations: configurations, solver: solver)
    }

    /// How a form groups configurations; `known` is the grouping found already, where the form searches for one.
    func plan(
        _ form: Form, on configurations: [Int], structure known: StructureSearch.Structure? = nil
    ) throws(InvalidInput) -> Plan {
        let logs = configurations.map { ConfigurationEmbedding.logarithmic(data.facts[$0]) }
        let standard = PointCloud.standardising(logs)
        var plan = Plan(
            embedding: ConfigurationEmbedding(
                similarity: .euclidean, means: standard.means, scales: standard.scales),
            labels: [Int](repeating: 0, count: configurations.count), top: 1, share: 0)
        switch form {
        case .pooled: break
        case .embeddingAsFeatures: plan.embedded = true
        case .similarity:
            plan.labels = try similarityGroups(standard.cloud)
            plan.top = 2
            plan.share = StructureSearch.usualShare
        case .nearest, .learned:
            let structure = known ?? structure(of: configurations)
            for j in plan.embedding.scales.indices where !structure.entries.contains(j) {
                plan.embedding.scales[j] = 0
            }
            plan.labels = structure.labels
            plan.top = form == .learned ? 2 : 1
            plan.share = structure.share
        case .asWritten:
            let raw = PointCloud(configurations.map { ConfigurationEmbedding.asWritten(data.facts[$0]) })
            let k = min(options.specialists ?? 5, Set(raw.points).count)
            plan.embedding = ConfigurationEmbedding(
                similarity: .cosine, means: [Double](repeating: 0, count: 14),
                scales: [Double](repeating: 1, count: 14))
            plan.labels = try KMeans.cluster(raw, k: k, restarts: 10, seed: 42).best.labels
            plan.top = k
            plan.temperature = 0.5
        }
        return plan
    }

    /// The grouping that predicts configurations left out best.
    package func structure(of configurations: [Int]) -> StructureSearch.Structure {
        let logs = configurations.map { ConfigurationEmbedding.logarithmic(data.facts[$0]) }
        var search = StructureSearch(
            grams, configurations: configurations, vectors: PointCloud.standardising(logs).cloud.points)
        return search.search(most: options.mostSpecialists)
    }

    /// Groups by the whole embedding: k-means or Ward, whichever has the better silhouette; one group below 0.25.
    package func similarityGroups(_ cloud: PointCloud) throws(InvalidInput) -> [Int] {
        let distinct = Set(cloud.points).count
        if let k = options.specialists {
            return try KMeans.cluster(cloud, k: min(k, distinct), restarts: 50, seed: options.seed).best
                .labels
        }
        var best: (silhouette: Double, labels: [Int]) = (
            0.25, [Int](repeating: 0, count: cloud.points.count)
        )
        let ward = WardClustering(cloud)
        guard distinct > 2 else { return best.labels }
        for k in 2...max(2, min(options.mostSpecialists, distinct - 1)) {
            var candidates = [ward.cut(k)]
            if cloud.points.count <= 60 {
                candidates.append(
                    try KMeans.cluster(cloud, k: k, restarts: 20, seed: options.seed).best)
            }
            for candidate in candidates {
                if let s = candidate.silhouette(cloud), s > best.silhouette { best = (s, candidate.labels) }
            }
        }
        return best.labels
    }
}
