import ServingCore

/// Requests drawn from a `WorkloadSpecification`.
///
/// Every quantity has a random stream of its own, read at the request's number (and turn), so that one drawn
/// differently changes no other. Memory: tables of the specification and the conversations open now.
struct SyntheticRequests: Sendable {
    private var arrivals: ArrivalGenerator
    private let limit: Int
    private let durationTicks: Ticks
    private var produced = 0
    private var ended = false
    private let classes: [ClassSampler]
    private let classTable: SamplingTables.Range
    private let tables: SamplingTables
    /// Shuffled prompts of each class whose prompts take turns, and where each stands.
    private let promptOrders: [[Int32]]
    private var nextPrompts: [Int]
    private let streams: Streams
    private var conversations = ConversationTable()

    /// One random stream per purpose.
    private struct Streams: Sendable {
        let requestClass, input, output, prefix, priority, turns, thinkTime: RandomStream

        init(seed: UInt64) {
            requestClass = RandomStream(seed: seed, purpose: "workload.class")
            input = RandomStream(seed: seed, purpose: "workload.input")
            output = RandomStream(seed: seed, purpose: "workload.output")
            prefix = RandomStream(seed: seed, purpose: "workload.prefix")
            priority = RandomStream(seed: seed, purpose: "workload.priority")
            turns = RandomStream(seed: seed, purpose: "workload.turns")
            thinkTime = RandomStream(seed: seed, purpose: "workload.think-time")
        }
    }

    /// Prepares the draws of a specification under a seed.
    init(_ specification: WorkloadSpecification, seed: UInt64) {
        arrivals = ArrivalGenerator(
            specification.arrivals, count: specification.numPrompts,
            stream: RandomStream(seed: seed, purpose: "workload.arrivals"))
        limit = specification.numPrompts ?? .max
        durationTicks = specification.duration.map { Ticks(seconds: $0) } ?? .max
        var tables = SamplingTables()
        classes = specification.classes.enumerated().map { ClassSampler($1, index: $0, seed: seed, &tables) }
        classTable = tables.addWeights(specification.classes.map(\.weight))
        self.tables = tables
        promptOrders = specification.classes.enumerated().map {
            ClassSampler.promptOrder($1.sharedPrefix, index: $0, seed: seed)
        }
        nextPrompts = [Int](repeating: 0, count: classes.count)
        streams = Streams(seed: seed)
    }

    /// Conversations that still have turns to come.
    var openConversations: Int { conversations.openCount }

    /// Fills in the next arrival; false when there is none.
    mutating func next(_ request: inout IncomingRequest) throws -> Bool {
        guard !ended, produced < limit, let seconds = arrivals.next() else {
            ended = true
            return false
        }
        guard seconds <= RequestStream.latestArrival else {
            throw InvalidInput(
                field: "load", "gives an arrival after \(seconds) s, too late to simulate",
                accepted: "arrivals up to \(RequestStream.latestArrival) s")
        }
        let arrival = Ticks(seconds: seconds)
        guard arrival < durationTicks else {
            ended = true
            return false
        }
        let number = produced
        produced += 1
        // Draws of turn t stand at number * 2^16 + t; conversations have at most 2^16 turns.
        let at = UInt64(truncatingIfNeeded: number) &<< 16
        let chosen = classes.count == 1 ? 0 : tables.index(classTable, streams.requestClass.uniform(at: at))
        request.arrival = arrival
        request.session = -1
        request.outputSegment = nil
        if !request.sharedSegments.isEmpty { request.sharedSegments.removeAll(keepingCapacity: true) }
        var promptTokens = 0
        if classes[chosen].hasPrefix {
            let (group, question) = nextPrompt(chosen, at)
            promptTokens = classes[chosen].appendPrefix(group, to: &request.sharedSegments, tables)
            if let question {
                promptTokens += classes[chosen].appendQuestion(question, to: &request.sharedSegments, tables)
                finish(&request, chosen, promptTokens, at)
                return true
            }
        }
        let input = classes[chosen].input.count(streams.input, at: at, tables)
        finish(&request, chosen, promptTokens + input, at)
        if classes[chosen].isMultiTurn {
            let turns = classes[chosen].turns.count(streams.turns, at: at, tables)
            if turns > 1 {
                open(&request, chosen, Int64(number), turns: turns, prefix: promptTokens, input: input)
            }
        }
        return true
    }

    /// Chooses the shared parts of a prompt.
    private mutating func nextPrompt(_ chosen: Int, _ at: UInt64) -> (group: Int, question: Int?) {
        guard classes[chosen].takesTurns else {
            return classes[chosen].choosePrompt(streams.prefix, at: at, tables)
        }
        let turn = nextPrompts[chosen]
        nextPrompts[chosen] = turn + 1 == promptOrders[chosen].count ? 0 : turn + 1
        return classes[chosen].prompt(Int(promptOrders[chosen][turn]))
    }

    @inline(__always)
    private func finish(_ request: inout IncomingRequest, _ chosen: Int, _ promptTokens: Int, _ at: UInt64) {
        request.promptTokens = max(promptTokens, 1)
        let output = classes[chosen].output.count(streams.output, at: at, tables)
        request.outputTokens = output
        request.maxTokens = output
        request.priority = classes[chosen].priority(streams.priority, at: at, tables)
    }

    /// First turn of a conversation with more to come.
    private mutating func open(
        _ request: inout IncomingRequest, _ chosen: Int, _ number: Int64, turns: Int, prefix: Int, input: Int
    ) {
        var conversation = ConversationTable.Conversation()
        conversation.number = number
        conversation.requestClass = Int32(truncatingIfNeeded: chosen)
        conversation.turns = Int32(truncatingIfNeeded: turns)
        conversation.priority = request.priority
        conversation.history = request.sharedSegments
        conversation.historyTokens = prefix
        say(&conversation, turn: 0, input: input, output: request.outputTokens, &request)
        request.session = conversations.open(conversation) ?? -1
    }

    /// Adds the user's text and the answer to the history, and shows the request all of it but the answer.
    private func say(
        _ conversation: inout ConversationTable.Conversation, turn: Int, input: Int, output: Int,
        _ request: inout IncomingRequest
    ) {
        let question = SegmentNames.userText(conversation: conversation.number, turn: turn)
        let answer = SegmentNames.output(conversation: conversation.number, turn: turn)
        if input > 0 { conversation.history.append(PromptSegment(segment: question, tokens: input)) }
        request.sharedSegments.removeAll(keepingCapacity: true)
        request.sharedSegments.append(contentsOf: conversation.history)
        request.outputSegment = answer
        conversation.history.append(PromptSegment(segment: answer, tokens: output))
        conversation.historyTokens += input + output
        conversation.turn = Int32(truncatingIfNeeded: turn)
    }

    /// The next turn of an open conversation; false when it is over.
    mutating func followUp(session: Int32, finishedAt: Ticks, _ request: inout IncomingRequest) -> Bool {
        guard var conversation = conversations.take(session) else { return false }
        let chosen = Int(conversation.requestClass)
        let turn = Int(conversation.turn) + 1
        let at = UInt64(truncatingIfNeeded: conversation.number) &<< 16 | UInt64(truncatingIfNeeded: turn)
        let input = max(classes[chosen].input.count(streams.input, at: at, tables), 1)
        let output = classes[chosen].output.count(streams.output, at: at, tables)
        let prompt = conversation.historyTokens + input
        guard prompt + output <= classes[chosen].maxContextLength else {
            conversations.close(session)
            return false
        }
        let thought = Ticks(seconds: classes[chosen].thinkTime.value(streams.thinkTime, at: at, tables))
        let (arrival, overflow) = finishedAt.addingReportingOverflow(thought)
        request.arrival = overflow ? .max : arrival
        request.promptTokens = prompt
        request.outputTokens = output
        request.maxTokens = output
        request.priority = conversation.priority
        if turn + 1 < Int(conversation.turns) {
            say(&conversation, turn: turn, input: input, output: output, &request)
            request.session = session
            conversations.replace(session, conversation)
        } else {
            request.sharedSegments.removeAll(keepingCapacity: true)
            request.sharedSegments.append(contentsOf: conversation.history)
            request.outputSegment = nil
            request.session = -1
            conversations.close(session)
        }
        return true
    }

    /// Forgets a conversation whose client has given up.
    mutating func end(session: Int32) { conversations.close(session) }
}
