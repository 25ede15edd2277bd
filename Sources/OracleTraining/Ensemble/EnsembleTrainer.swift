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
        /// Groups found by splitting at values of single entries; the nearest answers alone.
        case split = "specialists by splits"
        /// As the design writes it: k-means with k = 5 on raw vectors, cosine, all specialists, temperature 0.5.
        case asWritten = "as written"
    }

    /// Settings.
    package struct Options: Sendable {
        /// Quantiles, ascending.
        package var quantiles = [0.1, 0.5, 0.9]
        /// Columns whose coefficients may be negative; nil lets none be.
        package var nonNegative = true
        /// Groups at most.
        package var mostSpecialists = 48
        /// Exactly this many groups; nil chooses.
        package var specialists: Int?
        /// Rows of a configuration that are enough to choose a form.
        package var rowsForChoice = 1500
        /// Seed of k-means.
        package var seed: UInt64 = 0
        /// Forms to compare.
        package var forms: [Form] = [.pooled, .embeddingAsFeatures, .similarity, .nearest, .learned, .split]

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
    }

    /// Configurations that have rows.
    package var present: [Int] { data.members.indices.filter { !data.members[$0].isEmpty } }

    /// Trains one form on some configurations.
    /// - Parameter joint: whether quantiles are fitted together so that they don't cross.
    package func train(_ form: Form, on configurations: [Int], joint: Bool = true) throws(InvalidInput)
        -> SpecialistModel
    {
        let logs = configurations.map { ConfigurationEmbedding.logarithmic(data.facts[$0]) }
        let standard = PointCloud.standardising(logs)
        let whole = ConfigurationEmbedding(
            similarity: .euclidean, means: standard.means, scales: standard.scales)
        func entries(_ chosen: [Int]) -> ConfigurationEmbedding {
            var embedding = whole
            for j in embedding.scales.indices where !chosen.contains(j) { embedding.scales[j] = 0 }
            return embedding
        }
        switch form {
        case .pooled, .embeddingAsFeatures:
            return try assemble(
                embedding: whole, labels: [Int](repeating: 0, count: configurations.count), top: 1,
                configurations: configurations, joint: joint, embedded: form == .embeddingAsFeatures)
        case .similarity:
            let labels = try similarityGroups(standard.cloud)
            return try assemble(
                embedding: whole, labels: labels, top: 2, configurations: configurations, joint: joint)
        case .nearest, .learned, .split:
            let search = StructureSearch(data, configurations: configurations, vectors: standard.cloud.points)
            let structure =
                form == .split
                ? search.searchSplits(most: options.mostSpecialists)
                : search.search(most: options.mostSpecialists)
            return try assemble(
                embedding: entries(structure.entries), labels: structure.labels,
                top: form == .learned ? 2 : 1,
                configurations: configurations, joint: joint, scattered: form == .split)
        case .asWritten:
            let raw = PointCloud(configurations.map { ConfigurationEmbedding.asWritten(data.facts[$0]) })
            let k = min(options.specialists ?? 5, Set(raw.points).count)
            let embedding = ConfigurationEmbedding(
                similarity: .cosine, means: [Double](repeating: 0, count: 14),
                scales: [Double](repeating: 1, count: 14))
            let labels = try KMeans.cluster(raw, k: k, restarts: 10, seed: 42).best.labels
            var model = try assemble(
                embedding: embedding, labels: labels, top: k, configurations: configurations, joint: false)
            model.temperature = 0.5
            return model
        }
    }

    /// Groups by the whole embedding: k-means or Ward, whichever has the better silhouette; one group below 0.25.
    package func similarityGroups(_ cloud: PointCloud) throws(InvalidInput) -> [Int] {
        let distinct = Set(cloud.points).count
        if let k = options.specialists {
            return try KMeans.cluster(cloud, k: k, restarts: 50, seed: options.seed).best.labels
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
                    try KMeans.cluster(cloud, k: k, restarts: 50, seed: options.seed).best)
            }
            for candidate in candidates {
                if let s = candidate.silhouette(cloud), s > best.silhouette { best = (s, candidate.labels) }
            }
        }
        return best.labels
    }

    private func assemble(
        embedding: ConfigurationEmbedding, labels: [Int], top: Int, configurations: [Int], joint: Bool,
        embedded: Bool = false, scattered: Bool = false
    ) throws(InvalidInput) -> SpecialistModel {
        let groups = (labels.max() ?? 0) + 1
        var specialists: [SpecialistModel.Specialist] = []
        var certified = true
        var reach: [Double] = []
        for g in 0..<groups {
            let members = labels.indices.filter { labels[$0] == g }.map { configurations[$0] }
            guard !members.isEmpty else { continue }
            let vectors = members.map { embedding.vector(data.facts[$0]) }
            // A group that is no ball needs all the places of its members to be found by.
            var places: [[Double]] = []
            for v in vectors where !places.contains(v) { places.append(v) }
            let centroid = (0..<(vectors[0].count)).map { j in
                vectors.map { $0[j] }.reduce(0, +) / Double(vectors.count)
            }
            for v in vectors { reach.append(PointCloud.squaredDistance(v, centroid).squareRoot()) }
            let own = embedding.similarity == .euclidean && scattered ? places : nil
            let fitted = try fit(members, joint: joint, embedding: embedded ? embedding : nil)
            certified = certified && fitted.certified
            specialists.append(.init(members: members, centroid: centroid, places: own, fits: fitted.fits))
        }
        // The softmax is as wide as configurations usually lie from their centroid; where all lie on it, as a third of the
        // way to the nearest other one.
        reach.sort()
        var width = reach.isEmpty ? 0 : reach[reach.count / 2]
        if width <= 1e-9 || scattered {
            var gaps: [Double] = []
            for (a, s) in specialists.enumerated() {
                let others = specialists.enumerated().filter { $0.offset != a }.map {
                    s.distance(to: $0.element)
                }
                if let least = others.min() { gaps.append(least) }
            }
            gaps.sort()
            width = gaps.isEmpty ? 1 : max(gaps[gaps.count / 2] / 3, 1e-6)
        }
        return SpecialistModel(
            embedding: embedding, temperature: width, topSpecialists: min(top, specialists.count),
            specialists: specialists, embeddingAsFeatures: embedded, certified: certified)
    }

    /// Quantile fits of the rows of some configurations.
    private func fit(
        _ configurations: [Int], joint: Bool, embedding: ConfigurationEmbedding?
    ) throws(InvalidInput) -> (fits: [QuantileFit], certified: Bool) {
        let chosen = configurations.flatMap { data.members[$0] }
        let weights = data.weights(chosen, configurations: configurations)
        let columns = data.features.count
        let extra = embedding == nil ? 0 : 14
        var x: [Double] = []
        x.reserveCapacity(chosen.count * (columns + extra))
        let vectors = embedding.map { e in data.facts.map { e.vector($0) } }
        for i in chosen {
            x += data.rows.row(i)
            if let vectors { x += vectors[data.configuration[i]] }
        }
        let design = try QuantileDesign.make(x, count: chosen.count, columns: columns + extra)
        let regression = try QuantileRegression(
            design: design, y: chosen.map { data.rows.targets[$0] },
            weights: weights)
        // Entries of the embedding have no sign to keep, nor has the constant beside them.
        let restraint = QuantileRegression.Restraint(
            nonNegative: options.nonNegative, signedColumns: extra > 0 ? columns : nil)
        if joint {
            let result = try NonCrossing.fit(regression, taus: options.quantiles, restraint: restraint)
            return (result.fits, result.certified)
        }
        let fits = options.quantiles.map { regression.fit(tau: $0, restraint: restraint) }
        return (fits, fits.allSatisfy(\.certified))
    }

    /// Losses of a model on a configuration's rows.
    package func losses(_ model: SpecialistModel, on configuration: Int) -> (
        pinball: Double, errors: [Double]
    ) {
        let columns = data.features.count
        let fits = model.models(for: data.facts[configuration], columns: columns)
        let middle = options.quantiles.indices.min {
            abs(options.quantiles[$0] - 0.5) < abs(options.quantiles[$1] - 0.5)
        }!
        var pinball = 0.0
        var errors: [Double] = []
        for i in data.members[configuration] {
            let y = data.rows.targets[i]
            let values = fits.map { $0(data.rows.row(i)) }
            errors.append(abs(values[middle] / y - 1))
            for (tau, q) in zip(options.quantiles, values.sorted()) {
                pinball += max(tau * (y - q), (tau - 1) * (y - q)) / y
            }
        }
        return (pinball / Double(errors.count * options.quantiles.count), errors)
    }

    /// Scores forms on configurations left out, `folds` at a time; one at a time when there are at most that many.
    /// - Throws: `InvalidInput` with fewer than two configurations.
    package func compare(
        _ forms: [Form], among configurations: [Int], folds: Int = 10
    ) throws(InvalidInput) -> [Score] {
        guard configurations.count > 1 else {
            throw InvalidInput(
                field: "configurations", value: "\(configurations.count)",
                "are too few to leave one out", accepted: "at least 2")
        }
        let count = min(folds, configurations.count)
        var scores: [Score] = []
        for form in forms {
            var pinball = [Double](repeating: .nan, count: data.facts.count)
            var median = pinball
            var all: [Double] = []
            for f in 0..<count {
                let inside = configurations.indices.filter { $0 % count != f }.map { configurations[$0] }
                let model = try train(form, on: inside, joint: false)
                for k in configurations.indices where k % count == f {
                    let c = configurations[k]
                    let result = losses(model, on: c)
                    pinball[c] = result.pinball
                    median[c] = Self.median(result.errors)
                    all += result.errors
                }
            }
            let mean = configurations.map { pinball[$0] }.reduce(0, +) / Double(configurations.count)
            scores.append(
                Score(
                    form: form, pinball: mean, medianError: Self.median(all), byConfiguration: median,
                    pinballByConfiguration: pinball))
        }
        return scores
    }

    /// The form that does best on configurations left out; the simpler one within half a percent.
    package func choose(among configurations: [Int]) throws(InvalidInput) -> (form: Form, scores: [Score]) {
        guard configurations.count > 1 else { return (.pooled, []) }
        let thin = try EnsembleTrainer(data.thinned(to: options.rowsForChoice), options: options)
        let scores = try thin.compare(options.forms, among: configurations)
        var best = 0
        for k in scores.indices where scores[k].pinball < scores[best].pinball * 0.995 { best = k }
        return (scores[best].form, scores)
    }

    static func median(_ values: [Double]) -> Double {
        guard !values.isEmpty else { return .nan }
        let sorted = values.sorted()
        let n = sorted.count
        return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2
    }
}
