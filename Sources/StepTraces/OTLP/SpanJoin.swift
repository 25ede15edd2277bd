extension OTLPEvents {
    /// The key that joins the events of a request's spans; remembers what can only be joined by request id.
    mutating func join(
        traceID: UInt64, spanID: UInt64, parentID: UInt64, isCore: Bool, requestID: InlineArray<3, UInt64>
    ) -> UInt64 {
        if isCore, parentID != 0 { return mixHash(traceID, parentID) }
        let key = mixHash(traceID, spanID == 0 ? requestID[2] : spanID)
        if requestID[2] != 0 {
            if isCore {
                orphans.append(Orphan(key: key, candidates: requestID))
            } else {
                requestIDs.append(RequestID(hash: requestID[2], key: key))
            }
        }
        return key
    }
}

/// Hashes of a request id without its last part (`-…`), without its last two, and whole.
func requestIDHashes(_ id: UnsafeRawBufferPointer) -> InlineArray<3, UInt64> {
    guard !id.isEmpty else { return [0, 0, 0] }
    var hashes: InlineArray<3, UInt64> = [0, 0, fnvHash(id)]
    var end = id.count
    for place in 0..<2 {
        while end > 0, id[end - 1] != UInt8(ascii: "-") { end -= 1 }
        if end <= 1 { break }
        end -= 1
        hashes[place] = fnvHash(UnsafeRawBufferPointer(rebasing: id[..<end]))
    }
    return hashes
}

/// FNV-1a.
func fnvHash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    return hash
}

func mixHash(_ a: UInt64, _ b: UInt64) -> UInt64 {
    (a &* 0x9e37_79b9_7f4a_7c15 ^ b) &* 0xbf58_476d_1ce4_e5b9
}
