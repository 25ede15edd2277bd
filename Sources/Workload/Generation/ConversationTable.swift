import ServingCore

/// Conversations under way: what was said so far in each.
///
/// A slot is taken when a conversation gets a second turn to come and given back when its last turn is sent, so
/// memory follows the number of conversations open at once.
struct ConversationTable: Sendable {
    /// One open conversation.
    struct Conversation: Sendable {
        /// Number of the arrival that opened it; its texts and random draws are named by it. -1: slot is free.
        var number: Int64 = -1
        /// Class of its requests.
        var requestClass: Int32 = 0
        /// Turn sent last, from 0.
        var turn: Int32 = 0
        /// Turns in all.
        var turns: Int32 = 0
        /// Priority of all its requests.
        var priority = 0
        /// Everything said so far, the answer to the turn sent last included.
        var history: [PromptSegment] = []
        /// Tokens of `history`.
        var historyTokens = 0
    }

    private var slots: [Conversation] = []
    private var free: [Int32] = []

    /// Conversations open now.
    var openCount: Int { slots.count - free.count }

    /// Stores a conversation and returns its slot; nil when 2^31 - 1 are open.
    mutating func open(_ conversation: Conversation) -> Int32? {
        if let slot = free.popLast() {
            slots[Int(slot)] = conversation
            return slot
        }
        guard slots.count < Int(Int32.max) else { return nil }
        slots.append(conversation)
        return Int32(slots.count - 1)
    }

    /// Takes a conversation out, leaving its slot to be put back with `replace` or given up with `close`; nil when
    /// the slot holds none.
    mutating func take(_ slot: Int32) -> Conversation? {
        guard slot >= 0, Int(slot) < slots.count, slots[Int(slot)].number >= 0 else { return nil }
        var taken = Conversation()
        swap(&taken, &slots[Int(slot)])
        slots[Int(slot)].number = taken.number
        return taken
    }

    /// Puts a taken conversation back.
    mutating func replace(_ slot: Int32, _ conversation: Conversation) { slots[Int(slot)] = conversation }

    /// Frees a slot; one that is free already stays so.
    mutating func close(_ slot: Int32) {
        guard slot >= 0, Int(slot) < slots.count, slots[Int(slot)].number >= 0 else { return }
        slots[Int(slot)] = Conversation()
        free.append(slot)
    }
}
