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
        pooled = Offset(
            widening: Self.quantile(used, level), rows: used.reduce(0) { $0 + $1.scores.count })
        for (name, own) in zip(names, groups) {
            let rows = own.reduce(0) { $0 + $1.scores.count }
            if rows < GroupedConformal.leastRows {
                pooledGroups.append(name)
            } else {
                let others = used.filter { $0.group != name }
                byGroup[name] = Offset(
                    widening: Table(own, beside: others, weighing: Self.borrowed).quantile(level), rows: rows)
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
        var values: [Double] = []
        var reached: [Double] = []

        init(_ blocks: [Block], beside others: [Block] = [], weighing borrowed: Double = 0) {
            var rows: [(score: Double, weight: Double)] = []
            for block in blocks {
                let weight = 1 / Double(block.scores.count)
                for score in block.scores { rows.append((score, weight)) }
            }
            for block in others {
                let weight = borrowed / Double(others.count * block.scores.count)
                for score in block.scores { rows.append((score, weight)) }
            }
            rows.sort { $0.score < $1.score }
            // One more row than there are, as if the next one were the largest.
            let mass = Double(blocks.count) + (others.isEmpty ? 0 : borrowed)
            let total = mass * (1 + 1 / Double(rows.count))
            var sum = 0.0
            for row in rows {
                sum += row.weight
                values.append(row.score)
                reached.append(sum / total)
            }
        }

        func quantile(_ level: Double) -> Double {
            var low = 0
            var high = values.count - 1
            while low < high {
                let middle = (low + high) / 2
                if reached[middle] < level - 1e-9 { low = middle + 1 } else { high = middle }
            }
            return values[low]
        }
    }

    private static func quantile(_ blocks: [Block], _ level: Double) -> Double {
        Table(blocks).quantile(level)
    }
}
