import LatencyOracle
import ServingCore

/// Finds which entries of the configuration vector tell apart configurations that need models of their own.
///
/// Groups of configurations are scored by how well a non-negative model with relative loss, fitted on the others of a
/// group, predicts configurations left out. All of it happens on one Gram matrix per configuration, so that a
/// grouping costs milliseconds whatever the number of rows. Entries are added one at a time while that helps.
package struct StructureSearch {
    /// A way to group configurations.
    package struct Structure: Sendable, Equatable {
        /// Entries of the vector that count.
        package var entries: [Int]
        /// Group of each configuration.
        package var labels: [Int]
        /// Mean over configurations of the root mean squared relative error on those left out.
        package var heldOutError: Double
    }

    /// Configurations that a split must leave on both sides.
    static let leastConfigurations = 6

    private let size: Int
    private let grams: [[Double]]
    private let projections: [[Double]]
    private let squares: [Double]
    private let vectors: [[Double]]
    private let fold: [Int]
    private let folds: Int
    private let chosen: [Int]
    /// Collects the Gram matrices of `configurations`; `vectors` are their standardised places.
    package init(_ data: ConfiguredRows, configurations: [Int], vectors: [[Double]]) {
        let columns = data.features.count
        size = columns + 1
        chosen = configurations
        self.vectors = vectors
        folds = min(10, configurations.count)
        // Neighbours in the list tend to be alike; dealing them out keeps every fold mixed.
        fold = configurations.indices.map { $0 % max(1, min(10, configurations.count)) }
        var scale = [Double](repeating: 0, count: columns + 1)
        var raw: [(gram: [Double], projection: [Double])] = []
        for c in configurations {
            let quads = RowBlock(width: columns + 2, count: data.members[c].count)
            let n = Double(max(1, data.members[c].count))
            for (r, i) in data.members[c].enumerated() {
                let out = quads.elements(r)
                let w = 1 / (data.rows.targets[i] * n.squareRoot())
                out[0] = w
                let start = i * columns
                data.rows.features.withUnsafeBufferPointer { f in
                    for j in 0..<columns { out[j + 1] = f[start + j] * w }
                }
                out[columns + 1] = 1 / n.squareRoot()
            }
            let full = RowKernels.gram(quads)
            let k = columns + 1
            var gram = [Double](repeating: 0, count: k * k)
            for a in 0..<k { for b in 0..<k { gram[a * k + b] = full[a * (k + 1) + b] } }
            for a in 0..<k { scale[a] += gram[a * k + a] }
            raw.append((gram, (0..<k).map { full[$0 * (k + 1) + k] }))
        }
        let k = columns + 1
        let s = scale.map { $0 > 0 ? 1 / $0.squareRoot() : 0 }
        grams = raw.map { r in (0..<k * k).map { r.gram[$0] * s[$0 / k] * s[$0 % k] } }
        projections = raw.map { r in (0..<k).map { r.projection[$0] * s[$0] } }
        squares = configurations.map { data.members[$0].isEmpty ? 0 : 1 }
    }

    /// The best grouping by Ward's method on a few entries.
    package func search(most: Int = 48, depth: Int = 4) -> Structure {
        byEntries(from: none, most: most, depth: depth)
    }

    /// The best grouping by splitting groups in two at a value of one entry, from one group and from Ward's.
    package func searchSplits(most: Int = 48) -> Structure {
        var best = refined(none, most: most)
        let other = refined(search(most: most), most: most)
        if other.heldOutError < best.heldOutError { best = other }
        return best
    }

    private var none: Structure { score(entries: [], labels: [Int](repeating: 0, count: chosen.count)) }

    /// Adds entries one at a time.
    private func byEntries(from none: Structure, most: Int, depth: Int) -> Structure {
        var best = none
        let width = vectors.first?.count ?? 0
        while best.entries.count < depth {
            var next: Structure?
            for entry in 0..<width where !best.entries.contains(entry) {
                let entries = best.entries + [entry]
                for structure in groupings(entries, most: most) {
                    if structure.heldOutError < (next ?? best).heldOutError { next = structure }
                }
            }
            guard let next, next.heldOutError < best.heldOutError * 0.99 else { break }
            best = next
        }
        return best
    }

    /// Splits groups at a value of one entry as long as the configurations left out gain by it.
    private func refined(_ start: Structure, most: Int) -> Structure {
        var groups = [[Int]](repeating: [], count: (start.labels.max() ?? 0) + 1)
        for (i, g) in start.labels.enumerated() { groups[g].append(i) }
        var entries = start.entries
        var open = groups.map { ($0, heldOut($0)) }
        var done: [[Int]] = []
        let width = vectors.first?.count ?? 0
        while let (group, error) = open.popLast() {
            var best: (left: [Int], leftError: Double, right: [Int], rightError: Double, entry: Int)?
            if done.count + open.count + 1 < most, group.count >= 2 * Self.leastConfigurations {
                for entry in 0..<width {
                    let values = Set(group.map { vectors[$0][entry] }).sorted()
                    // Many values: every so many of them.
                    let stride = max(1, values.count / 8)
                    for k in Swift.stride(from: 1, to: values.count, by: stride) {
                        let left = group.filter { vectors[$0][entry] < values[k] }
                        let right = group.filter { vectors[$0][entry] >= values[k] }
                        guard left.count >= Self.leastConfigurations, right.count >= Self.leastConfigurations
                        else { continue }
                        let (a, b) = (heldOut(left), heldOut(right))
                        if a + b < (best.map { $0.leftError + $0.rightError } ?? error) {
                            best = (left, a, right, b, entry)
                        }
                    }
                }
            }
            guard let best, best.leftError + best.rightError < 0.92 * error else {
                done.append(group)
                continue
            }
            if !entries.contains(best.entry) { entries.append(best.entry) }
            open.append((best.left, best.leftError))
            open.append((best.right, best.rightError))
        }
        var labels = [Int](repeating: 0, count: chosen.count)
        for (g, group) in done.enumerated() { for i in group { labels[i] = g } }
        let total = done.map(heldOut).reduce(0, +) / Double(max(1, chosen.count))
        return Structure(entries: entries.sorted(), labels: labels, heldOutError: total)
    }

    /// Summed held-out error of the configurations of one group, fitted on its own folds.
    private func heldOut(_ group: [Int]) -> Double {
        var byFold = [[Int]](repeating: [], count: folds)
        for i in group { byFold[fold[i]].append(i) }
        var gram = [Double](repeating: 0, count: size * size)
        var projection = [Double](repeating: 0, count: size)
        func add(_ i: Int, _ sign: Double, _ g: inout [Double], _ p: inout [Double]) {
            let a = grams[i]
            let c = projections[i]
            for k in g.indices { g[k] += sign * a[k] }
            for k in p.indices { p[k] += sign * c[k] }
        }
        for i in group { add(i, 1, &gram, &projection) }
        var warm = [Double](repeating: 0, count: size)
        var total = 0.0
        for out in byFold where !out.isEmpty {
            if out.count == group.count {
                total += Double(out.count)
                continue
            }
            var g = gram
            var p = projection
            for i in out { add(i, -1, &g, &p) }
            descend(g, p, &warm)
            for i in out { total += error(i, warm) }
        }
        return total
    }

    /// Groupings by Ward's method on the entries given, several sizes each.
    private func groupings(_ entries: [Int], most: Int) -> [Structure] {
        let points = vectors.map { v in entries.map { v[$0] } }
        var places: [[Double]: Int] = [:]
        var distinct: [[Double]] = []
        let place = points.map { p -> Int in
            if let known = places[p] { return known }
            places[p] = distinct.count
            distinct.append(p)
            return distinct.count - 1
        }
        guard distinct.count > 1, distinct.count <= 120 else { return [] }
        let ward = WardClustering(PointCloud(distinct))
        var result: [Structure] = []
        for k in [2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48] where k <= min(most, distinct.count) {
            let cut = ward.cut(k)
            result.append(score(entries: entries, labels: place.map { cut.labels[$0] }))
        }
        return result
    }

    /// Held-out error of a grouping.
    package func score(entries: [Int], labels: [Int]) -> Structure {
        let groups = (labels.max() ?? 0) + 1
        var total = 0.0
        var inGroup = [[Int]](repeating: [], count: groups)
        for (i, g) in labels.enumerated() { inGroup[g].append(i) }
        let points = vectors.map { v in entries.map { v[$0] } }
        var warm = [Double](repeating: 0, count: size)
        for g in 0..<groups {
            for f in 0..<folds {
                let out = inGroup[g].filter { fold[$0] == f }
                guard !out.isEmpty else { continue }
                var train = inGroup[g].filter { fold[$0] != f }
                if train.isEmpty { train = nearest(to: out[0], points: points, fold: f, labels: labels) }
                guard !train.isEmpty else {
                    total += Double(out.count)
                    continue
                }
                var gram = [Double](repeating: 0, count: size * size)
                var projection = [Double](repeating: 0, count: size)
                for i in train {
                    let a = grams[i]
                    for k in gram.indices { gram[k] += a[k] }
                    for k in projection.indices { projection[k] += projections[i][k] }
                }
                descend(gram, projection, &warm)
                for i in out { total += error(i, warm) }
            }
        }
        return Structure(entries: entries, labels: labels, heldOutError: total / Double(max(1, chosen.count)))
    }

    /// Configurations outside fold `f` in the group of the nearest one.
    private func nearest(to i: Int, points: [[Double]], fold f: Int, labels: [Int]) -> [Int] {
        var best: (index: Int, distance: Double)?
        for j in points.indices where fold[j] != f {
            let d = PointCloud.squaredDistance(points[i], points[j])
            if d < best?.distance ?? .infinity { best = (j, d) }
        }
        guard let best else { return [] }
        return labels.indices.filter { labels[$0] == labels[best.index] && fold[$0] != f }
    }

    private func error(_ i: Int, _ x: [Double]) -> Double {
        var sum = squares[i]
        let a = grams[i]
        for r in 0..<size where x[r] != 0 {
            sum -= 2 * x[r] * projections[i][r]
            for c in 0..<size { sum += x[r] * a[r * size + c] * x[c] }
        }
        // One wild configuration must not decide.
        return min(max(0, sum).squareRoot(), 2)
    }

    /// Non-negative least squares by cyclic coordinate descent from where it stood.
    private func descend(_ gram: [Double], _ projection: [Double], _ x: inout [Double]) {
        let n = size
        gram.withUnsafeBufferPointer { a in
            x.withUnsafeMutableBufferPointer { x in
                var gradient = projection
                gradient.withUnsafeMutableBufferPointer { g in
                    for r in 0..<n where x[r] != 0 { for c in 0..<n { g[c] -= a[r * n + c] * x[r] } }
                    for _ in 0..<60 {
                        var largest = 0.0
                        for r in 0..<n {
                            let d = a[r * n + r]
                            guard d > 1e-12 else { continue }
                            let value = max(0, x[r] + g[r] / d)
                            let change = value - x[r]
                            if change == 0 { continue }
                            x[r] = value
                            largest = max(largest, abs(change) * d.squareRoot())
                            for c in 0..<n { g[c] -= a[r * n + c] * change }
                        }
                        if largest < 1e-4 { break }
                    }
                }
            }
        }
    }
}
