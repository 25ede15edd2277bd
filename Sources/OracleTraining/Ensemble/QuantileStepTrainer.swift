import LatencyOracle
import ServingCore

/// Fits quantile models of step time to a data set: one for all configurations, or specialists.
///
/// The last quarter of every run calibrates the interval of a fit to the rest, per configuration where it has
/// rows enough; then everything is fitted again to all rows and the widening is folded into the coefficients, for
/// an interval widened in proportion to its width is still linear.
public struct QuantileStepTrainer: Sendable {
    /// How.
    public var options: TrainingOptions

    /// A trainer.
    public init(_ options: TrainingOptions) { self.options = options }

    /// What came out.
    public struct Outcome: Sendable {
        /// The model.
        public var model: StepModel
        /// How it came about.
        public var report: EnsembleReport
    }

    /// Fits the rows of the indices given.
    /// - Throws: `InvalidInput` for too few rows, or more specialists than distinct configurations.
    public func fit(_ data: StepDataSet, rows: [Int]) throws -> Outcome {
        guard rows.count > 2 else {
            throw InvalidInput(
                .badData, field: "rows", value: "\(rows.count)", "are too few to fit anything",
                accepted: "at least 3")
        }
        let features = Array(options.features.step.dropFirst())
        let design = StepTimeTrainer(options).designRows(data, rows: rows, features: features)
        let configured = try configuredRows(data, rows, design, features)
        var ensembleOptions = EnsembleTrainer.Options()
        ensembleOptions.quantiles = options.quantiles
        ensembleOptions.specialists = options.specialists
        // Physical features never shorten a step; the other sets hold terms of either sign.
        ensembleOptions.nonNegative =
            !options.asWritten && (options.nonnegative || options.features.name == "physics")
        if options.specialists != nil { ensembleOptions.forms = [.similarity] }
        let trainer = try EnsembleTrainer(configured, options: ensembleOptions)
        let present = trainer.present
        var form = EnsembleTrainer.Form.pooled
        var scores: [EnsembleTrainer.Score] = []
        if options.method == .ensemble {
            if options.asWritten {
                form = .asWritten
            } else if present.count > 1 {
                let choice = try trainer.choose(among: present)
                form = choice.form
                scores = choice.scores
            }
        }
        var specialists = try trainer.train(form, on: present, joint: !options.asWritten)
        if let top = options.topSpecialists {
            specialists.topSpecialists = min(top, specialists.specialists.count)
        }
        let calibrated =
            options.asWritten ? nil : try calibration(data, rows, design, features, form, ensembleOptions)
        var model = stepModel(specialists, features, widening: calibrated?.pooled.above ?? 0)
        model.domain = StepTimeTrainer(options).domain(design, features)
        model.minimumSeconds = (design.targets.min() ?? 0) * 0.5
        var own: [ScopedStepModel] = []
        for c in present {
            guard let interval = calibrated?.byGroup[Self.scope(configured.facts[c])], present.count > 1
            else { continue }
            var one = specialists
            one.specialists = [
                .init(
                    members: [c], centroid: specialists.specialists[0].centroid,
                    fits: specialists.models(for: configured.facts[c], columns: features.count))
            ]
            one.embeddingAsFeatures = false
            var scoped = stepModel(one, features, widening: interval.above)
            scoped.domain = model.domain
            scoped.minimumSeconds = model.minimumSeconds
            own.append(
                ScopedStepModel(scope: ModelScope(configuration: configured.facts[c]), model: scoped))
        }
        if !own.isEmpty { model.specialised = own }
        let report = try report(
            form, scores, specialists, trainer, calibrated: calibrated, names: configured.names)
        return Outcome(model: model, report: report)
    }

    /// Deployments that the artifact can't tell apart are calibrated together.
    private static func scope(_ facts: DeploymentFacts) -> String {
        ModelScope(configuration: facts).description
    }

    private func configuredRows(
        _ data: StepDataSet, _ rows: [Int], _ design: DesignRows, _ features: [StepFeature]
    ) throws(InvalidInput) -> ConfiguredRows {
        try ConfiguredRows(
            features: features.map(\.name), rows: design, configuration: rows.map { data.group[$0] },
            facts: data.groups.map(\.facts), names: data.groups.map(\.name))
    }

    /// Conformal offsets from the last quarter of each run of a fit to the earlier rows; nil with too few rows.
    private func calibration(
        _ data: StepDataSet, _ rows: [Int], _ design: DesignRows, _ features: [StepFeature],
        _ form: EnsembleTrainer.Form, _ settings: EnsembleTrainer.Options
    ) throws -> GroupedConformal? {
        var byRun: [Int: [Int]] = [:]
        for k in rows.indices { byRun[data.run[rows[k]], default: []].append(k) }
        var early: [Int] = []
        var late: [Int] = []
        for run in byRun.keys.sorted() {
            let own = byRun[run] ?? []
            let cut = own.count - own.count / 4
            early += own[..<cut]
            late += own[cut...]
        }
        guard late.count >= 20, early.count > 2 else { return nil }
        early.sort()
        let part = try configuredRows(
            data, early.map { rows[$0] }, design.selecting(early), features)
        let trainer = try EnsembleTrainer(part, options: settings)
        let fitted = try trainer.train(form, on: trainer.present, joint: false)
        let fits = data.groups.map { fitted.models(for: $0.facts, columns: features.count) }
        var lower: [Double] = []
        var upper: [Double] = []
        for k in late {
            let values = fits[data.group[rows[k]]].map { $0(design.row(k)) }.sorted()
            lower.append(values[0])
            upper.append(values[values.count - 1])
        }
        let first = options.quantiles[0]
        let last = options.quantiles[options.quantiles.count - 1]
        guard last > first else { return nil }
        return try GroupedConformal(
            lower: lower, upper: upper, y: late.map { design.targets[$0] },
            groups: late.map { Self.scope(data.groups[data.group[rows[$0]]].facts) },
            alpha: 1 - (last - first))
    }

    /// The artifact's form. A widening by a share of the width is linear in the two outer quantiles.
    private func stepModel(
        _ model: SpecialistModel, _ features: [StepFeature], widening: Double
    ) -> StepModel {
        let columns = features.count
        // Narrowing by half a width or more would turn the interval over.
        let q = widening.isFinite ? max(widening, -0.4) : 0
        func quantileModels(_ fits: [QuantileFit]) -> [QuantileModel] {
            fits.indices.map { k in
                let fit = fits[k]
                let last = fits.count - 1
                func widened(_ value: (QuantileFit) -> Double) -> Double {
                    let low = value(fits[0])
                    let high = value(fits[last])
                    if last > 0, k == 0 { return low - q * (high - low) }
                    if last > 0, k == last { return high + q * (high - low) }
                    return value(fit)
                }
                var coefficients = [Coefficient(feature: "constant", value: widened { $0.intercept })]
                for j in 0..<columns {
                    let value = widened { $0.coefficients[j] }
                    if value != 0 {
                        coefficients.append(Coefficient(feature: features[j].name, value: value))
                    }
                }
                let entries = (columns..<fit.coefficients.count).map { j in
                    widened { $0.coefficients[j] }
                }
                return QuantileModel(
                    tau: fit.tau, coefficients: coefficients, embedding: entries.isEmpty ? nil : entries)
            }
        }
        guard model.specialists.count > 1 || model.embeddingAsFeatures else {
            var single = StepModel(kind: .quantile, featureSet: options.features.name)
            single.quantiles = quantileModels(model.specialists[0].fits)
            return single
        }
        var ensemble = StepModel(kind: .ensemble, featureSet: options.features.name)
        ensemble.ensemble = SpecialistEnsemble(
            embedding: model.embedding, temperature: model.temperature,
            topSpecialists: model.topSpecialists,
            specialists: model.specialists.enumerated().map { index, specialist in
                .init(
                    name: "specialist-\(index + 1)", centroid: specialist.centroid,
                    quantiles: quantileModels(specialist.fits), places: specialist.places)
            })
        return ensemble
    }

    private func report(
        _ form: EnsembleTrainer.Form, _ scores: [EnsembleTrainer.Score], _ model: SpecialistModel,
        _ trainer: EnsembleTrainer, calibrated: GroupedConformal?, names: [String]
    ) throws(InvalidInput) -> EnsembleReport {
        let present = trainer.present
        let cloud = PointCloud.standardising(
            present.map { ConfigurationEmbedding.logarithmic(trainer.data.facts[$0]) }
        ).cloud
        var labels = [Int](repeating: 0, count: present.count)
        for (g, specialist) in model.specialists.enumerated() {
            for (k, c) in present.enumerated() where specialist.members.contains(c) { labels[k] = g }
        }
        let grouping = Clustering(points: cloud.points, labels: labels)
        var report = EnsembleReport(
            form: form.rawValue,
            compared: scores.map {
                .init(form: $0.form.rawValue, pinball: $0.pinball, medianError: $0.medianError)
            },
            specialists: model.specialists.map { $0.members.map { names[$0] } },
            entries: ConfigurationEmbedding.names.indices.filter {
                model.embedding.scales.indices.contains($0) && model.embedding.scales[$0] > 0
            }.map { ConfigurationEmbedding.names[$0] },
            silhouette: grouping.silhouette(cloud), certified: model.certified,
            calibration: [], pooledCalibration: [])
        if let calibrated {
            report.calibration.append(
                .init(group: "all rows", widening: calibrated.pooled.above, rows: calibrated.pooled.rows))
            for c in present {
                if let own = calibrated.byGroup[Self.scope(trainer.data.facts[c])] {
                    report.calibration.append(.init(group: names[c], widening: own.above, rows: own.rows))
                } else {
                    report.pooledCalibration.append(names[c])
                }
            }
        }
        if present.count >= 4 {
            let test = try MantelTest(cloud.distances, trainer.behaviouralDistances(), permutations: 499)
            report.mantelCorrelation = test.correlation
            report.mantelPValue = test.pValue
        }
        let distinct = Set(cloud.points).count
        if model.specialists.count > 1, model.specialists.count <= distinct, present.count <= 60 {
            let starts = try KMeans.cluster(cloud, k: model.specialists.count, restarts: 50)
            report.shareOfStartsAtBest = starts.shareAtBest
            report.agreementOfStarts = starts.agreement
        }
        return report
    }
}

extension EnsembleTrainer {
    /// How differently configurations behave: the distance between their median measured times relative to what one
    /// model of all predicts, on a logarithmic scale.
    func behaviouralDistances() throws(InvalidInput) -> [[Double]] {
        let thin = try EnsembleTrainer(data.thinned(to: 300), options: options)
        let model = try thin.train(.pooled, on: present, joint: false)
        let columns = data.features.count
        let middle = options.quantiles.count / 2
        let levels = present.map { c -> Double in
            let fit = model.models(for: data.facts[c], columns: columns)[middle]
            let ratios = thin.data.members[c].map { i in
                thin.data.rows.targets[i] / max(fit(thin.data.rows.row(i)), 1e-9)
            }
            return Self.median(ratios)
        }
        return levels.map { a in levels.map { b in abs(a - b) / max(a, b) } }
    }
}
