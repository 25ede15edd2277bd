/// Adaptive replacement (Megiddo and Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003), as
/// vLLM's `v1/kv_offload/cpu/policies/arc.py` describes it: chunks used once are evicted before those used again
/// while they are more than a target, which moves towards the list whose evicted chunks are asked for.
extension OffloadTier {
    /// A chunk that was evicted not long ago is offered again: its list was too short.
    mutating func adapt(toMissOf chunk: Int32) {
        guard chunk >= 0, lists[chunk].list.isGhost else { return }
        let recent = Double(lists.count(of: .recentGhost))
        let frequent = Double(lists.count(of: .frequentGhost))
        if lists[chunk].list == .recentGhost {
            recentTarget = min(recentTarget + max(1, frequent / recent), Double(capacity))
            moveGhost(chunk, to: .recentGhost)
        } else {
            recentTarget = max(recentTarget - max(1, recent / frequent), 0)
            moveGhost(chunk, to: .frequentGhost)
        }
    }

    /// Chunks of `recent` while it is at its target or above, else of `frequent`; each list from its least recently
    /// used end.
    func selectAdaptively(_ count: Int, into victims: inout [Int32], store: Int64) {
        var recentLeft = lists.count(of: .recent)
        var recent = lists.first(of: .recent)
        var frequent = lists.first(of: .frequent)
        while victims.count < count {
            advance(&recent, store: store)
            advance(&frequent, store: store)
            let prefersRecent = recentLeft >= Int(recentTarget)
            if recent >= 0 && (prefersRecent || frequent < 0) {
                victims.append(recent)
                recentLeft -= 1
                recent = lists[recent].next
            } else if frequent >= 0 {
                victims.append(frequent)
                frequent = lists[frequent].next
            } else {
                return
            }
        }
    }

    private func advance(_ chunk: inout Int32, store: Int64) {
        while chunk >= 0 && !canGiveWay(chunk, store: store) { chunk = lists[chunk].next }
    }
}
