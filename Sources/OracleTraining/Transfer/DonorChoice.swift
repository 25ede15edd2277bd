import LatencyOracle
import ServingCore

/// Which configurations to measure so that every candidate has one like it.
public struct DonorChoice: Sendable {
    /// Chosen configurations in order, each with the covering radius after it.
    public var donors: [(name: String, radius: Double)]

    /// Chooses among candidates by greedy k-centre on logarithmic, standardised configuration vectors.
    /// - Throws: `InvalidInput` without candidates or with a count below 1.
    public init(
        candidates: [StepDataSet.Group], measured: [StepDataSet.Group], count: Int
    ) throws {
        let vectors = (candidates + measured).map { ConfigurationEmbedding.logarithmic($0.facts) }
        let cloud = PointCloud.standardising(vectors).cloud
        let selection = try DonorSelection(
            PointCloud(Array(cloud.points.prefix(candidates.count))), count: count,
            existing: Array(cloud.points.dropFirst(candidates.count)))
        donors = zip(selection.order, selection.radii).map { (name: candidates[$0].name, radius: $1) }
    }
}
