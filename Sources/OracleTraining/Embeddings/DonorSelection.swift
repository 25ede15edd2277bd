import ServingCore

/// Which configurations to measure next: greedy k-centre (Gonzalez 1985), at most twice the best possible radius.
package struct DonorSelection: Sendable, Equatable {
    /// Chosen points, in order.
    package var order: [Int]
    /// Covering radius after each choice: the greatest distance of any point to the nearest chosen one.
    package var radii: [Double]

    /// Chooses up to `count` points: the medoid first (or those `existing`, which are not counted), then always the one
    /// farthest from all chosen, the lowest index on ties. Stops when the radius is 0.
    /// - Throws: `InvalidInput` without candidates or with a count below 1.
    package init(_ cloud: PointCloud, count: Int, existing: [[Double]] = []) throws(InvalidInput) {
        guard !cloud.points.isEmpty else { throw InvalidInput(field: "candidates", "are none") }
        guard count >= 1 else {
            throw InvalidInput(field: "donors", value: "\(count)", "is too few", accepted: "at least 1")
        }
        order = []
        radii = []
        var nearest = [Double](repeating: .infinity, count: cloud.points.count)
        for point in existing {
            for i in nearest.indices {
                nearest[i] = min(nearest[i], PointCloud.squaredDistance(cloud.points[i], point).squareRoot())
            }
        }
        while order.count < count {
            var next = 0
            if order.isEmpty, existing.isEmpty {
                next = cloud.medoid ?? 0
            } else {
                for i in nearest.indices where nearest[i] > nearest[next] { next = i }
                if nearest[next] == 0 { break }
            }
            order.append(next)
            for i in nearest.indices {
                let d = PointCloud.squaredDistance(cloud.points[i], cloud.points[next]).squareRoot()
                nearest[i] = min(nearest[i], d)
            }
            radii.append(nearest.max() ?? 0)
        }
    }
}
