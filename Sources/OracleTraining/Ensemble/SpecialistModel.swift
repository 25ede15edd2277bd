import LatencyOracle
import ServingCore

/// Quantile models of one or more groups of configurations, and how a configuration draws on them.
package struct SpecialistModel: Sendable {
    /// Models of one group of configurations.
    package struct Specialist: Sendable {
        /// Configurations it was trained on.
        package var members: [Int]
        /// Place in the embedding.
        package var centroid: [Double]
        /// One fit per quantile, ascending.
        package var fits: [QuantileFit]

        /// Distance between the centroids of two specialists.
        func distance(to other: Specialist) -> Double {
            PointCloud.squaredDistance(centroid, other.centroid).squareRoot()
        }
    }

    /// Where configurations stand.
    package var embedding: ConfigurationEmbedding
    /// Width of the softmax over distances (or its temperature for cosine).
    package var temperature: Double
    /// How many of the nearest specialists count.
    package var topSpecialists: Int
    /// The specialists.
    package var specialists: [Specialist]
    /// Whether the fits have the embedding's entries as further columns.
    package var embeddingAsFeatures: Bool
    /// Whether quantiles were fitted so that they don't cross and that was proved.
    package var certified: Bool

    /// Share of each specialist in the model of a configuration; sum 1.
    package func weights(for facts: DeploymentFacts) -> [Double] {
        guard specialists.count > 1 else { return [1] }
        return ensemble.weights(for: facts)
    }

    private var ensemble: SpecialistEnsemble {
        SpecialistEnsemble(
            embedding: embedding, temperature: temperature, topSpecialists: topSpecialists,
            specialists: specialists.enumerated().map {
                .init(
                    name: "specialist-\($0 + 1)", centroid: $1.centroid, quantiles: [])
            })
    }

    /// The linear model of each quantile for one configuration: coefficients averaged, so still linear.
    package func models(for facts: DeploymentFacts, columns: Int) -> [QuantileFit] {
        let weights = weights(for: facts)
        var result = specialists[0].fits
        for k in result.indices {
            var intercept = 0.0
            var coefficients = [Double](repeating: 0, count: columns)
            for (specialist, weight) in zip(specialists, weights) where weight > 0 {
                let fit = specialist.fits[k]
                intercept += weight * fit.intercept
                for j in 0..<columns { coefficients[j] += weight * fit.coefficients[j] }
                if embeddingAsFeatures {
                    for (value, c) in zip(embedding.vector(facts), fit.coefficients[columns...]) {
                        intercept += weight * value * c
                    }
                }
            }
            result[k].intercept = intercept
            result[k].coefficients = coefficients
        }
        return result
    }
}
