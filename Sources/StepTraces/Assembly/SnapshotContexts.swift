import ServingCore

/// Step states summed over the snapshots of all running requests.
struct SnapshotContexts {
    private let snapshots: [SnapshotEvent]

    init(_ unordered: [SnapshotEvent]) {
        snapshots = unordered.sorted { a, b in
            a.resource != b.resource ? a.resource < b.resource : a.step < b.step
        }
    }

    var isEmpty: Bool { snapshots.isEmpty }

    /// The batch of a step.
    /// - Returns: nil when snapshots are missing: their number differs from the running requests or their tokens from
    ///   the step's.
    func state(of event: StepEvent) -> StepState? {
        var low = 0
        var high = snapshots.count
        while low < high {
            let middle = (low + high) / 2
            let snapshot = snapshots[middle]
            let isBefore =
                snapshot.resource != event.resource
                ? snapshot.resource < event.resource : snapshot.step < event.id
            if isBefore { low = middle + 1 } else { high = middle }
        }
        var state = StepState()
        var count: Int32 = 0
        var tokens: Int64 = 0
        while low < snapshots.count, snapshots[low].resource == event.resource,
            snapshots[low].step == event.id
        {
            let snapshot = snapshots[low]
            low += 1
            count += 1
            tokens += Int64(snapshot.scheduled)
            if snapshot.scheduled == 0 { continue }
            let isDecode =
                snapshot.scheduled == 1 && snapshot.computed >= snapshot.prompt
                && snapshot.computed + 1 >= snapshot.prompt + snapshot.outputs
            if isDecode {
                state.addDecode(contextTokens: Int(snapshot.computed) + 1)
            } else {
                state.addPrefill(newTokens: Int(snapshot.scheduled), computedTokens: Int(snapshot.computed))
            }
        }
        return count > 0 && count == event.running && tokens == Int64(event.scheduledTokens) ? state : nil
    }
}
