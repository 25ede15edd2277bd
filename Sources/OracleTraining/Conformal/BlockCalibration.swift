/// Conformal offsets for blocks of time to come.
///
/// Steps of one stretch of time resemble one another, so that the rows of a single calibration block stand for less than they
/// count: an offset that covers 80 % of them covers less of what follows. Here every stretch counts once, whatever its rows,
/// and the level of the quantile is raised until offsets taken from earlier blocks cover what was promised on blocks that
/// start at least a gap later, in the mean over groups (cf. Dunn, Wasserman & Ramdas 2022 on two-layer conformal sets). A group
/// with rows enough has an offset of its own, to which the others lend a little.
package struct BlockCalibration: Sendable, Equatable {
    /// Scores of one stretch of time.
    package struct Block: Sendable, Equatable {
        /// Group whose rows they are.
        package var group: String
        /// Where it starts and ends, as shares of its run's time.
        package var start: Double
        package var end: Double
        /// How far each row lay outside its interval, in widths; negative inside.
        package var scores: [Double]

        /// A block.
        package init(group: String, start: Double, end: Double, scores: [Double]) {
            self.group = group
            self.start = start
            self.end = end
            self.scores = scores
        }
    }

    /// Offset of a group.
    package struct Offset: Sendable, Equatable {
        /// Widths by which each side moves outwards; negative narrows.
        package var widening: Double
        /// Rows it rests on.
        package var rows: Int
    }

    /// Level of the quantile of the scores that is taken; at least the coverage promised.
    package private(set) var level: Double
    /// For all groups together.
    package private(set) var pooled: Offset
    /// For groups that are large enough, by name.
    package private(set) var byGroup: [String: Offset] = [:]
    /// Groups too small to stand alone, in order of name.
    package private(set) var pooledGroups: [String] = []

    /// Time between the blocks that offsets come from and the block on which they are judged, as a share of the run.
    package static let gap = 1.0 / 12
    /// What the blocks of all other groups weigh together beside a group's own, in blocks: a run has few stretches of time, and
    /// how far they differ is better known from all runs.
    private static let borrowed = 2.0
    /// No level is higher: beyond it the offset rests on a handful of rows.
    private static let highest = 0.98

    /// Calibrates on blocks of held-out scores, all of them finite.
    /// - Returns: nil without rows.
    package init?(_ blocks: [Block], coverage: Double) {
        let used = blocks.filter { !$0.scores.isEmpty }
        guard !used.isEmpty else { return nil }
        let names = Set(used.map(\.group)).sorted()
        let groups = names.map { name in used.filter { $0.group == name } }
        level = Self.level(groups, coverage)
        let all = Table(used)
        pooled = Offset(widening: all.quantile(level), rows: all.values.count)
        for (name, blocks) in zip(names, groups) {
            let own = Table(blocks)
            if own.values.count < GroupedConformal.leastRows {
                pooledGroups.append(name)
            } else {
                byGroup[name] = Offset(
                    widening: all.quantile(level, of: own, others: Self.borrowed), rows: own.values.count)
            }
        }
    }

    /// The least level, not below `coverage`, at which earlier blocks cover later ones as promised.
    private static func level(_ groups: [[Block]], _ coverage: Double) -> Double {
        // What each block is judged by: the sorted scores of the blocks of its group that ended a gap before it.
        var judged: [[(earlier: [Block], scores: [Double])]] = []
        for own in groups {
            var list: [(earlier: [Block], scores: [Double])] = []
            for block in own {
                let earlier = own.filter { $0.end <= block.start - gap + 1e-9 }
                let rows = earlier.reduce(0) { $0 + $1.scores.count }
                if rows >= 50 { list.append((earlier, block.scores)) }
            }
            if !list.isEmpty { judged.append(list) }
        }
        guard !judged.isEmpty else { return coverage }
        let tables = judged.map { list in list.map { (table: Table($0.earlier), scores: $0.scores) } }
        func covered(_ level: Double) -> Double {
            var sum = 0.0
            for list in tables {
                var own = 0.0
                for (table, scores) in list {
                    let offset = table.quantile(level)
                    own += Double(scores.count { $0 <= offset }) / Double(scores.count)
                }
                sum += own / Double(list.count)
            }
            return sum / Double(tables.count)
        }
        guard covered(coverage) < coverage else { return coverage }
        var (low, high) = (coverage, max(highest, coverage))
        for _ in 0..<20 {
            let middle = (low + high) / 2
            if covered(middle) < coverage { low = middle } else { high = middle }
        }
        return high
    }

    /// Scores in order, each weighted so that every block counts the same.
    private struct Table {
        private(set) var values: [Double] = []
        /// Blocks' worth of scores up to each.
        private var mass: [Double] = []
        private let blocks: Int

        init(_ blocks: [Block]) {
            var rows: [(score: Double, weight: Double)] = []
            for block in blocks {
                let weight = 1 / Double(block.scores.count)
                for score in block.scores { rows.append((score, weight)) }
            }
            rows.sort { $0.score < $1.score }
            var sum = 0.0
            for row in rows {
                sum += row.weight
                values.append(row.score)
                mass.append(sum)
            }
            self.blocks = blocks.count
        }

        func quantile(_ level: Double) -> Double {
            // One more row than there are, as if the next one were the largest.
            let total = Double(blocks) * (1 + 1 / Double(values.count))
            return first { mass[$0] >= (level - 1e-9) * total }
        }

        /// The quantile of some of these blocks, to which all others together add as much as `borrowed` blocks.
        func quantile(_ level: Double, of own: Table, others borrowed: Double) -> Double {
            guard blocks > own.blocks else { return own.quantile(level) }
            let total = (Double(own.blocks) + borrowed) * (1 + 1 / Double(values.count))
            let share = borrowed / Double(blocks - own.blocks)
            return first { k in
                let inside = own.massUpTo(values[k])
                return inside + share * (massUpTo(values[k]) - inside) >= (level - 1e-9) * total
            }
        }

        /// Blocks' worth of scores that are at most `score`.
        private func massUpTo(_ score: Double) -> Double {
            var (low, high) = (0, values.count)
            while low < high {
                let middle = (low + high) / 2
                if values[middle] <= score { low = middle + 1 } else { high = middle }
            }
            return low > 0 ? mass[low - 1] : 0
        }

        /// The least score at which a condition holds that holds from there on; the largest where it never does.
        private func first(where holds: (Int) -> Bool) -> Double {
            var (low, high) = (0, values.count - 1)
            while low < high {
                let middle = (low + high) / 2
                if holds(middle) { high = middle } else { low = middle + 1 }
            }
            return values[low]
        }
    }
}
