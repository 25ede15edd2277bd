/// Finds which entries of the configuration vector tell apart configurations that need models of their own.
///
/// Groups of configurations are scored by how well a relative least-squares model of the others in a group, with a little
/// of everything else mixed in, predicts configurations left out. All of it happens on one Gram matrix per configuration,
/// so that a grouping costs milliseconds whatever the number of rows. Entries are added one at a time while that helps.
package struct StructureSearch {
    /// A way to group configurations.
    package struct Structure: Sendable, Equatable {
        /// Entries of the vector that count.
        package var entries: [Int]
        /// Group of each configuration.
        package var labels: [Int]
        /// What all configurations outside a group weigh in its fit, in units of one configuration.
        package var share: Double
        /// Mean over configurations of the root mean squared relative error on those left out.
        package var heldOutError: Double
    }

    /// Shares of the rest that are tried on the grouping found, and the one that it is found with.
    static let shares = [0, 0.01, 0.03, 0.1, 0.3, 1]
    static let usualShare = 0.03
    /// Numbers of groups that are tried.
    private static let sizes = [2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48]

    private let grams: ConfigurationGrams
    private let chosen: [Int]
    private let vectors: [[Double]]
    private let fold: [Int]
    private let folds: Int
    /// Everything outside each fold.
    private let outside: [ConfigurationGrams.Total]
    /// Errors of groups met before: cuts of one tree share most of their groups.
    private var known: [[Int]: Double] = [:]
    private var share = Self.usualShare

    /// Looks at `configurations`, whose standardised places are `vectors`.
    package init(_ grams: ConfigurationGrams, configurations: [Int], vectors: [[Double]]) {
        self.grams = grams
        chosen = configurations
        self.vectors = vectors
        let n = configurations.count
        // Left out one at a time where there are few; neighbours in the list tend to be alike, and dealing them out keeps
        // every fold mixed.
        let folds = n <= 20 ? max(1, n) : 5
        self.folds = folds
        fold = configurations.indices.map { $0 % folds }
        var everything = ConfigurationGrams.Total(size: grams.size)
        for c in configurations { grams.add(c, to: &everything) }
        outside = (0..<folds).map { f in
            var rest = everything
            for (i, c) in configurations.enumerated() where i % folds == f {
                grams.add(c, times: -1, to: &rest)
            }
            return rest
        }
    }

    /// The best grouping by Ward's method on a few entries.
    package mutating func search(most: Int = 48, depth: Int = 4) -> Structure {
        var best = score(entries: [], labels: [Int](repeating: 0, count: chosen.count))
        let width = vectors.first?.count ?? 0
        let varying = (0..<width).filter { j in vectors.contains { $0[j] != vectors[0][j] } }
        while best.entries.count < depth {
            var next: Structure?
            for entry in varying where !best.entries.contains(entry) {
                let entries = best.entries + [entry]
                if let found = grouping(entries, most: most, below: (next ?? best).heldOutError) {
                    next = found
                }
            }
            guard let next, next.heldOutError < best.heldOutError * 0.99 else { break }
            best = next
        }
        guard !best.entries.isEmpty else {
            best.share = 0
            return best
        }
        for value in Self.shares where value != Self.usualShare {
            share = value
            known = [:]
            let other = score(entries: best.entries, labels: best.labels)
            if other.heldOutError < best.heldOutError * 0.995 { best = other }
        }
        share = Self.usualShare
        known = [:]
        return best
    }

    /// Held-out error of a grouping; infinite when it is not below `limit`.
    package mutating func score(entries: [Int], labels: [Int], below limit: Double = .infinity) -> Structure {
        var groups = [[Int]](repeating: [], count: (labels.max() ?? 0) + 1)
        for (i, g) in labels.enumerated() { groups[g].append(i) }
        let count = Double(max(1, chosen.count))
        var total = 0.0
        var unknown: [[Int]] = []
        for group in groups where !group.isEmpty {
            if let error = known[group] { total += error } else { unknown.append(group) }
        }
        for group in unknown {
            // Errors only add up.
            if total >= limit * count { break }
            let error = heldOut(group)
            known[group] = error
            total += error
        }
        return Structure(
            entries: entries, labels: labels, share: share,
            heldOutError: total < limit * count ? total / count : .infinity)
    }

    /// Summed error of the configurations of one group, each predicted by the others of the group.
    private func heldOut(_ group: [Int]) -> Double {
        var byFold = [[Int]](repeating: [], count: folds)
        for i in group { byFold[fold[i]].append(i) }
        let whole = grams.total(group.map { chosen[$0] })
        var warm = [Double](repeating: 0, count: grams.size)
        var sum = 0.0
        for (f, out) in byFold.enumerated() where !out.isEmpty {
            var rest = whole
            for i in out { grams.add(chosen[i], times: -1, to: &rest) }
            let others = outside[f].count - rest.count
            // A group with nobody left answers by the model of all.
            let weight = rest.count < 0.5 ? max(share, 0.01) : share
            if others > 0.5, weight > 0 {
                let factor = weight / others
                var mixed = rest
                for k in mixed.gram.indices {
                    mixed.gram[k] += factor * (outside[f].gram[k] - rest.gram[k])
                }
                for k in mixed.projection.indices {
                    mixed.projection[k] += factor * (outside[f].projection[k] - rest.projection[k])
                }
                mixed.count += weight
                rest = mixed
            }
            guard rest.count > 0 else {
                sum += Double(out.count)
                continue
            }
            grams.descend(rest, &warm, tolerance: 1e-3)
            for i in out { sum += grams.error(chosen[i], warm) }
        }
        return sum
    }

    /// The best grouping by Ward's method on the entries given, of several sizes; nil when none is below `limit`.
    private mutating func grouping(_ entries: [Int], most: Int, below limit: Double) -> Structure? {
        let points = vectors.map { v in entries.map { v[$0] } }
        var places: [[Double]: Int] = [:]
        var distinct: [[Double]] = []
        let place = points.map { p -> Int in
            if let known = places[p] { return known }
            places[p] = distinct.count
            distinct.append(p)
            return distinct.count - 1
        }
        // Ward's method is cubic; so many places hold too few configurations each to learn from anyway.
        guard distinct.count > 1, distinct.count <= 120 else { return nil }
        let ward = WardClustering(PointCloud(distinct))
        var best: Structure?
        for k in Self.sizes where k <= min(most, distinct.count) {
            let cut = ward.cut(k)
            let found = score(
                entries: entries, labels: place.map { cut.labels[$0] }, below: best?.heldOutError ?? limit)
            if found.heldOutError < best?.heldOutError ?? limit { best = found }
        }
        return best
    }
}
