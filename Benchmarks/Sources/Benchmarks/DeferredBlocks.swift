import Engine
import ServingCore

/// Nanoseconds that a generated block costs when the next turn of its conversation comes: it was only counted until then.
///
/// The difference of long and short outputs leaves out what a request costs in any case.
func deferredBlockCost() -> Double {
    let (short, long) = (160, 16_000)
    let seconds = followerSeconds(outputTokens: long) - followerSeconds(outputTokens: short)
    return seconds / Double((long - short) / 16) * 1e9
}

/// CPU seconds of adding one request whose prompt repeats an ended one and all that it generated.
private func followerSeconds(outputTokens: Int) -> Double {
    let conversations = 500
    var least = Double.infinity
    for _ in 0..<3 {
        var configuration = SchedulerConfiguration(
            maxNumBatchedTokens: 1 << 15, maxNumSeqs: conversations, numBlocks: 1 << 20, maxModelLen: 1 << 15)
        configuration.asyncScheduling = false
        var core = EngineCore(configuration: configuration)
        var turns: [IncomingRequest] = []
        for number in 0..<conversations {
            var turn = IncomingRequest()
            turn.sharedSegments = [PromptSegment(segment: SegmentID(2 * number), tokens: 16)]
            turn.promptTokens = 16
            turn.outputTokens = outputTokens
            turn.maxTokens = outputTokens
            turn.outputSegment = SegmentID(2 * number + 1)
            _ = core.scheduler.add(turn, id: number, arrivalTime: 0)
            turn.sharedSegments.append(
                PromptSegment(segment: SegmentID(2 * number + 1), tokens: outputTokens))
            turn.promptTokens += outputTokens + 1
            turn.outputTokens = 1
            turn.outputSegment = nil
            turns.append(turn)
        }
        var outputs: [Scheduler.Output] = []
        while core.scheduler.runningCount > 0 || core.scheduler.waitingCount > 0 {
            _ = core.advance()
            _ = core.update(stamp: 0, outputs: &outputs)
        }
        let start = processorSeconds()
        for number in turns.indices {
            _ = core.scheduler.add(turns[number], id: conversations + number, arrivalTime: 1)
        }
        least = min(least, processorSeconds() - start)
    }
    return least / Double(conversations)
}
