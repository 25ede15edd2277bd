import ServingCore

/// What the journeys of all requests say about each step: who computed how many tokens on what context.
///
/// A request is in the batch in one or more *stays*, each from a SCHEDULED event to the next PREEMPTED or FINISHED
/// event: first prompt (or, after preemption, prompt and output) tokens are computed in chunks, then one token a
/// step. Tokens found in the prefix cache are never computed: the first SCHEDULED event states them as
/// `prefill.done_tokens`; for a resumed request they follow from the tokens that its steps have left for it.
struct JourneyContexts {
    /// For each step event; valid where its counts equal those of the event.
    private(set) var states: [StepState] = []
    private(set) var isValid: [Bool] = []
    /// Valid steps.
    private(set) var validSteps = 0

    private struct Stay {
        /// First step and step in which the last prompt token was computed.
        var first: Int64
        var promptEnd: Int64
        /// Last step in which it computed something.
        var last: Int64
        /// Prompt and output tokens known when the stay began.
        var known: Int64
        /// Of these, found in the cache; -1 when nothing says.
        var cached: Int64
        var isResumed: Bool
        var scheduledAt: Int64
        var computed: Int64 = 0
    }

    private struct Chunk {
        var event: Int
        var stay: Int
        var tokens: Int64
        var computedBefore: Int64
    }

    /// No journeys.
    init() {}

    /// Rebuilds the steps of one run.
    /// - Parameters:
    ///   - lag: how many steps the scheduler's counter is ahead when a step's results come in: 0 for synchronous,
    ///     1 for asynchronous scheduling.
    init(events: ArraySlice<StepEvent>, journeys: [JourneyEvent], lag: Int64) {
        states = [StepState](repeating: StepState(), count: events.count)
        isValid = [Bool](repeating: false, count: events.count)
        guard let firstID = events.first?.id, let lastID = events.last?.id else { return }
        var stays = Self.stays(journeys, lag: lag, lastID: lastID).filter {
            $0.last >= firstID && $0.first <= lastID && $0.last >= $0.first
        }
        stays.sort { a, b in
            a.first != b.first ? a.first < b.first : a.scheduledAt < b.scheduledAt
        }
        let base = events.startIndex
        let ids = events.map(\.id)
        addDecodes(stays, ids)
        let chunks = assignChunks(&stays, ids, events, base)
        for chunk in chunks {
            let stay = stays[chunk.stay]
            let cached = stay.cached >= 0 ? stay.cached : max(0, stay.known - stay.computed)
            states[chunk.event].addPrefill(
                newTokens: Int(chunk.tokens), computedTokens: Int(cached + chunk.computedBefore))
        }
        check(events, base)
    }

    /// Adds decode requests with two running sums, so that the cost does not depend on their output lengths.
    private mutating func addDecodes(_ stays: [Stay], _ ids: [Int64]) {
        var counts = [Int](repeating: 0, count: ids.count + 1)
        var offsets = [Int64](repeating: 0, count: ids.count + 1)
        for stay in stays where stay.last > stay.promptEnd {
            let from = Self.place(of: stay.promptEnd + 1, in: ids)
            let to = Self.place(of: stay.last + 1, in: ids)
            guard from < to else { continue }
            counts[from] += 1
            counts[to] -= 1
            // Step numbers cancel out in the end, whatever they wrap to on the way.
            offsets[from] &+= stay.known &- stay.promptEnd
            offsets[to] &-= stay.known &- stay.promptEnd
        }
        var count = 0
        var offset: Int64 = 0
        for index in ids.indices {
            count += counts[index]
            offset &+= offsets[index]
            states[index].decodeRequests = count
            states[index].decodeContextTokens = Int(offset &+ ids[index] &* Int64(count))
        }
    }

    /// Gives every chunk its tokens: what a finishing request has left, and to unfinished ones the rest.
    private mutating func assignChunks(
        _ stays: inout [Stay], _ ids: [Int64], _ events: ArraySlice<StepEvent>, _ base: Int
    ) -> [Chunk] {
        var chunks: [Chunk] = []
        var active: [Int] = []
        var next = 0
        for index in ids.indices {
            let id = ids[index]
            while next < stays.count, stays[next].first <= id {
                active.append(next)
                next += 1
            }
            active.removeAll { min(stays[$0].promptEnd, stays[$0].last) < id }
            if active.isEmpty { continue }
            let event = events[base + index]
            let decodes = Int64(states[index].decodeRequests)
            isValid[index] = true
            for resumed in [false, true] {
                // vLLM counts as prefill what has no output yet; a resumed request with output counts as decode.
                var rest = resumed ? Int64(event.decodeTokens) - decodes : Int64(event.prefillTokens)
                var open: [Int] = []
                var weight: Int64 = 0
                for stay in active where stays[stay].isResumed == resumed {
                    let left = stays[stay].known - max(0, stays[stay].cached) - stays[stay].computed
                    if stays[stay].promptEnd == id, stays[stay].cached >= 0 {
                        rest -= left
                        chunks.append(
                            Chunk(
                                event: index, stay: stay, tokens: left, computedBefore: stays[stay].computed))
                        stays[stay].computed += left
                        if left <= 0 { isValid[index] = false }
                    } else {
                        open.append(stay)
                        weight += max(1, left)
                    }
                }
                if open.isEmpty {
                    if rest != 0 { isValid[index] = false }
                    continue
                }
                if rest < Int64(open.count) { isValid[index] = false }
                for (place, stay) in open.enumerated() {
                    let left = max(1, stays[stay].known - max(0, stays[stay].cached) - stays[stay].computed)
                    // A request that has begun goes before those that begin now; among these nothing tells.
                    let others = Int64(open.count - 1 - place)
                    let begun = stays[stay].computed > 0
                    let share = others == 0 ? rest : begun ? rest - others : rest * left / max(1, weight)
                    let tokens = max(1, min(share, left))
                    weight -= left
                    rest -= tokens
                    chunks.append(
                        Chunk(event: index, stay: stay, tokens: tokens, computedBefore: stays[stay].computed))
                    stays[stay].computed += tokens
                }
                if rest != 0 { isValid[index] = false }
            }
        }
        return chunks
    }

    /// Keeps what agrees with the step's own counts.
    private mutating func check(_ events: ArraySlice<StepEvent>, _ base: Int) {
        for index in states.indices {
            let event = events[base + index]
            let state = states[index]
            let requests = state.prefillRequests + state.decodeRequests
            let agrees =
                requests == Int(event.prefillRequests) + Int(event.decodeRequests)
                && state.decodeRequests <= Int(event.decodeRequests)
                && state.batchTokens == Int(event.scheduledTokens)
            isValid[index] = agrees && (isValid[index] || state.prefillRequests == 0)
            if isValid[index] { validSteps += 1 }
        }
    }

    /// First index whose id is at least `id`.
    private static func place(of id: Int64, in ids: [Int64]) -> Int {
        var low = 0
        var high = ids.count
        while low < high {
            let middle = (low + high) / 2
            if ids[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Follows every request from event to event.
    private static func stays(_ journeys: [JourneyEvent], lag: Int64, lastID: Int64) -> [Stay] {
        let core = journeys.indices.filter {
            journeys[$0].kind.rawValue >= EventKind.queued.rawValue
                && journeys[$0].kind.rawValue <= EventKind.finished.rawValue && journeys[$0].step >= 0
        }.sorted { a, b in
            let (x, y) = (journeys[a], journeys[b])
            if x.request != y.request { return x.request < y.request }
            if x.time != y.time { return x.time < y.time }
            if x.step != y.step { return x.step < y.step }
            return x.kind.rawValue < y.kind.rawValue
        }
        var stays: [Stay] = []
        var open: Stay?
        var outputs: Int64 = 0
        var prompt: Int64 = -1
        var request: UInt64 = 0
        var sawFirstToken = false
        for place in core.indices {
            let event = journeys[core[place]]
            if place == core.startIndex || event.request != request {
                if let stay = open { stays.append(stay) }
                open = nil
                outputs = 0
                prompt = -1
                sawFirstToken = false
                request = event.request
            }
            if event.prefillTotal > 0 { prompt = Int64(event.prefillTotal) }
            switch event.kind {
            case .scheduled:
                if let stay = open { stays.append(stay) }
                if event.decodeDone >= 0 { outputs = max(outputs, Int64(event.decodeDone)) }
                guard prompt > 0 else { continue }
                let resumed = event.preemptions > 0
                open = Stay(
                    first: event.step, promptEnd: sawFirstToken ? event.step : Int64.max, last: lastID,
                    known: prompt + outputs, cached: resumed ? -1 : Int64(event.prefillDone),
                    isResumed: resumed && outputs > 0, scheduledAt: event.time)
                if !resumed, event.prefillDone >= event.prefillTotal { open?.cached = -1 }
            case .firstToken:
                sawFirstToken = true
                open?.promptEnd = event.step - lag
                outputs = max(outputs, 1)
            case .preempted, .finished:
                guard var stay = open else { continue }
                stay.last = event.kind == .preempted ? event.step - 1 : event.step - lag
                let done = max(Int64(event.decodeDone), 0)
                if stay.known > prompt || stay.promptEnd == Int64.max, done > stay.known - prompt {
                    // Every step from the end of the prompt on gave one token.
                    stay.promptEnd = max(stay.first, stay.last - (done - (stay.known - prompt)) + 1)
                } else if done <= stay.known - prompt {
                    stay.promptEnd = Int64.max
                }
                outputs = max(outputs, done)
                stays.append(stay)
                open = nil
            default: break
            }
        }
        if let stay = open { stays.append(stay) }
        return stays
    }
}
