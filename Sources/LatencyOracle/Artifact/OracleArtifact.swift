/// A trained oracle as it is stored: versioned JSON that a person can read and edit.
///
/// It answers for the four latencies that the event loop does not model: the API work before a request is
/// queued (`alpha.arrival`), the duration of an engine step (`beta.step`), the time from the last step to the
/// client (`post`), and, for closed-form estimates only, the wait in the queue (`alpha.queue`).
public struct OracleArtifact: Codable, Equatable, Sendable {
    /// What every artifact says of itself.
    public static let formatName = "stepcast-oracle"
    /// Newest version that this program writes and reads.
    public static let currentVersion = 1

    /// `stepcast-oracle`.
    public var format = Self.formatName
    /// Version of the format.
    public var version = Self.currentVersion
    /// Name of the oracle.
    public var name: String
    /// What it was trained on and for, in a sentence.
    public var summary: String
    /// Duration of an engine step.
    public var step: StepModel
    /// ARRIVED to QUEUED.
    public var arrival: AffineLatency?
    /// QUEUED to SCHEDULED, for estimates without simulation.
    public var queue: QueueModel?
    /// FINISHED to DEPARTED.
    public var post: AffineLatency?
    /// The engine's own work on the CPU per step: `constant` and `perRunningRequest`. Under asynchronous scheduling it
    /// hides behind the accelerator as long as that takes longer; otherwise it is added to every step.
    public var host: AffineLatency?
    /// What it was trained on.
    public var provenance: Provenance?

    /// An oracle of a step model alone.
    public init(name: String, summary: String, step: StepModel) {
        self.name = name
        self.summary = summary
        self.step = step
    }

    enum CodingKeys: String, CodingKey {
        case format, version, name, summary, provenance, post
        case step = "beta.step"
        case host = "beta.host"
        case arrival = "alpha.arrival"
        case queue = "alpha.queue"
    }

    /// Where the numbers come from.
    public struct Provenance: Codable, Equatable, Sendable {
        /// Hash of the training rows in order (FNV-1a of their values).
        public var dataHash: String
        /// Rows used.
        public var rows: Int
        /// Configurations (model x GPU x parallel layout x engine limits) among them.
        public var configurations: [String]
        /// How it was fitted.
        public var method: String
        /// Files or folders, as named.
        public var sources: [String]

        /// Provenance of a fit.
        public init(dataHash: String, rows: Int, configurations: [String], method: String, sources: [String])
        {
            self.dataHash = dataHash
            self.rows = rows
            self.configurations = configurations
            self.method = method
            self.sources = sources
        }

        enum CodingKeys: String, CodingKey {
            case rows, configurations, method, sources
            case dataHash = "data_hash"
        }
    }
}

/// A latency that is a constant plus a slope: seconds = constant + perToken x tokens, with multiplicative noise.
public struct AffineLatency: Codable, Equatable, Sendable {
    /// Seconds whatever the request's length.
    public var constant: Double
    /// Seconds per prompt token (arrival) or output token (post).
    public var perToken: Double
    /// Seconds per running request: the API server handles the outputs of a step one after another, those of the
    /// request that joined last at the end. Of `post` (for first tokens) and `beta.host`.
    public var perRunningRequest: Double?
    /// Spread of a single observation.
    public var noise: NoiseModel?
    /// How far whole deployments deviate: standard deviation of the logarithm of a factor; nil for not at all.
    public var discrepancy: Double?

    /// A latency without noise.
    public init(
        constant: Double, perToken: Double, perRunningRequest: Double? = nil, noise: NoiseModel? = nil,
        discrepancy: Double? = nil
    ) {
        self.constant = constant
        self.perToken = perToken
        self.perRunningRequest = perRunningRequest
        self.noise = noise
        self.discrepancy = discrepancy
    }

    /// The same, `factor` times as long.
    public func scaled(by factor: Double) -> AffineLatency {
        var result = self
        result.constant *= factor
        result.perToken *= factor
        result.perRunningRequest = perRunningRequest.map { $0 * factor }
        if noise?.relative == false, noise?.family != .logNormal { result.noise?.scale *= factor }
        return result
    }

    enum CodingKeys: String, CodingKey {
        case constant, noise, discrepancy
        case perToken = "per_token"
        case perRunningRequest = "per_running_request"
    }
}

/// The wait in the queue in two parts: whether there is any, and how long it is then.
public struct QueueModel: Codable, Equatable, Sendable {
    /// Feature set of both parts.
    public var featureSet: String
    /// Waits shorter than this, in seconds, count as none.
    public var zeroBelow: Double
    /// Log-odds that the request waits at all.
    public var waits: [Coefficient]
    /// Logarithm of the wait in seconds of those that do.
    public var logWait: [Coefficient]
    /// Standard deviation of that logarithm.
    public var logScale: Double

    /// A queue model of its parts.
    public init(
        featureSet: String, zeroBelow: Double, waits: [Coefficient], logWait: [Coefficient], logScale: Double
    ) {
        self.featureSet = featureSet
        self.zeroBelow = zeroBelow
        self.waits = waits
        self.logWait = logWait
        self.logScale = logScale
    }

    enum CodingKeys: String, CodingKey {
        case waits
        case featureSet = "feature_set"
        case zeroBelow = "zero_below"
        case logWait = "log_wait"
        case logScale = "log_scale"
    }
}
