/// Configurations as points: standardised coordinates and the distances between them.
package struct PointCloud: Sendable, Equatable {
    /// One vector per configuration.
    package var points: [[Double]]

    /// Points as given.
    package init(_ points: [[Double]]) { self.points = points }

    /// Points with every coordinate brought to mean 0 and population standard deviation 1; a coordinate that never changes
    /// becomes 0 everywhere.
    package static func standardising(_ points: [[Double]]) -> (
        cloud: PointCloud, means: [Double], scales: [Double]
    ) {
        guard let first = points.first else { return (PointCloud([]), [], []) }
        let n = Double(points.count)
        var means = [Double](repeating: 0, count: first.count)
        var scales = means
        for p in points { for j in means.indices { means[j] += p[j] / n } }
        for p in points { for j in means.indices { scales[j] += (p[j] - means[j]) * (p[j] - means[j]) / n } }
        for j in scales.indices {
            let deviation = scales[j].squareRoot()
            scales[j] = deviation <= 1e-12 * abs(means[j]) || deviation < 1e-150 ? 0 : deviation
        }
        let standard = points.map { p in
            p.indices.map { scales[$0] > 0 ? (p[$0] - means[$0]) / scales[$0] : 0 }
        }
        return (PointCloud(standard), means, scales)
    }

    /// Squared Euclidean distance.
    package static func squaredDistance(_ a: [Double], _ b: [Double]) -> Double {
        var sum = 0.0
        for j in a.indices { sum += (a[j] - b[j]) * (a[j] - b[j]) }
        return sum
    }

    /// All pairwise distances, row by row.
    package var distances: [[Double]] {
        points.map { a in points.map { Self.squaredDistance(a, $0).squareRoot() } }
    }

    /// The point whose distances to all others sum to least, the first on ties; nil without points.
    package var medoid: Int? {
        var best: (index: Int, sum: Double)?
        for (i, row) in distances.enumerated() {
            let sum = row.reduce(0, +)
            if sum < best?.sum ?? .infinity { best = (i, sum) }
        }
        return best?.index
    }
}

/// A division of points into clusters.
package struct Clustering: Sendable, Equatable {
    /// Cluster of each point, numbered from 0 in order of first appearance.
    package var labels: [Int]
    /// Mean of each cluster's points.
    package var centroids: [[Double]]
    /// Sum of squared distances to the centroids.
    package var inertia: Double

    /// Number of clusters.
    package var count: Int { centroids.count }

    /// Clusters of given labels; labels are renumbered by first appearance, so that equal divisions compare equal.
    package init(points: [[Double]], labels given: [Int]) {
        var names: [Int: Int] = [:]
        labels = given.map { label in
            if let known = names[label] { return known }
            let new = names.count
            names[label] = new
            return new
        }
        let width = points.first?.count ?? 0
        var sums = [[Double]](repeating: [Double](repeating: 0, count: width), count: names.count)
        var sizes = [Double](repeating: 0, count: names.count)
        for (p, c) in zip(points, labels) {
            for j in 0..<width { sums[c][j] += p[j] }
            sizes[c] += 1
        }
        for c in sums.indices { for j in 0..<width { sums[c][j] /= sizes[c] } }
        centroids = sums
        inertia = 0
        for (p, c) in zip(points, labels) { inertia += PointCloud.squaredDistance(p, sums[c]) }
    }

    /// Mean silhouette (b - a) / max(a, b) over points; a point alone in its cluster scores 0. nil below two clusters or when
    /// every point is a cluster of its own.
    package func silhouette(_ cloud: PointCloud) -> Double? {
        let n = cloud.points.count
        guard count > 1, count < n else { return nil }
        let distances = cloud.distances
        var sizes = [Int](repeating: 0, count: count)
        for c in labels { sizes[c] += 1 }
        var total = 0.0
        for i in 0..<n where sizes[labels[i]] > 1 {
            var sums = [Double](repeating: 0, count: count)
            for j in 0..<n where j != i { sums[labels[j]] += distances[i][j] }
            let a = sums[labels[i]] / Double(sizes[labels[i]] - 1)
            var b = Double.infinity
            for c in 0..<count where c != labels[i] { b = min(b, sums[c] / Double(sizes[c])) }
            let larger = max(a, b)
            if larger > 0 { total += (b - a) / larger }
        }
        return total / Double(n)
    }

    /// Agreement of two divisions, corrected for chance: 1 when equal, about 0 when unrelated (Hubert & Arabie 1985).
    package func adjustedRandIndex(_ other: Clustering) -> Double {
        let n = labels.count
        guard n > 1 else { return 1 }
        var table = [[Double]](repeating: [Double](repeating: 0, count: other.count), count: count)
        for (a, b) in zip(labels, other.labels) { table[a][b] += 1 }
        func pairs(_ x: Double) -> Double { x * (x - 1) / 2 }
        let together = table.flatMap { $0 }.map(pairs).reduce(0, +)
        let mine = table.map { pairs($0.reduce(0, +)) }.reduce(0, +)
        let theirs = (0..<other.count).map { b in pairs(table.map { $0[b] }.reduce(0, +)) }.reduce(0, +)
        let chance = mine * theirs / pairs(Double(n))
        let best = (mine + theirs) / 2
        return best == chance ? 1 : (together - chance) / (best - chance)
    }
}
