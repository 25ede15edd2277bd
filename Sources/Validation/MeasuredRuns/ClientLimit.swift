import ServingCore

extension MeasuredRun {
    /// Share of the requests that were sent with nearly as many in flight as the client allows; nil without such a limit.
    ///
    /// The recorded times of these are those of free slots, not of the load that was meant. Replayed against a simulation that is
    /// a little faster than the engine was, they never fill it, so that near capacity latencies come out lower by several
    /// times the error of a step.
    public var shareSentAtClientLimit: Double? {
        // With a single slot every request finds as many in flight as there may be: none.
        guard let limit = entry.maxConcurrency, limit > 1, !records.isEmpty else { return nil }
        let finished = records.map(\.finished).sorted()
        let sent = records.map(\.sent).sorted()
        // A slot is free when a request is sent, and clients count a moment late.
        let nearly = limit - 1 - limit / 100
        var (done, atLimit) = (0, 0)
        for (before, time) in sent.enumerated() {
            while done < finished.count, finished[done] <= time { done += 1 }
            if before - done >= nearly { atLimit += 1 }
        }
        return Double(atLimit) / Double(records.count)
    }
}
