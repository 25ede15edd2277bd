/// How configurations were grouped and intervals calibrated, as the training report says it.
public struct EnsembleReport: Codable, Sendable {
    /// Form that was fitted.
    public var form: String
    /// Forms compared on configurations left out, best or not.
    public var compared: [Form]
    /// Mean relative pinball loss of least-squares models of each grouping on configurations left out, which said what was
    /// worth an exact fit.
    public var screened: [Screened]?
    /// Configurations of each specialist.
    public var specialists: [[String]]
    /// Entries of the configuration vector that tell them apart.
    public var entries: [String]
    /// Silhouette of the grouping over all entries; absent with one group.
    public var silhouette: Double?
    /// Rank correlation of distance in the embedding with difference in how steps behave, and its permutation p-value.
    public var mantelCorrelation: Double?
    /// Its permutation p-value.
    public var mantelPValue: Double?
    /// Groups of the divisions by k-means that show how much its start matters.
    public var startGroups: Int?
    /// Share of k-means starts that end at the best division found.
    public var shareOfStartsAtBest: Double?
    /// Mean adjusted Rand index between the other starts and the best.
    public var agreementOfStarts: Double?
    /// Whether quantiles were proved optimal and not to cross in the training box.
    public var certified: Bool
    /// Level of the scores' quantile that the widening takes: above 80 % where time blocks differ.
    public var calibrationLevel: Double?
    /// Widening of P10-P90, in widths, per configuration and for the rest.
    public var calibration: [Calibration]
    /// Configurations with too few rows for a calibration of their own.
    public var pooledCalibration: [String]

    /// P10-P90 on the rows held out in time: as calibrated, adapted along the stream, and beside sparse Bayesian regression.
    public var intervals: [IntervalScore]?
    /// What each correction of the design buys, when it was asked for as written.
    public var corrections: [Correction]?
    /// Penalties tried, when one was to be chosen.
    public var penaltyPath: [PenaltyStep]?
    /// Where configurations stand on the map of specialists.
    public var map: [Place] = []

    /// One step from the design as written to what is done here.
    public struct Correction: Codable, Sendable {
        /// What is corrected, on top of everything before.
        public var correction: String
        /// Scores on later time.
        public var later: IntervalScore
        /// Mean relative pinball loss on configurations left out.
        public var leftOutPinball: Double?

        enum CodingKeys: String, CodingKey {
            case correction, later
            case leftOutPinball = "left_out_pinball"
        }
    }

    /// One penalty of the path.
    public struct PenaltyStep: Codable, Sendable {
        /// On standardised coefficients, per unit of mean loss.
        public var penalty: Double
        /// Mean weighted pinball loss of P50 on groups left out, seconds.
        public var heldOutLoss: Double
        /// Whether it is the one used.
        public var chosen: Bool

        enum CodingKeys: String, CodingKey {
            case penalty, chosen
            case heldOutLoss = "held_out_loss"
        }
    }

    /// One configuration on the map.
    public struct Place: Codable, Sendable {
        /// Name.
        public var configuration: String
        /// Number of its specialist, from 0.
        public var specialist: Int
        /// First principal component of its standardised vector.
        public var x: Double
        /// Second principal component.
        public var y: Double
    }

    /// One form's score.
    public struct Form: Codable, Sendable {
        /// Name.
        public var form: String
        /// Mean relative pinball loss on configurations left out.
        public var pinball: Double
        /// Median absolute relative error of the median.
        public var medianError: Double

        enum CodingKeys: String, CodingKey {
            case form, pinball
            case medianError = "median_error"
        }
    }

    /// One grouping's least-squares score.
    public struct Screened: Codable, Sendable {
        /// Name.
        public var form: String
        /// Mean relative pinball loss.
        public var pinball: Double
    }

    /// One group's widening.
    public struct Calibration: Codable, Sendable {
        /// Configuration, or `all rows`.
        public var group: String
        /// Widths by which each side moves outwards; negative narrows.
        public var widening: Double
        /// Rows it rests on.
        public var rows: Int
    }

    enum CodingKeys: String, CodingKey {
        case form, compared, screened, specialists, entries, silhouette, certified, calibration
        case intervals, corrections, map
        case penaltyPath = "penalty_path"
        case calibrationLevel = "calibration_level"
        case startGroups = "start_groups"
        case mantelCorrelation = "mantel_correlation"
        case mantelPValue = "mantel_p_value"
        case shareOfStartsAtBest = "share_of_starts_at_best"
        case agreementOfStarts = "agreement_of_starts"
        case pooledCalibration = "pooled_calibration"
    }
}
