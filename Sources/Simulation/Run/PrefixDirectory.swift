import ServingCore

/// Which beginnings of prompts a router has sent to which replica, the least recently used forgotten first once they
/// are more tokens than a replica's KV cache holds.
///
/// A beginning is named by the chain of its shared segments. It is an approximation, as every router's outside the
/// engine is: what the engine has evicted meanwhile is not known here.
struct PrefixDirectory {
    /// One segment after a certain beginning.
    private struct Key: Hashable {
        /// Hash of the segments before it, with their lengths.
        var before: UInt64
        var segment: SegmentID
        var replica: Int32
    }

    private struct Entry {
        var key: Key
        /// How much of the segment is known.
        var tokens: Int
        /// Neighbours in the order of use; -1 at the ends.
        var older = -1
        var newer = -1
    }

    private struct Order {
        var oldest = -1
        var newest = -1
        var tokens = 0
    }

    private let capacity: Int
    private var places: [Key: Int] = [:]
    private var entries: [Entry] = []
    private var free: [Int] = []
    private var orders: [Order]
    private var known: [Int]
    private var touched: [Int] = []

    init(replicas: Int, tokensPerReplica: Int) {
        capacity = tokensPerReplica
        orders = [Order](repeating: Order(), count: replicas)
        known = [Int](repeating: 0, count: replicas)
    }

    /// Tokens at the beginning of a prompt that each replica has been sent before.
    mutating func knownTokens(of request: borrowing IncomingRequest) -> [Int] {
        for replica in known.indices {
            known[replica] = 0
            var before: UInt64 = 0
            for part in request.sharedSegments {
                let key = Key(
                    before: before, segment: part.segment, replica: Int32(truncatingIfNeeded: replica))
                guard let place = places[key] else { break }
                known[replica] += min(entries[place].tokens, part.tokens)
                guard entries[place].tokens >= part.tokens else { break }
                before = Self.chained(before, part)
            }
        }
        return known
    }

    /// Notes that a prompt went to a replica.
    mutating func note(_ request: borrowing IncomingRequest, at replica: Int) {
        var before: UInt64 = 0
        touched.removeAll(keepingCapacity: true)
        for part in request.sharedSegments {
            let key = Key(before: before, segment: part.segment, replica: Int32(truncatingIfNeeded: replica))
            if let place = places[key] {
                unlink(place, replica)
                entries[place].tokens = max(entries[place].tokens, part.tokens)
                touched.append(place)
            } else {
                let place = free.popLast() ?? entries.count
                let entry = Entry(key: key, tokens: part.tokens)
                if place < entries.count { entries[place] = entry } else { entries.append(entry) }
                places[key] = place
                touched.append(place)
            }
            before = Self.chained(before, part)
        }
        // The end of a prompt is forgotten before its beginning, as vLLM evicts blocks.
        for place in touched.reversed() { link(place, replica) }
        while orders[replica].tokens > capacity, orders[replica].oldest >= 0 {
            let place = orders[replica].oldest
            unlink(place, replica)
            places[entries[place].key] = nil
            free.append(place)
        }
    }

    private mutating func unlink(_ place: Int, _ replica: Int) {
        let entry = entries[place]
        if entry.older >= 0 {
            entries[entry.older].newer = entry.newer
        } else {
            orders[replica].oldest = entry.newer
        }
        if entry.newer >= 0 {
            entries[entry.newer].older = entry.older
        } else {
            orders[replica].newest = entry.older
        }
        orders[replica].tokens -= entry.tokens
    }

    private mutating func link(_ place: Int, _ replica: Int) {
        let newest = orders[replica].newest
        entries[place].older = newest
        entries[place].newer = -1
        if newest >= 0 { entries[newest].newer = place } else { orders[replica].oldest = place }
        orders[replica].newest = place
        orders[replica].tokens += entries[place].tokens
    }

    /// SplitMix64's finaliser over what came before and the next part.
    private static func chained(_ before: UInt64, _ part: PromptSegment) -> UInt64 {
        var z = before ^ UInt64(bitPattern: part.segment) &* 0x9e37_79b9_7f4a_7c15
        z = (z ^ UInt64(truncatingIfNeeded: part.tokens)) &+ 0xd134_2543_de82_ef95
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
