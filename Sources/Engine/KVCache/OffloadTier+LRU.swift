extension OffloadTier {
    /// The least recently used chunks. Source: `v1/kv_offload/cpu/policies/lru.py`.
    func selectLeastRecentlyUsed(_ count: Int, into victims: inout [Int32], store: Int64) {
        var chunk = lists.first(of: .recent)
        while chunk >= 0 && victims.count < count {
            if canGiveWay(chunk, store: store) { victims.append(chunk) }
            chunk = lists[chunk].next
        }
    }
}
