import LatencyOracle

/// What a training run found out, as it is saved beside the artifact.
public struct TrainingReport: Codable, Sendable {
    /// Data that went in.
    public var data: DataSummary
    /// How the model was fitted.
    public var method: String
    /// Held-out score of every likelihood, when the choice was automatic.
    public var likelihoods: [LikelihoodScore]?
    /// Held-out validation, one entry per protocol.
    public var validation: [ValidationTable]
    /// Findings about latencies outside engine steps, one line each.
    public var alpha: [String]?
    /// Features of the model of all rows, kept and dropped.
    public var features: [FeatureLine]
    /// The same of every specialised model.
    public var specialised: [SpecialisedFeatures]?
    /// How configurations were grouped and calibrated, of the quantile methods.
    public var ensemble: EnsembleReport?

    /// Features of one specialised model.
    public struct SpecialisedFeatures: Codable, Sendable {
        /// Whom it serves.
        public var scope: String
        /// Its features.
        public var features: [FeatureLine]
    }

    /// Held-out score of a likelihood.
    public struct LikelihoodScore: Codable, Sendable {
        /// Name.
        public var likelihood: String
        /// CRPS relative to the measurement, the mean over configurations.
        public var relativeCRPS: Double

        enum CodingKeys: String, CodingKey {
            case likelihood
            case relativeCRPS = "relative_crps"
        }
    }

    /// Data that went in.
    public struct DataSummary: Codable, Sendable {
        /// Rows used.
        public var rows: Int
        /// Hash of the rows.
        public var hash: String
        /// Rows left out by reason.
        public var dropped: [Dropped]
        /// Rows per deployment.
        public var configurations: [Configuration]

        /// Rows left out.
        public struct Dropped: Codable, Sendable {
            /// Why.
            public var reason: String
            /// How many.
            public var rows: Int
        }

        /// Rows of one deployment.
        public struct Configuration: Codable, Sendable {
            /// Name.
            public var name: String
            /// How many.
            public var rows: Int
            /// Shortest step, seconds.
            public var minimumSeconds: Double
            /// Longest step, seconds.
            public var maximumSeconds: Double

            enum CodingKeys: String, CodingKey {
                case name, rows
                case minimumSeconds = "minimum_seconds"
                case maximumSeconds = "maximum_seconds"
            }
        }
    }

    /// One validation protocol.
    public struct ValidationTable: Codable, Sendable {
        /// Protocol.
        public var name: String
        /// Scores per group.
        public var groups: [Line]
        /// Scores of all rows.
        public var overall: Line
        /// Scores per model, accelerator and parallel layout, whatever the engine's limits.
        public var layouts: [Line]?
        /// Coverage of P10-P90 in the mean over runs.
        public var meanRunCoverage: Double?
        /// Scores per run.
        public var runs: [Line]?

        enum CodingKeys: String, CodingKey {
            case name, groups, overall, layouts, runs
            case meanRunCoverage = "mean_run_coverage"
        }

        /// Scores of one group.
        public struct Line: Codable, Sendable {
            /// Group.
            public var group: String
            /// On training rows, when the protocol has one training set.
            public var train: Scores?
            /// On rows held out.
            public var test: Scores
            /// Of non-negative relative least squares on the same rows, held out.
            public var baseline: Scores?
        }
    }

    /// Scores as saved.
    public typealias Scores = ForecastScores

    /// One candidate feature.
    public struct FeatureLine: Codable, Sendable {
        /// Name.
        public var feature: String
        /// Coefficient in the natural unit; absent when dropped.
        public var coefficient: Double?
        /// Posterior standard deviation.
        public var std: Double?
        /// |coefficient| x sd(feature) / sd(target).
        public var effectiveWeight: Double?
        /// Why it was dropped.
        public var dropped: String?

        enum CodingKeys: String, CodingKey {
            case feature, coefficient, std, dropped
            case effectiveWeight = "effective_weight"
        }

        /// Lines of a model: kept features by weight, then the dropped.
        static func lines(_ model: StepModel) -> [FeatureLine] {
            // Of a model per quantile the median speaks.
            let median = model.quantiles?.min { abs($0.tau - 0.5) < abs($1.tau - 0.5) }
            let kept = (median?.coefficients ?? model.coefficients).map {
                FeatureLine(
                    feature: $0.feature, coefficient: $0.value, std: $0.std,
                    effectiveWeight: $0.effectiveWeight)
            }
            return kept + (model.dropped ?? []).map { FeatureLine(feature: $0.feature, dropped: $0.reason) }
        }
    }
}

extension TrainingReport.DataSummary {
    /// Summary of a data set.
    public init(_ data: StepDataSet) {
        rows = data.count
        hash = data.hash
        dropped = data.dropped.map { Dropped(reason: $0.reason, rows: $0.rows) }
        configurations = data.groups.indices.compactMap { index in
            let own = (0..<data.count).filter { data.group[$0] == index }.map { data.seconds[$0] }
            guard let least = own.min(), let greatest = own.max() else { return nil }
            return Configuration(
                name: data.groups[index].name, rows: own.count, minimumSeconds: least,
                maximumSeconds: greatest)
        }
    }
}
