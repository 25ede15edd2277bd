import LatencyOracle
import ServingCore

/// How a step-time model is fitted.
public struct TrainingOptions: Sendable {
    /// Distribution of single steps around the prediction.
    public enum Likelihood: String, Sendable, CaseIterable {
        /// Normal.
        case gaussian
        /// Student's t: heavy tails and outliers cost little.
        case studentT = "student-t"
        /// Normal on the logarithm.
        case lognormal
        /// The one with the best held-out score.
        case auto
    }

    /// Which rows share coefficients of their own, besides the model of all rows.
    public enum Specialisation: String, Sendable, CaseIterable {
        /// None: one model of everything.
        case none
        /// Rows of one accelerator and weight format.
        case accelerator
        /// Rows of one configuration.
        case configuration
    }

    /// What sort of model is fitted.
    public enum Method: String, Sendable, CaseIterable {
        /// Sparse Bayesian regression.
        case ard
        /// One model per quantile for all configurations.
        case quantile
        /// Quantile models of specialists, or one model with the configuration's embedding, whichever does better on
        /// configurations left out.
        case ensemble
        /// Non-negative efficiency factors in layers: all accelerators, one, one in one weight format; experts, the host's
        /// time and measured deployments on top.
        case hierarchical
    }

    /// What sort of model is fitted.
    public var method = Method.ard
    /// Quantiles of the quantile methods, ascending.
    public var quantiles = [0.1, 0.5, 0.9]
    /// Specialists of an ensemble; nil chooses.
    public var specialists: Int?
    /// How many of the nearest specialists count; nil takes what the form of the ensemble says.
    public var topSpecialists: Int?
    /// L1 penalty of quantile regression.
    public enum Penalty: Sendable, Equatable {
        /// None: the features are few and chosen.
        case none
        /// This one, on standardised coefficients, per unit of mean loss; at 1 all coefficients are provably 0.
        case fixed(Double)
        /// The one with the least loss on configurations left out (blocks of time where there is only one).
        case chosen
    }

    /// L1 penalty of the quantile methods.
    public var penalty = Penalty.none
    /// Candidate features.
    public var features = FeatureSet.physics
    /// Distribution of single steps.
    public var likelihood = Likelihood.studentT
    /// Degrees of freedom of Student's t; nil learns them.
    public var degreesOfFreedom: Double? = 4
    /// How the evidence is climbed.
    public var updates = EvidenceUpdates.tippingFaul
    /// Coefficients of at least 0: more work never takes less time.
    public var nonnegative = false
    /// The evidence prunes candidates; non-negative least squares, which has none, where this is false.
    public var sparse = true
    /// Relative errors count, not absolute ones (identity link only).
    public var relative = true
    /// Every configuration counts the same, whatever its rows.
    public var equalConfigurations = true
    /// Models of their own for parts of the data.
    public var specialisation = Specialisation.none
    /// Candidates to leave out.
    public var without: [String] = []
    /// Learn how whole configurations deviate; needs three or more, and a fit for each of up to eight parts of them.
    public var discrepancy = true
    /// What the hierarchical method learns from besides the rows.
    public var evidence = HierarchyEvidence()
    /// Everything as the design writes it: absolute errors, normal noise, MacKay updates, clips and threshold.
    public var asWritten = false

    /// Robust sparse regression on physical features.
    public init() {}
}
