import LatencyOracle
import ServingCore

/// Fits quantile models of step time to a data set: one for all configurations, or specialists.
///
/// Fits to the beginning of every run are scored on what follows (`LaterBlocks`); from those scores the interval is
/// calibrated for blocks of time to come, per configuration where it has rows enough. The widening is folded into
/// the coefficients of a fit to all rows, for an interval widened in proportion to its width is still linear.
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
        let configured = try configuredRows(data, rows: rows)
        let features = Array(options.features.step.dropFirst())
        let design = configured.rows
        var ensembleOptions = EnsembleTrainer.Options()
        ensembleOptions.quantiles = options.quantiles
        ensembleOptions.specialists = options.specialists
        // Physical features never shorten a step; the other sets hold terms of either sign.
        ensembleOptions.nonNegative =
            !options.asWritten && (options.nonnegative || options.features.name == "physics")
        if options.specialists != nil { ensembleOptions.forms = [.similarity] }
        if options.asWritten, options.method == .ensemble {
            ensembleOptions.naturalPenalty = 1
            ensembleOptions.relative = false
        }
        var path: [EnsembleReport.PenaltyStep]?
        switch options.penalty {
        case .none: break
        case .fixed(let value): ensembleOptions.penalty = value
        case .chosen:
            let found = try penaltyPath(data, rows, configured, ensembleOptions)
            ensembleOptions.penalty = found.chosen
            path = zip(found.penalties, found.heldOutLoss).map {
                .init(penalty: $0, heldOutLoss: $1, chosen: $0 == found.chosen)
            }
        }
        let trainer = try EnsembleTrainer(configured, options: ensembleOptions)
        let present = trainer.present
        var form = EnsembleTrainer.Form.pooled
        var choice = EnsembleTrainer.Choice(form: .pooled, screened: [], scores: [])
        if options.method == .ensemble {
            if options.asWritten {
                form = .asWritten
            } else if present.count > 1 {
                choice = try trainer.choose(among: present)
                form = choice.form
            }
        }
        let plan = try trainer.plan(form, on: present)
        var specialists = try trainer.assemble(
            plan, configurations: present, solver: options.asWritten ? .separate : .joint)
        if let top = options.topSpecialists {
            specialists.topSpecialists = min(top, specialists.specialists.count)
        }
        let calibrated =
            options.asWritten ? nil : try calibration(data, rows, trainer, plan)
        var model = stepModel(specialists, features, widening: calibrated?.pooled.widening ?? 0)
        model.domain = StepTimeTrainer(options).domain(design, features)
        model.minimumSeconds = (design.targets.min() ?? 0) * 0.5
        var own: [ScopedStepModel] = []
        for c in present {
            guard let offset = calibrated?.byGroup[Self.scope(configured.facts[c])], present.count > 1
            else { continue }
            var one = specialists
            one.specialists = [
                .init(
                    members: [c], centroid: specialists.specialists[0].centroid,
                    fits: specialists.models(for: configured.facts[c], columns: features.count))
            ]
            one.embeddingAsFeatures = false
            var scoped = stepModel(one, features, widening: offset.widening)
            scoped.domain = model.domain
            scoped.minimumSeconds = model.minimumSeconds
            own.append(
                ScopedStepModel(scope: ModelScope(configuration: configured.facts[c]), model: scoped))
        }
        if !own.isEmpty { model.specialised = own }
        var report = try report(
            choice, specialists, trainer, calibrated: calibrated, names: configured.names)
        report.penaltyPath = path
        return Outcome(model: model, report: report)
    }

    /// Deployments that the artifact can't tell apart are calibrated together.
    static func scope(_ facts: DeploymentFacts) -> String {
        ModelScope(configuration: facts).description
    }

    /// The rows of the indices given with their features and configurations.
    /// - Throws: `InvalidInput` without rows.
    package func configuredRows(_ data: StepDataSet, rows: [Int]) throws(InvalidInput) -> ConfiguredRows {
        let features = Array(options.features.step.dropFirst())
        return try ConfiguredRows(
            features: features.map(\.name),
            rows: StepTimeTrainer(options).designRows(data, rows: rows, features: features),
            configuration: rows.map { data.group[$0] }, facts: data.groups.map(\.facts),
            names: data.groups.map(\.name))
    }

    /// Rows that are enough to choose a penalty.
    private static let penaltyRows = 3000

    /// Penalties for P50 of one model, judged on configurations left out, or on blocks of time where there is only one.
    private func penaltyPath(
        _ data: StepDataSet, _ rows: [Int], _ configured: ConfiguredRows,
        _ settings: EnsembleTrainer.Options
    ) throws(InvalidInput) -> QuantilePenaltyPath {
        let present = configured.members.filter { !$0.isEmpty }
        let thin = configured.thinned(to: max(24, Self.penaltyRows / max(1, present.count)))
        let groups =
            present.count > 1
            ? thin.configuration.map { $0 % 10 } : thin.rows.targets.indices.map { 5 * $0 / thin.rows.count }
        let all = Array(thin.rows.targets.indices)
        let used = configured.members.indices.filter { !configured.members[$0].isEmpty }
        return try QuantilePenaltyPath.choose(
            thin.rows.features, count: thin.rows.count, columns: thin.rows.columns, y: thin.rows.targets,
            weights: thin.weights(all, configurations: used), groups: groups,
            tau: options.quantiles[settings.middle], nonNegative: settings.nonNegative)
    }

    /// Conformal offsets from fits to early parts of each run; nil with too few rows.
    func calibration(
        _ data: StepDataSet, _ rows: [Int], _ trainer: EnsembleTrainer, _ plan: EnsembleTrainer.Plan
    ) throws(InvalidInput) -> BlockCalibration? {
        guard options.quantiles.count > 1 else { return nil }
        var runs = [[Int]]()
        var place: [Int: Int] = [:]
        for k in rows.indices {
            let key = data.run[rows[k]] * (data.groups.count + 1) + data.group[rows[k]]
            if let known = place[key] {
                runs[known].append(k)
            } else {
                place[key] = runs.count
                runs.append([k])
            }
        }
        let blocks = try LaterBlocks(
            trainer: trainer, plan: plan, options: options, runs: runs,
            scopes: data.groups.map { Self.scope($0.facts) }
        ).scored()
        return BlockCalibration(
            blocks, coverage: options.quantiles[options.quantiles.count - 1] - options.quantiles[0])
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
                    quantiles: quantileModels(specialist.fits))
            })
        return ensemble
    }

    private func report(
        _ choice: EnsembleTrainer.Choice, _ model: SpecialistModel, _ trainer: EnsembleTrainer,
        calibrated: BlockCalibration?, names: [String]
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
            form: (options.asWritten ? .asWritten : choice.form).rawValue,
            compared: choice.scores.map {
                .init(form: $0.form.rawValue, pinball: $0.pinball, medianError: $0.medianError)
            },
            specialists: model.specialists.map { $0.members.map { names[$0] } },
            entries: ConfigurationEmbedding.names.indices.filter {
                model.embedding.scales.indices.contains($0) && model.embedding.scales[$0] > 0
            }.map { ConfigurationEmbedding.names[$0] },
            silhouette: grouping.silhouette(cloud), certified: model.certified,
            calibration: [], pooledCalibration: [])
        if !choice.screened.isEmpty {
            report.screened = choice.screened.map { .init(form: $0.form.rawValue, pinball: $0.error) }
        }
        if let calibrated {
            report.calibrationLevel = calibrated.level
            report.calibration.append(
                .init(group: "all rows", widening: calibrated.pooled.widening, rows: calibrated.pooled.rows))
            for c in present {
                if let own = calibrated.byGroup[Self.scope(trainer.data.facts[c])] {
                    report.calibration.append(.init(group: names[c], widening: own.widening, rows: own.rows))
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
        let places = ClusterMap.places(cloud.points)
        report.map = present.indices.map {
            .init(configuration: names[present[$0]], specialist: labels[$0], x: places[$0].x, y: places[$0].y)
        }
        // Without groups: of the two that would be the first division.
        let groups = max(2, model.specialists.count)
        if groups <= distinct, groups < present.count {
            let starts = try KMeans.cluster(cloud, k: groups, restarts: present.count <= 60 ? 50 : 10)
            report.startGroups = groups
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
        let model = try thin.train(.pooled, on: present, solver: .leastSquares)
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
