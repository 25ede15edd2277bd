/// One feature with its fitted coefficient, in the feature's natural unit.
public struct Coefficient: Codable, Equatable, Sendable {
    /// Name in the model's feature set.
    public var feature: String
    /// Value; for `constant` it is the intercept.
    public var value: Double
    /// Posterior standard deviation, if the method gives one.
    public var std: Double?
    /// Share of the predictions' spread that comes from this feature: |value| x sd(feature) / sd(target).
    public var effectiveWeight: Double?

    /// A coefficient.
    public init(feature: String, value: Double, std: Double? = nil, effectiveWeight: Double? = nil) {
        self.feature = feature
        self.value = value
        self.std = std
        self.effectiveWeight = effectiveWeight
    }

    enum CodingKeys: String, CodingKey {
        case feature, value, std
        case effectiveWeight = "effective_weight"
    }
}

/// Spread of single observations around the prediction.
public struct NoiseModel: Codable, Equatable, Sendable {
    /// Shape of the distribution.
    public enum Family: String, Codable, Sendable, CaseIterable {
        /// Normal.
        case gaussian
        /// Student's t: heavier tails.
        case studentT = "student-t"
        /// Normal on the logarithm; `scale` is its standard deviation.
        case logNormal = "log-normal"
    }

    /// Shape.
    public var family: Family
    /// Scale: seconds, or a fraction of the prediction when `relative`.
    public var scale: Double
    /// Whether `scale` is a fraction of the prediction.
    public var relative: Bool
    /// Of Student's t.
    public var degreesOfFreedom: Double?

    /// A noise model.
    public init(family: Family, scale: Double, relative: Bool, degreesOfFreedom: Double? = nil) {
        self.family = family
        self.scale = scale
        self.relative = relative
        self.degreesOfFreedom = degreesOfFreedom
    }

    enum CodingKeys: String, CodingKey {
        case family, scale, relative
        case degreesOfFreedom = "degrees_of_freedom"
    }
}

/// A linear model of step time: what was fitted, how sure it is, and where it holds.
public struct StepModel: Codable, Equatable, Sendable {
    /// What kind of model it is.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// Coefficients alone (ordinary, relative-loss or non-negative least squares).
        case linear
        /// Sparse Bayesian posterior.
        case ard
        /// A model per quantile.
        case quantile
        /// Quantile models of specialists, averaged by similarity of the configuration.
        case ensemble
        /// Efficiencies from hardware facts, not trained.
        case roofline
    }

    /// What the linear predictor stands for.
    public enum Link: String, Codable, Sendable {
        /// Seconds.
        case identity
        /// Logarithm of seconds.
        case log
    }

    /// What kind of model it is.
    public var kind: Kind
    /// Feature set of every coefficient.
    public var featureSet: String
    /// What the linear predictor stands for.
    public var link: Link
    /// Coefficients of the mean (`identity`) or of the logarithm's mean (`log`); empty for `quantile` and `ensemble`.
    public var coefficients: [Coefficient]
    /// Uncertainty of the coefficients.
    public var posterior: Posterior?
    /// Spread of single steps.
    public var noise: NoiseModel?
    /// Of `quantile`: models by probability, ascending.
    public var quantiles: [QuantileModel]?
    /// Of `ensemble`.
    public var ensemble: SpecialistEnsemble?
    /// Where training data lay.
    public var domain: TrainingDomain?
    /// How far whole configurations deviate from the model.
    public var discrepancy: Discrepancy?
    /// Correction learned on a target configuration.
    public var calibration: Calibration?
    /// Candidates that were not kept, and why.
    public var dropped: [DroppedFeature]?
    /// No prediction falls below this many seconds.
    public var minimumSeconds: Double?
    /// Models of their own for some deployments; the rest of this one serves all others.
    public var specialised: [ScopedStepModel]?
    /// What it was learned from, in a clause.
    public var basis: String?
    /// Whether it is of one deployment of which nothing but kernel times is known.
    public var restsOnKernelTimes: Bool?

    /// A model of coefficients.
    public init(
        kind: Kind, featureSet: String, link: Link = .identity, coefficients: [Coefficient] = [],
        noise: NoiseModel? = nil
    ) {
        self.kind = kind
        self.featureSet = featureSet
        self.link = link
        self.coefficients = coefficients
        self.noise = noise
    }

    enum CodingKeys: String, CodingKey {
        case kind, link, coefficients, posterior, noise, quantiles, ensemble, domain, discrepancy, calibration
        case dropped, specialised, basis
        case featureSet = "feature_set"
        case minimumSeconds = "minimum_seconds"
        case restsOnKernelTimes = "rests_on_kernel_times"
    }
}

/// Gaussian posterior of the coefficients, in natural units.
///
/// The variance of the linear predictor at x is `interceptVariance + (x - means)' covariance (x - means)`.
public struct Posterior: Codable, Equatable, Sendable {
    /// Features in the order of the matrix; the constant is not among them.
    public var features: [String]
    /// Means of those features in training (weighted as the fit was).
    public var means: [Double]
    /// Covariance of their coefficients, row by row.
    public var covariance: [[Double]]
    /// Variance of the predictor at the means: sigma^2 / n.
    public var interceptVariance: Double

    /// A posterior.
    public init(features: [String], means: [Double], covariance: [[Double]], interceptVariance: Double) {
        self.features = features
        self.means = means
        self.covariance = covariance
        self.interceptVariance = interceptVariance
    }

    enum CodingKeys: String, CodingKey {
        case features, means, covariance
        case interceptVariance = "intercept_variance"
    }
}

/// Coefficients of one quantile.
public struct QuantileModel: Codable, Equatable, Sendable {
    /// Probability of falling at or below the prediction.
    public var tau: Double
    /// Coefficients.
    public var coefficients: [Coefficient]
    /// In an ensemble: seconds per unit of each entry of the configuration's place in the embedding.
    public var embedding: [Double]?

    /// A model of one quantile.
    public init(tau: Double, coefficients: [Coefficient], embedding: [Double]? = nil) {
        self.tau = tau
        self.coefficients = coefficients
        self.embedding = embedding
    }
}

/// The region that training data covered, over all candidate features, kept or not.
public struct TrainingDomain: Codable, Equatable, Sendable {
    /// Features in the order of the vectors below; the constant is not among them.
    public var features: [String]
    /// Means in training.
    public var means: [Double]
    /// Least values in training.
    public var minimum: [Double]
    /// Greatest values in training.
    public var maximum: [Double]
    /// Pseudo-inverse of the centred Gram matrix, row by row: leverage is (x - means)' precision (x - means).
    public var precision: [[Double]]
    /// Leverage up to which a step counts as inside.
    public var limit: Double

    /// A domain.
    public init(
        features: [String], means: [Double], minimum: [Double], maximum: [Double], precision: [[Double]],
        limit: Double
    ) {
        self.features = features
        self.means = means
        self.minimum = minimum
        self.maximum = maximum
        self.precision = precision
        self.limit = limit
    }
}

extension TrainingDomain {
    enum CodingKeys: String, CodingKey {
        case features, means, minimum, maximum, precision, limit
        case precisionFeatures = "precision_features"
        case precisionTriangle = "precision_triangle"
    }

    /// Reads the matrix whole (`precision`) or packed: the lower triangle, row by row, over the features that varied.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let features = try values.decode([String].self, forKey: .features)
        self.features = features
        means = try values.decode([Double].self, forKey: .means)
        minimum = try values.decode([Double].self, forKey: .minimum)
        maximum = try values.decode([Double].self, forKey: .maximum)
        limit = try values.decode(Double.self, forKey: .limit)
        guard values.contains(.precisionTriangle) else {
            precision = try values.decode([[Double]].self, forKey: .precision)
            return
        }
        let names = try values.decode([String].self, forKey: .precisionFeatures)
        let triangle = try values.decode([Double].self, forKey: .precisionTriangle)
        let places = names.compactMap { features.firstIndex(of: $0) }
        guard places.count == names.count, Set(places).count == places.count else {
            throw DecodingError.dataCorruptedError(
                forKey: .precisionFeatures, in: values,
                debugDescription: "names something twice, or what is not among the features")
        }
        guard triangle.count == names.count * (names.count + 1) / 2 else {
            throw DecodingError.dataCorruptedError(
                forKey: .precisionTriangle, in: values,
                debugDescription: "has \(triangle.count) numbers for \(names.count) features")
        }
        precision = [[Double]](
            repeating: [Double](repeating: 0, count: features.count), count: features.count)
        var next = 0
        for (i, row) in places.enumerated() {
            for column in places[...i] {
                precision[row][column] = triangle[next]
                precision[column][row] = triangle[next]
                next += 1
            }
        }
    }

    /// Writes the matrix packed.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(features, forKey: .features)
        try values.encode(means, forKey: .means)
        try values.encode(minimum, forKey: .minimum)
        try values.encode(maximum, forKey: .maximum)
        try values.encode(limit, forKey: .limit)
        let places = features.indices.filter { precision[$0].contains { $0 != 0 } }
        try values.encode(places.map { features[$0] }, forKey: .precisionFeatures)
        var triangle: [Double] = []
        for (i, row) in places.enumerated() { triangle += places[...i].map { precision[row][$0] } }
        try values.encode(triangle, forKey: .precisionTriangle)
    }
}

/// Standard deviations of how a whole configuration deviates: prediction x (1 + scale) + offset.
public struct Discrepancy: Codable, Equatable, Sendable {
    /// Of the relative deviation.
    public var scaleStd: Double
    /// Of the constant deviation, seconds.
    public var offsetStd: Double

    /// A discrepancy.
    public init(scaleStd: Double, offsetStd: Double) {
        self.scaleStd = scaleStd
        self.offsetStd = offsetStd
    }

    enum CodingKeys: String, CodingKey {
        case scaleStd = "scale_std"
        case offsetStd = "offset_std"
    }
}

/// Correction on a target configuration: slope x prediction + bias, noise variance times a factor.
/// On a log link slope and bias act on the logarithm.
public struct Calibration: Codable, Equatable, Sendable {
    /// Factor on the prediction.
    public var slope: Double
    /// Added to it, seconds.
    public var bias: Double
    /// Factor on the noise variance.
    public var varianceScale: Double

    /// A correction.
    public init(slope: Double, bias: Double, varianceScale: Double) {
        self.slope = slope
        self.bias = bias
        self.varianceScale = varianceScale
    }

    enum CodingKeys: String, CodingKey {
        case slope, bias
        case varianceScale = "variance_scale"
    }
}

/// A candidate feature that the fit did without.
public struct DroppedFeature: Codable, Equatable, Sendable {
    /// Its name.
    public var feature: String
    /// Why, in a clause.
    public var reason: String

    /// A dropped feature.
    public init(feature: String, reason: String) {
        self.feature = feature
        self.reason = reason
    }
}

/// Specialists and how a configuration chooses among them.
public struct SpecialistEnsemble: Codable, Equatable, Sendable {
    /// How configurations are compared.
    public var embedding: ConfigurationEmbedding
    /// Softmax weights exp(-distance^2 / (2 bandwidth^2)), or exp(similarity / temperature) for cosine.
    public var temperature: Double
    /// Only this many nearest specialists count.
    public var topSpecialists: Int
    /// The specialists.
    public var specialists: [Specialist]
    /// Weights learned on target data instead of similarity, in the order of the specialists, sum 1.
    public var fixedWeights: [Double]?

    /// One specialist.
    public struct Specialist: Codable, Equatable, Sendable {
        /// Name for messages.
        public var name: String
        /// Place in the embedding.
        public var centroid: [Double]
        /// Its models by probability, ascending, the same probabilities for all specialists.
        public var quantiles: [QuantileModel]
        /// Further places at which it stands; the nearest counts. nil leaves the centroid alone.
        public var places: [[Double]]?

        /// A specialist.
        public init(
            name: String, centroid: [Double], quantiles: [QuantileModel], places: [[Double]]? = nil
        ) {
            self.places = places
            self.name = name
            self.centroid = centroid
            self.quantiles = quantiles
        }
    }

    /// An ensemble.
    public init(
        embedding: ConfigurationEmbedding, temperature: Double, topSpecialists: Int,
        specialists: [Specialist],
        fixedWeights: [Double]? = nil
    ) {
        self.embedding = embedding
        self.temperature = temperature
        self.topSpecialists = topSpecialists
        self.specialists = specialists
        self.fixedWeights = fixedWeights
    }

    enum CodingKeys: String, CodingKey {
        case embedding, temperature, specialists
        case topSpecialists = "top_specialists"
        case fixedWeights = "fixed_weights"
    }
}
