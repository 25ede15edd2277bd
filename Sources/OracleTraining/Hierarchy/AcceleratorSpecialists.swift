import LatencyOracle
import ServingCore

/// Models of accelerators and weight formats, each drawn towards what all accelerators share, so that features that an
/// accelerator's own rows cannot tell apart keep the proportions that others taught.
struct AcceleratorSpecialists {
    /// Which features are work of routed experts.
    static func isExpert(_ feature: String) -> Bool {
        feature.hasPrefix("expert_") || feature == "rank_load_spread"
    }

    /// Candidates that kernel times do not tell from other expert features in a way that carries over to other models.
    static let excluded = ["expert_load_spread", "rank_load_spread"]
    /// Dense work of a mixture of experts is that of dense models.
    static let firmly = 1e3

    /// Rows of one deployment that shared factors are learned from.
    static let rowsPerDeployment = 400

    let trainer: StepTimeTrainer

    /// Whether models can be fitted so: physical features with coefficients of at least 0 for relative errors.
    static func serve(_ options: TrainingOptions) -> Bool {
        options.features.name == FeatureSet.physics.name && options.nonnegative && options.relative
            && options.likelihood != .lognormal && !options.asWritten
    }

    /// A model per accelerator and format, of dense models and of mixtures of experts, and one per accelerator for other
    /// formats.
    func models(_ data: StepDataSet, rows: [Int]) throws -> [ScopedStepModel] {
        let options = trainer.options
        var reasons: [String: String] = [:]
        for name in Self.excluded { reasons[name] = "cannot be told from other expert features" }
        for name in options.without { reasons[name] = "left out on request" }
        let features = options.features.step.filter { reasons[$0.name] == nil }
        let all = rows
        let rows = Self.spread(rows, data)
        let facts = rows.map { data.groups[data.group[$0]].facts }
        let scopes = facts.map {
            SharedFactors.Scope(
                accelerator: $0.acceleratorName, format: ModelScope(accelerator: $0).weightFormat)
        }
        let learned = AcceleratorFactors.Rows(
            design: trainer.designRows(data, rows: rows, features: features), scopes: scopes,
            groups: rows.map { data.group[$0] }, hasExperts: facts.map { $0.experts > 0 },
            isExpert: features.map { Self.isExpert($0.name) })
        let choice = ShrinkageChoice(learned, models: facts.map(\.modelName))
        let factors = AcceleratorFactors(learned)
        let shrinkage = choice.shrinkage

        var result: [ScopedStepModel] = []
        var seen: Set<ModelScope> = []
        func add(_ scope: ModelScope, _ place: SharedFactors.Scope, hasExperts: Bool, dense: Bool = false) {
            guard seen.insert(scope).inserted else { return }
            let members = all.filter {
                let facts = data.groups[data.group[$0]].facts
                return scope.matches(facts) && !(dense && facts.experts > 0)
            }
            guard members.count >= AcceleratorFactors.leastRows else { return }
            let known =
                hasExperts
                ? factors.dense(place, shrinkage.dense) : factors.shared.coefficients(place)
            var prior = NamedPrior(excluded: reasons)
            for (column, feature) in features.enumerated() {
                let firmness =
                    hasExperts
                    ? (learned.isExpert[column] ? shrinkage.experts : Self.firmly) : shrinkage.dense
                prior.values[feature.name] = (known[column], firmness)
            }
            guard
                var model = try? trainer.fitOne(
                    data, rows: members, options, name: scope.description, prior: prior)
            else { return }
            if options.discrepancy {
                model.discrepancy = choice.discrepancy(.init(scope: place, hasExperts: hasExperts))
            }
            result.append(ScopedStepModel(scope: scope, model: model))
        }
        for (place, facts) in zip(scopes, facts) {
            add(ModelScope(accelerator: facts), place, hasExperts: facts.experts > 0)
        }
        for place in scopes {
            // Other formats: dense work as of all formats there are, experts at what all accelerators share.
            var scope = ModelScope()
            scope.accelerator = place.accelerator
            add(scope, .init(accelerator: place.accelerator), hasExperts: false, dense: true)
        }
        return result
    }

    /// At most `rowsPerDeployment` rows of each deployment, evenly spread: factors that all share need no more.
    private static func spread(_ rows: [Int], _ data: StepDataSet) -> [Int] {
        var counts = [Int](repeating: 0, count: data.groups.count)
        for row in rows { counts[data.group[row]] += 1 }
        var seen = [Int](repeating: 0, count: data.groups.count)
        return rows.filter { row in
            let group = data.group[row]
            defer { seen[group] += 1 }
            let stride = (counts[group] + rowsPerDeployment - 1) / rowsPerDeployment
            return seen[group] % max(1, stride) == 0
        }
    }
}

/// What is known of the coefficients of named features.
struct NamedPrior {
    /// Where each is expected, and how firmly.
    var values: [String: (value: Double, shrinkage: Double)] = [:]
    /// Candidates that are not fitted, and why.
    var excluded: [String: String]

    init(excluded: [String: String]) { self.excluded = excluded }

    /// In the order of some features; the constant stands apart.
    func coefficients(_ features: [StepFeature]) -> CoefficientPrior {
        let own = features.map { values[$0.name] ?? (0, 0) }
        let constant = values["constant"] ?? (0, 0)
        return CoefficientPrior(
            values: own.map(\.0), shrinkage: own.map(\.1), constant: constant.0,
            constantShrinkage: constant.1)
    }
}
