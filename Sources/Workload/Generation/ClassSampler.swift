import ServingCore

/// A `RequestClass` prepared for drawing: numbers only; its tables and shuffled prompts stand elsewhere.
struct ClassSampler: Sendable {
    let input: Sampler
    let output: Sampler
    let turns: Sampler
    let thinkTime: Sampler
    let isMultiTurn: Bool
    let maxContextLength: Int
    let hasPrefix: Bool
    let takesTurns: Bool

    private let index: Int
    private let prefixLength: Sampler
    private let groupTable: SamplingTables.Range
    private let groups: Int
    private let questionsPerGroup: Int
    /// Draws that belong to a group or a question, not to a request.
    private let fixed: RandomStream
    private let priorityTable: SamplingTables.Range
    private let priorities: SamplingTables.Range

    /// Prepares class number `index` of a workload.
    init(_ requestClass: RequestClass, index: Int, seed: UInt64, _ tables: inout SamplingTables) {
        self.index = index
        input = Sampler(requestClass.inputLength, &tables)
        output = Sampler(requestClass.outputLength, &tables)
        let multiTurn = requestClass.multiTurn ?? MultiTurn()
        isMultiTurn = requestClass.multiTurn != nil
        turns = Sampler(multiTurn.turns, &tables)
        thinkTime = Sampler(multiTurn.thinkTime, &tables)
        maxContextLength = multiTurn.maxContextLength ?? .max
        let prefix = requestClass.sharedPrefix ?? SharedPrefix()
        hasPrefix = requestClass.sharedPrefix != nil
        prefixLength = Sampler(prefix.length, &tables)
        groups = prefix.groups
        questionsPerGroup = prefix.questionsPerGroup ?? 0
        takesTurns = prefix.popularity == .roundRobin
        fixed = RandomStream(
            seed: seed, purpose: "workload.fixed-texts", index: UInt64(truncatingIfNeeded: index))
        if case .zipf(let exponent) = prefix.popularity {
            groupTable = tables.addWeights(
                (0..<prefix.groups).map { ContinuousSampling.power(Double($0 + 1), -exponent) })
        } else {
            groupTable = SamplingTables.Range()
        }
        let sorted = requestClass.priorities.keys.sorted()
        priorities = tables.addNumbers(sorted.map { Double($0) })
        priorityTable = tables.addWeights(sorted.map { requestClass.priorities[$0] ?? 0 })
    }

    /// The prompts of a class that take turns, in shuffled order; empty for other classes.
    static func promptOrder(_ prefix: SharedPrefix?, index: Int, seed: UInt64) -> [Int32] {
        guard let prefix, prefix.popularity == .roundRobin else { return [] }
        var shuffler = RandomStream(
            seed: seed, purpose: "workload.prompt-order", index: UInt64(truncatingIfNeeded: index))
        return (0..<Int32(prefix.groups * max(prefix.questionsPerGroup ?? 1, 1))).shuffled(using: &shuffler)
    }

    /// The group, and the recurring question if there are any, of a prompt that takes its turn.
    func prompt(_ number: Int) -> (group: Int, question: Int?) {
        questionsPerGroup > 0 ? (number / questionsPerGroup, number) : (number, nil)
    }

    /// The group, and the recurring question if there are any, that number `at` of a stream chooses.
    func choosePrompt(
        _ stream: RandomStream, at: UInt64, _ tables: borrowing SamplingTables
    ) -> (group: Int, question: Int?) {
        if groups == 1, questionsPerGroup == 0 { return (0, nil) }
        let u = stream.uniform(at: at)
        let group =
            groupTable.count > 0 ? tables.index(groupTable, u) : min(Int(u * Double(groups)), groups - 1)
        guard questionsPerGroup > 0 else { return (group, nil) }
        let v = fixed.uniform(at: u.bitPattern)
        let question = min(Int(v * Double(questionsPerGroup)), questionsPerGroup - 1)
        return (group, group * questionsPerGroup + question)
    }

    /// Appends the prefix of a group and returns its tokens.
    func appendPrefix(
        _ group: Int, to segments: inout [PromptSegment], _ tables: borrowing SamplingTables
    ) -> Int {
        let length = prefixLength.count(fixed, at: UInt64(group) &<< 1, tables)
        if length > 0 {
            segments.append(
                PromptSegment(segment: SegmentNames.sharedPrefix(class: index, group: group), tokens: length))
        }
        return length
    }

    /// Appends a recurring question and returns its tokens.
    func appendQuestion(
        _ number: Int, to segments: inout [PromptSegment], _ tables: borrowing SamplingTables
    ) -> Int {
        let length = input.count(fixed, at: UInt64(number) &<< 1 | 1, tables)
        if length > 0 {
            segments.append(
                PromptSegment(segment: SegmentNames.question(class: index, number: number), tokens: length))
        }
        return length
    }

    /// The priority that number `at` of a stream draws.
    @inline(__always)
    func priority(_ stream: RandomStream, at: UInt64, _ tables: borrowing SamplingTables) -> Int {
        if priorities.count == 0 { return 0 }
        return Int(tables.number(priorities, tables.index(priorityTable, stream.uniform(at: at))))
    }
}
