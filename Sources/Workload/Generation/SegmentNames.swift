import ServingCore

/// Names for the texts that prompts are made of. The purpose stands in the top bits, so that two purposes never
/// name the same text.
enum SegmentNames {
    private enum Purpose: Int64 {
        case sharedPrefix = 1
        case question = 2
        case userText = 3
        case output = 4
        case traceBlock = 5
        case tracePrompt = 6
    }

    private static func name(_ purpose: Purpose, _ rest: Int64) -> SegmentID { purpose.rawValue << 60 | rest }

    /// Prefix that all requests of a group of a class begin with. At most 2^16 classes and 2^32 groups.
    static func sharedPrefix(class index: Int, group: Int) -> SegmentID {
        name(.sharedPrefix, Int64(index) << 40 | Int64(group))
    }

    /// A question that recurs within a group. At most 2^32 questions over all groups of a class.
    static func question(class index: Int, number: Int) -> SegmentID {
        name(.question, Int64(index) << 40 | Int64(number))
    }

    /// What a user wrote in one turn of a conversation. At most 2^43 conversations of 2^16 turns.
    static func userText(conversation: Int64, turn: Int) -> SegmentID {
        name(.userText, conversation << 16 | Int64(turn))
    }

    /// What was answered in one turn of a conversation.
    static func output(conversation: Int64, turn: Int) -> SegmentID {
        name(.output, conversation << 16 | Int64(turn))
    }

    /// A hashed block of a trace, by its number among the trace's distinct hashes.
    static func traceBlock(_ number: Int32) -> SegmentID { name(.traceBlock, Int64(number)) }

    /// A prompt of a trace whose prompts recur, by its number.
    static func tracePrompt(_ number: Int32) -> SegmentID { name(.tracePrompt, Int64(number)) }
}
