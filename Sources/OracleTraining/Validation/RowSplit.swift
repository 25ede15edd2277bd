import ServingCore

/// Rows to train on and rows to test on.
public struct RowSplit: Sendable {
    /// What is held out.
    public var name: String
    /// Indices of training rows.
    public var train: [Int]
    /// Indices of test rows.
    public var test: [Int]

    /// The first `fraction` of each run trains, the rest tests, with `gap` rows left out between.
    public static func forward(_ data: StepDataSet, fraction: Double, gap: Int = 0) -> RowSplit {
        var split = RowSplit(
            name: "last \(Int(((1 - fraction) * 100).rounded())) % of each run", train: [], test: [])
        for rows in rowsByRun(data) {
            let cut = Int((Double(rows.count) * fraction).rounded())
            split.train += rows[..<min(cut, rows.count)]
            split.test += rows[min(cut + gap, rows.count)...]
        }
        return split
    }

    /// Forward-chained blocks: each run is cut into `blocks` + 1 pieces of time; piece k + 1 tests what pieces up to k
    /// taught, `gap` rows after them left out.
    public static func forwardBlocks(_ data: StepDataSet, blocks: Int, gap: Int = 0) -> [RowSplit] {
        let runs = rowsByRun(data)
        return (1...max(1, blocks)).map { block in
            var split = RowSplit(name: "time block \(block + 1) of \(blocks + 1)", train: [], test: [])
            for rows in runs {
                let cut = rows.count * block / (blocks + 1)
                let end = rows.count * (block + 1) / (blocks + 1)
                split.train += rows[..<cut]
                split.test += rows[min(cut + gap, end)..<end]
            }
            return split
        }
    }

    /// Contiguous blocks of time, each held out once against all the others.
    public static func timeBlocks(_ data: StepDataSet, blocks: Int) -> [RowSplit] {
        let runs = rowsByRun(data)
        return (0..<max(2, blocks)).map { block in
            var split = RowSplit(name: "time block \(block + 1)", train: [], test: [])
            for rows in runs {
                let start = rows.count * block / max(2, blocks)
                let end = rows.count * (block + 1) / max(2, blocks)
                split.train += rows[..<start]
                split.train += rows[end...]
                split.test += rows[start..<end]
            }
            return split
        }
    }

    /// What leave-one-out validation leaves out.
    public enum Held: String, Sendable, CaseIterable {
        /// A model, on all hardware.
        case model
        /// An accelerator type, with all models.
        case hardware
        /// A configuration: one donor.
        case configuration
    }

    /// One split per model, accelerator or configuration.
    /// - Throws: `InvalidInput` when there is only one.
    public static func leaveOneOut(_ data: StepDataSet, _ held: Held) throws -> [RowSplit] {
        func label(_ group: StepDataSet.Group) -> String {
            switch held {
            case .model: group.facts.modelName
            case .hardware: group.facts.acceleratorName
            case .configuration: group.name
            }
        }
        let labels = data.groups.map(label)
        let used = Set(data.group)
        var distinct: [String] = []
        for index in data.groups.indices where used.contains(index) && !distinct.contains(labels[index]) {
            distinct.append(labels[index])
        }
        guard distinct.count > 1 else {
            throw InvalidInput(
                field: "leave one \(held.rawValue) out", value: distinct.first,
                "is the only \(held.rawValue) in the data", accepted: "rows of at least two")
        }
        return distinct.map { name in
            var split = RowSplit(name: name, train: [], test: [])
            for i in 0..<data.count {
                if labels[data.group[i]] == name { split.test.append(i) } else { split.train.append(i) }
            }
            return split
        }
    }

    /// Row indices of every run and deployment, in order of time.
    static func rowsByRun(_ data: StepDataSet) -> [[Int]] {
        var order: [Int: Int] = [:]
        var rows: [[Int]] = []
        for i in 0..<data.count {
            let key = data.run[i] * (data.groups.count + 1) + data.group[i]
            if let place = order[key] {
                rows[place].append(i)
            } else {
                order[key] = rows.count
                rows.append([i])
            }
        }
        return rows
    }
}
