import ServingCore

/// A `RequestClass` prepared for drawing.
struct ClassSampler: Sendable {
    let input: Sampler
    let output: Sampler
    let turns: Sampler
    let thinkTime: Sampler
    let isMultiTurn: Bool
    let maxContextLength: Int
    let hasPrefix: Bool

    private let index: Int
    private let prefixLength: Sampler
    private let groupTable: AliasTable?
    private let groups: Int
    private let questionsPerGroup: Int
    /// Draws that belong to a group or a question, not to a request.
    private let fixed: RandomStream
    /// Shuffled prompts and the next one, when they take turns.
    private var order: [Int32] = []
    private var turn = 0
    private let priorityTable: AliasTable
    private let priorities: [Int]

    /// Prepares class number `index` of a workload.
    init(_ requestClass: RequestClass, index: Int, seed: UInt64) {
        self.index = index
        input = Sampler(requestClass.inputLength)
        output = Sampler(requestClass.outputLength)
        let multiTurn = requestClass.multiTurn ?? MultiTurn()
        isMultiTurn = requestClass.multiTurn != nil
        turns = Sampler(multiTurn.turns)
        thinkTime = Sampler(multiTurn.thinkTime)
        maxContextLength = multiTurn.maxContextLength ?? .max
        let prefix = requestClass.sharedPrefix ?? SharedPrefix()
        hasPrefix = requestClass.sharedPrefix != nil
        prefixLength = Sampler(prefix.length)
        groups = prefix.groups
        questionsPerGroup = prefix.questionsPerGroup ?? 0
        fixed = RandomStream(
            seed: seed, purpose: "workload.fixed-texts", index: UInt64(truncatingIfNeeded: index))
        switch prefix.popularity {
        case .uniform: groupTable = nil
        case .zipf(let exponent):
            groupTable = AliasTable(
                weights: (0..<prefix.groups).map { ContinuousSampling.power(Double($0 + 1), -exponent) })
        case .roundRobin:
            groupTable = nil
            var shuffler = RandomStream(
                seed: seed, purpose: "workload.prompt-order", index: UInt64(truncatingIfNeeded: index))
            order = (0..<Int32(prefix.groups * max(prefix.questionsPerGroup ?? 1, 1))).shuffled(
                using: &shuffler)
        }
        priorities = requestClass.priorities.keys.sorted()
        priorityTable = AliasTable(weights: priorities.map { requestClass.priorities[$0] ?? 0 })
    }

    /// Chooses a group and appends its prefix.
    /// - Returns: the number of a recurring question, if there are any; nil when the question is new.
    mutating func appendPrefix(to segments: inout [PromptSegment], _ tokens: inout Int, u: Double) -> Int? {
        let group: Int
        var question: Int?
        if !order.isEmpty {
            let prompt = Int(order[turn])
            turn = turn + 1 == order.count ? 0 : turn + 1
            group = prompt / max(questionsPerGroup, 1)
            question = questionsPerGroup > 0 ? prompt : nil
        } else {
            group = groupTable?.index(u) ?? min(Int(u * Double(groups)), groups - 1)
            if questionsPerGroup > 0 {
                // The digits of `u` below those that chose the group are as random as it is.
                let fraction = fixed.remixed(u)
                question =
                    group * questionsPerGroup
                    + min(Int(fraction * Double(questionsPerGroup)), questionsPerGroup - 1)
            }
        }
        let length =
            prefixLength.isConstant
            ? prefixLength.count(0) : prefixLength.count(fixed.uniform(at: UInt64(group) &<< 1))
        if length > 0 {
            segments.append(
                PromptSegment(segment: SegmentNames.sharedPrefix(class: index, group: group), tokens: length))
        }
        tokens += length
        return question
    }

    /// Appends a recurring question and returns its tokens.
    func appendQuestion(_ number: Int, to segments: inout [PromptSegment]) -> Int {
        let length = input.count(fixed.uniform(at: UInt64(number) &<< 1 | 1))
        if length > 0 {
            segments.append(
                PromptSegment(segment: SegmentNames.question(class: index, number: number), tokens: length))
        }
        return length
    }

    /// The priority that `uniform()` draws, which is only asked for when there is a choice.
    @inline(__always)
    func priority(_ uniform: () -> Double) -> Int {
        priorities.isEmpty
            ? 0 : priorities.count == 1 ? priorities[0] : priorities[priorityTable.index(uniform())]
    }
}

extension RandomStream {
    /// Another uniform number that depends on `u` alone.
    func remixed(_ u: Double) -> Double { uniform(at: u.bitPattern) }
}
