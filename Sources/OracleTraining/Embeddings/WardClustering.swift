/// Agglomerative clustering that always joins the two clusters whose union adds least to the inertia (Ward 1963).
package struct WardClustering: Sendable, Equatable {
    /// Height of each join in order: sqrt(2 |A| |B| / (|A| + |B|)) times the distance of the centroids.
    package var heights: [Double]
    private let joins: [(Int, Int)]
    private let points: [[Double]]

    package static func == (a: WardClustering, b: WardClustering) -> Bool {
        a.heights == b.heights && a.points == b.points
    }

    /// Joins all points; O(n^3), meant for hundreds of configurations. Ties go to the lowest indices.
    package init(_ cloud: PointCloud) {
        points = cloud.points
        let n = points.count
        let given = cloud.points
        var squared = given.map { a in given.map { PointCloud.squaredDistance(a, $0) } }
        var sizes = [Double](repeating: 1, count: n)
        var alive = Array(0..<n)
        var heights: [Double] = []
        var joins: [(Int, Int)] = []
        while alive.count > 1 {
            var best = (a: alive[0], b: alive[1])
            var least = Double.infinity
            for (x, a) in alive.enumerated() {
                for b in alive[(x + 1)...] where squared[a][b] < least {
                    least = squared[a][b]
                    best = (a, b)
                }
            }
            let (a, b) = best
            heights.append(least.squareRoot())
            joins.append((a, b))
            // Lance-Williams update of the squared Ward distance.
            for c in alive where c != a && c != b {
                let total = sizes[a] + sizes[b] + sizes[c]
                let value =
                    ((sizes[a] + sizes[c]) * squared[a][c] + (sizes[b] + sizes[c]) * squared[b][c] - sizes[c]
                        * least)
                    / total
                squared[a][c] = value
                squared[c][a] = value
            }
            sizes[a] += sizes[b]
            alive.removeAll { $0 == b }
        }
        self.heights = heights
        self.joins = joins
    }

    /// The division into `k` clusters (at most one per point).
    package func cut(_ k: Int) -> Clustering {
        var parent = Array(points.indices)
        for (a, b) in joins.prefix(max(0, points.count - max(1, k))) { parent[b] = a }
        func root(_ i: Int) -> Int {
            var i = i
            while parent[i] != i { i = parent[i] }
            return i
        }
        return Clustering(points: points, labels: points.indices.map(root))
    }
}
