/// How configurations were grouped and intervals calibrated, as the training report says it.
public struct EnsembleReport: Codable, Sendable {
    /// Form that was fitted.
    public var form: String
    /// Forms compared on configurations left out, best or not.
    public var compared: [Form]
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
    /// Share of k-means starts that end at the best division found.
    public var shareOfStartsAtBest: Double?
    /// Mean adjusted Rand index between the other starts and the best.
    public var agreementOfStarts: Double?
    /// Whether quantiles were proved optimal and not to cross in the training box.
    public var certified: Bool
    /// Widening of P10-P90, in widths, per configuration and for the rest.
    public var calibration: [Calibration]
    /// Configurations with too few rows for a calibration of their own.
    public var pooledCalibration: [String]

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
        case form, compared, specialists, entries, silhouette, certified, calibration
        case mantelCorrelation = "mantel_correlation"
        case mantelPValue = "mantel_p_value"
        case shareOfStartsAtBest = "share_of_starts_at_best"
        case agreementOfStarts = "agreement_of_starts"
        case pooledCalibration = "pooled_calibration"
    }
}
