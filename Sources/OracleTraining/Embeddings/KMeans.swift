import ServingCore

/// k-means with k-means++ starts (Arthur & Vassilvitskii 2007), each polished by moving single points (Hartigan & Wong 1979).
package enum KMeans {
    /// The best clustering of several starts, and how much the start mattered.
    package struct Result: Sendable, Equatable {
        /// The division with the least inertia.
        package var best: Clustering
        /// Share of starts that ended within 1e-9 of the least inertia.
        package var shareAtBest: Double
        /// Mean adjusted Rand index of the other starts' divisions with the best one.
        package var agreement: Double
    }

    /// Divides points into `k` clusters.
    /// - Parameter restarts: independent starts; numbered streams of `seed`.
    /// - Throws: `InvalidInput` when there are fewer distinct points than clusters.
    package static func cluster(
        _ cloud: PointCloud, k: Int, restarts: Int = 60, seed: UInt64 = 0
    ) throws(InvalidInput) -> Result {
        let points = cloud.points
        let distinct = Set(points).count
        guard k >= 1, k <= distinct else {
            throw InvalidInput(
                field: "specialists", value: "\(k)",
                "can't be formed from \(distinct) distinct configurations",
                accepted: distinct > 0 ? "1 to \(distinct)" : "at least one configuration")
        }
        var runs: [Clustering] = []
        for restart in 0..<max(1, restarts) {
            var stream = RandomStream(seed: seed, purpose: "k-means", index: UInt64(restart))
            runs.append(polish(points, lloyd(points, start(points, k, &stream))))
        }
        var best = 0
        for i in runs.indices where runs[i].inertia < runs[best].inertia * (1 - 1e-12) { best = i }
        let least = runs[best].inertia
        let same = runs.filter { $0.inertia <= least * (1 + 1e-9) + 1e-300 }.count
        let others = runs.indices.filter { $0 != best }
        let agreement =
            others.isEmpty
            ? 1 : others.map { runs[$0].adjustedRandIndex(runs[best]) }.reduce(0, +) / Double(others.count)
        return Result(
            best: runs[best], shareAtBest: Double(same) / Double(runs.count), agreement: agreement)
    }

    /// Starting centroids: each next one drawn in proportion to the squared distance to the nearest so far.
    private static func start(_ points: [[Double]], _ k: Int, _ stream: inout RandomStream) -> [[Double]] {
        let first = min(points.count - 1, Int(stream.uniform() * Double(points.count)))
        var centroids = [points[first]]
        var nearest = points.map { PointCloud.squaredDistance($0, points[first]) }
        while centroids.count < k {
            let total = nearest.reduce(0, +)
            var left = stream.uniform() * total
            var chosen = nearest.lastIndex { $0 > 0 } ?? 0
            for (i, d) in nearest.enumerated() where d > 0 {
                left -= d
                if left < 0 {
                    chosen = i
                    break
                }
            }
            centroids.append(points[chosen])
            for i in points.indices {
                nearest[i] = min(nearest[i], PointCloud.squaredDistance(points[i], points[chosen]))
            }
        }
        return centroids
    }

    private static func lloyd(_ points: [[Double]], _ start: [[Double]]) -> [Int] {
        var centroids = start
        var labels = [Int](repeating: -1, count: points.count)
        for _ in 0..<300 {
            var changed = false
            for (i, p) in points.enumerated() {
                var best = 0
                var least = Double.infinity
                for (c, centroid) in centroids.enumerated() {
                    let d = PointCloud.squaredDistance(p, centroid)
                    if d < least {
                        least = d
                        best = c
                    }
                }
                if labels[i] != best {
                    labels[i] = best
                    changed = true
                }
            }
            if !changed { break }
            var sizes = [Double](repeating: 0, count: centroids.count)
            var sums = centroids.map { _ in [Double](repeating: 0, count: points[0].count) }
            for (p, c) in zip(points, labels) {
                sizes[c] += 1
                for j in p.indices { sums[c][j] += p[j] }
            }
            // A cluster that lost its points keeps its centroid; the polish fills it again.
            for c in centroids.indices where sizes[c] > 0 { centroids[c] = sums[c].map { $0 / sizes[c] } }
        }
        // Every cluster must hold a point: an empty one takes the point farthest from its own centroid.
        for c in centroids.indices where !labels.contains(c) {
            var worst = 0
            var farthest = -1.0
            for (i, p) in points.enumerated() where labels.filter({ $0 == labels[i] }).count > 1 {
                let d = PointCloud.squaredDistance(p, centroids[labels[i]])
                if d > farthest {
                    farthest = d
                    worst = i
                }
            }
            labels[worst] = c
        }
        return labels
    }

    /// Moves single points between clusters as long as that lowers the inertia.
    private static func polish(_ points: [[Double]], _ start: [Int]) -> Clustering {
        var clustering = Clustering(points: points, labels: start)
        var sizes = [Double](repeating: 0, count: clustering.count)
        for c in clustering.labels { sizes[c] += 1 }
        for _ in 0..<200 {
            var moved = false
            for (i, p) in points.enumerated() {
                let from = clustering.labels[i]
                guard sizes[from] > 1 else { continue }
                let gain =
                    sizes[from] / (sizes[from] - 1)
                    * PointCloud.squaredDistance(p, clustering.centroids[from])
                var best = from
                var least = gain * (1 - 1e-12)
                for c in clustering.centroids.indices where c != from {
                    let cost =
                        sizes[c] / (sizes[c] + 1) * PointCloud.squaredDistance(p, clustering.centroids[c])
                    if cost < least {
                        least = cost
                        best = c
                    }
                }
                guard best != from else { continue }
                for j in p.indices {
                    clustering.centroids[from][j] +=
                        (clustering.centroids[from][j] - p[j]) / (sizes[from] - 1)
                    clustering.centroids[best][j] +=
                        (p[j] - clustering.centroids[best][j]) / (sizes[best] + 1)
                }
                sizes[from] -= 1
                sizes[best] += 1
                clustering.labels[i] = best
                moved = true
            }
            if !moved { break }
        }
        return Clustering(points: points, labels: clustering.labels)
    }
}
