/// Many doubly linked lists over request slots, each slot in at most one of them.
struct SlotLists {
    private struct Links {
        var previous: Int32 = -1
        var next: Int32 = -1
    }

    private var heads: [Int32]
    private var links: [Links] = []

    init(count: Int) { heads = Array(repeating: -1, count: count) }

    /// First slot of a list, -1 when empty.
    func first(of list: Int) -> Int32 { heads[list] }
    /// The slot after `slot` in its list, -1 at the end.
    func next(after slot: Int32) -> Int32 { links[Int(slot)].next }

    /// Puts `slot` in front of a list. O(1).
    mutating func insert(_ slot: Int32, into list: Int) {
        while links.count <= Int(slot) { links.append(Links()) }
        let head = heads[list]
        links[Int(slot)] = Links(previous: -1, next: head)
        if head >= 0 { links[Int(head)].previous = slot }
        heads[list] = slot
    }

    /// Takes `slot` out of the list it is in. O(1).
    mutating func remove(_ slot: Int32, from list: Int) {
        let gone = links[Int(slot)]
        if gone.previous >= 0 { links[Int(gone.previous)].next = gone.next } else { heads[list] = gone.next }
        if gone.next >= 0 { links[Int(gone.next)].previous = gone.previous }
    }
}
