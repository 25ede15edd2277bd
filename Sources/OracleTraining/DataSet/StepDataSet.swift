import ServingCore
import StepTraces

/// Step rows to learn from, with the deployments that they come from.
public struct StepDataSet: Sendable {
    /// One deployment.
    public struct Group: Sendable, Equatable {
        /// Name in reports.
        public var name: String
        /// Feature inputs.
        public var facts: DeploymentFacts

        /// A deployment.
        public init(name: String, facts: DeploymentFacts) {
            self.name = name
            self.facts = facts
        }
    }

    /// Deployments.
    public private(set) var groups: [Group]
    /// Inputs of every row.
    public private(set) var states: [StepState] = []
    /// Measured duration of every row, seconds.
    public private(set) var seconds: [Double] = []
    /// Deployment of every row.
    public private(set) var group: [Int] = []
    /// Uninterrupted run that every row belongs to; rows of a run are in order of time.
    public private(set) var run: [Int] = []
    /// What the step that a row's time belongs to is expected to have prefilled, of rows where that is not recorded.
    private(set) var prefillBefore: [PrefillBefore?] = []
    /// Rows left out, by reason, in order of first occurrence.
    public private(set) var dropped: [(reason: String, rows: Int)] = []

    /// No rows yet.
    public init(groups: [Group] = []) { self.groups = groups }

    /// Number of rows.
    public var count: Int { seconds.count }

    /// Adds a deployment.
    /// - Returns: its index.
    public mutating func addGroup(_ group: Group) -> Int {
        groups.append(group)
        return groups.count - 1
    }

    /// Adds a row; one whose time or inputs are not finite and positive is counted and left out.
    public mutating func append(_ state: StepState, seconds: Double, group: Int, run: Int) {
        guard seconds.isFinite else { return drop("time is not finite") }
        guard seconds > 0 else { return drop("time is not above 0") }
        guard state.prefillAttentionPairs.isFinite else { return drop("an input is not finite") }
        states.append(state)
        self.seconds.append(seconds)
        self.group.append(group)
        self.run.append(run)
        prefillBefore.append(nil)
    }

    private mutating func drop(_ reason: String) { count(dropped: 1, reason) }

    /// Counts rows that were left out.
    mutating func count(dropped rows: Int, _ reason: String) {
        guard rows > 0 else { return }
        if let index = dropped.firstIndex(where: { $0.reason == reason }) {
            dropped[index].rows += rows
        } else {
            dropped.append((reason: reason, rows: rows))
        }
    }

    /// Reads traces; every row is resolved to its deployment. Deployments whose name, model or accelerator
    /// contains one of `exclude` are left out. Where the reader hands out excluded rows as well, rows with prefill whose
    /// time belongs to another step tell how often the others' steps prefilled.
    /// - Throws: `InvalidInput` for unreadable traces, unknown deployments, and when no row is left.
    public init(
        reading reader: consuming StepTraceReader, resolution: DeploymentResolution, exclude: [String] = []
    ) throws {
        groups = []
        var indices: [Int] = []
        var row = StepRow()
        var before = PrefillBeforeCollector()
        while try reader.next(&row) {
            while indices.count < reader.groups.count {
                let next = reader.groups[indices.count]
                // Excluded ones need not even be known to the catalog.
                let names = [next.name, next.configuration.model ?? "", next.configuration.accelerator ?? ""]
                if exclude.contains(where: { excluded in names.contains { $0.contains(excluded) } }) {
                    indices.append(-1)
                    continue
                }
                let resolved = Group(name: next.name, facts: try resolution.facts(of: next))
                if let known = groups.firstIndex(where: { $0.facts == resolved.facts }) {
                    indices.append(known)
                } else {
                    indices.append(addGroup(resolved))
                }
            }
            if indices[row.group] < 0 {
                drop("excluded")
            } else if row.isUsable || row.exclusion == .misaligned {
                let index = count
                let tokens = PrefillBeforeCollector.takeOut(of: &row)
                append(row.state, seconds: row.seconds, group: indices[row.group], run: row.run)
                if let tokens, count > index { before.add(tokens, run: row.run, index: index) }
            }
        }
        before.finishRun()
        for (index, prefill) in before.found { prefillBefore[index] = prefill }
        for exclusion in StepExclusion.allCases {
            let rows = reader.report.excluded[Int(exclusion.rawValue)]
            if exclusion != .misaligned || before.found.isEmpty { count(dropped: rows, exclusion.name) }
        }
        leaveOutImpossibleTimes()
        nameGroups()
        guard count > 0 else {
            let reasons = dropped.map { "\($0.rows) x \($0.reason)" }.joined(separator: ", ")
            throw InvalidInput(
                .badData,
                "no usable step rows were found" + (reasons.isEmpty ? "" : " (left out: \(reasons))"))
        }
        try checkUnits()
    }

    /// Deployments that differ only in engine limits get names that tell them apart.
    private mutating func nameGroups() {
        for index in groups.indices {
            let facts = groups[index].facts
            var name = "\(facts.modelName)/\(facts.acceleratorName)/tp\(facts.tensorParallelSize)"
            if facts.expertParallelSize > 1 { name += "/ep\(facts.expertParallelSize)" }
            name += "/\(facts.weightFormat)"
            groups[index].name = name
        }
        let names = groups.map(\.name)
        for index in groups.indices where names.count(where: { $0 == names[index] }) > 1 {
            let facts = groups[index].facts
            groups[index].name += "/mbt\(facts.maxNumBatchedTokens)/seqs\(facts.maxNumSeqs)"
            groups[index].name += "/bs\(facts.blockSize)\(facts.prefixCaching ? "/pc" : "")"
        }
        var seen: [String: Int] = [:]
        for index in groups.indices {
            let name = groups[index].name
            seen[name, default: 0] += 1
            if let times = seen[name], times > 1 { groups[index].name += "#\(times)" }
        }
    }

    /// One run in milliseconds beside others in seconds is a mistake that a fit would hide: medians of
    /// the same deployment's runs may not lie a factor of 300 apart.
    private func checkUnits() throws {
        for index in groups.indices {
            var byRun: [Int: [Double]] = [:]
            for i in 0..<count where group[i] == index { byRun[run[i], default: []].append(seconds[i]) }
            let medians = byRun.values.filter { $0.count >= 20 }.map { $0.sorted()[$0.count / 2] }.sorted()
            guard let least = medians.first, let greatest = medians.last, greatest > 300 * least else {
                continue
            }
            throw InvalidInput(
                source: groups[index].name, field: "step time",
                value: "median \(least) s in one run, \(greatest) s in another", "looks like mixed units",
                accepted: "seconds throughout")
        }
    }

    /// The rows of the indices given, in that order, with all deployments.
    public func selecting(_ indices: some Collection<Int>) -> StepDataSet {
        var result = StepDataSet(groups: groups)
        result.dropped = dropped
        for i in indices {
            result.states.append(states[i])
            result.seconds.append(seconds[i])
            result.group.append(group[i])
            result.run.append(run[i])
            result.prefillBefore.append(prefillBefore[i])
        }
        return result
    }

    /// The same rows with times multiplied and shifted, for tests of transfer.
    public func mapSeconds(_ change: (Int, Double) -> Double) -> StepDataSet {
        var result = self
        for i in seconds.indices { result.seconds[i] = change(i, seconds[i]) }
        return result
    }

    /// Adds the rows of another data set; deployments with the same facts become one.
    public mutating func add(_ other: StepDataSet) {
        let runOffset = (run.max() ?? -1) + 1
        let map = other.groups.map { theirs in
            groups.firstIndex { $0.facts == theirs.facts } ?? addGroup(theirs)
        }
        states += other.states
        seconds += other.seconds
        group += other.group.map { map[$0] }
        run += other.run.map { $0 + runOffset }
        prefillBefore += other.prefillBefore
        for (reason, rows) in other.dropped { count(dropped: rows, reason) }
    }

    /// FNV-1a over the rows' values in order: which data an artifact was trained on.
    public var hash: String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ value: UInt64) {
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                hash = (hash ^ ((value >> shift) & 0xff)) &* 0x0000_0100_0000_01b3
            }
        }
        for i in 0..<count {
            add(seconds[i].bitPattern)
            add(UInt64(truncatingIfNeeded: group[i]))
            let state = states[i]
            add(UInt64(truncatingIfNeeded: state.prefillTokens))
            add(UInt64(truncatingIfNeeded: state.decodeRequests))
            add(UInt64(truncatingIfNeeded: state.decodeContextTokens))
            add(state.prefillAttentionPairs.bitPattern)
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
