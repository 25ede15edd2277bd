/// A list of requests linked through their states: append, prepend and remove in O(1).
struct RequestList {
    private(set) var first: Int32 = -1
    private(set) var last: Int32 = -1
    private(set) var count = 0

    mutating func append(_ slot: Int32, in requests: inout [RequestState]) {
        requests[Int(slot)].previous = last
        requests[Int(slot)].next = -1
        if last >= 0 { requests[Int(last)].next = slot } else { first = slot }
        last = slot
        count += 1
    }

    mutating func prepend(_ slot: Int32, in requests: inout [RequestState]) {
        requests[Int(slot)].next = first
        requests[Int(slot)].previous = -1
        if first >= 0 { requests[Int(first)].previous = slot } else { last = slot }
        first = slot
        count += 1
    }

    mutating func remove(_ slot: Int32, in requests: inout [RequestState]) {
        let (previous, next) = (requests[Int(slot)].previous, requests[Int(slot)].next)
        if previous >= 0 { requests[Int(previous)].next = next } else { first = next }
        if next >= 0 { requests[Int(next)].previous = previous } else { last = previous }
        count -= 1
    }
}

/// vLLM's waiting queue: first come first served, or a heap on (priority, arrival time, id).
///
/// Source: `v1/core/sched/request_queue.py`.
struct WaitingQueue {
    private var list = RequestList()
    private var heap: [Int32] = []
    private let byPriority: Bool

    init(policy: SchedulingPolicy) { byPriority = policy == .priority }

    var count: Int { byPriority ? heap.count : list.count }
    /// The request to be admitted next, -1 when empty.
    var first: Int32 { byPriority ? (heap.first ?? -1) : list.first }

    /// A new request, behind all others of its urgency. O(1), O(log n) by priority.
    mutating func append(_ slot: Int32, in requests: inout [RequestState]) {
        if byPriority { push(slot, in: &requests) } else { list.append(slot, in: &requests) }
    }

    /// A preempted or set-aside request, in front of all others of its urgency.
    mutating func prepend(_ slot: Int32, in requests: inout [RequestState]) {
        if byPriority { push(slot, in: &requests) } else { list.prepend(slot, in: &requests) }
    }

    /// Takes a request out from anywhere.
    mutating func remove(_ slot: Int32, in requests: inout [RequestState]) {
        guard byPriority else { return list.remove(slot, in: &requests) }
        let hole = Int(requests[Int(slot)].previous)
        let moved = heap.removeLast()
        guard hole < heap.count else { return }
        heap[hole] = moved
        requests[Int(moved)].previous = Int32(hole)
        siftUp(hole, in: &requests)
        siftDown(Int(requests[Int(moved)].previous), in: &requests)
    }

    /// The queue in order of admission. O(n), O(n log n) by priority.
    func ordered(in requests: [RequestState]) -> [Int32] {
        if byPriority { return heap.sorted { Self.isBefore($0, $1, requests) } }
        var result: [Int32] = []
        var slot = list.first
        while slot >= 0 {
            result.append(slot)
            slot = requests[Int(slot)].next
        }
        return result
    }

    /// `Request.__lt__`: priority, then arrival time, then id.
    private static func isBefore(_ a: Int32, _ b: Int32, _ requests: [RequestState]) -> Bool {
        let (x, y) = (Int(a), Int(b))
        if requests[x].priority != requests[y].priority { return requests[x].priority < requests[y].priority }
        if requests[x].arrivalTime != requests[y].arrivalTime {
            return requests[x].arrivalTime < requests[y].arrivalTime
        }
        return requests[x].id < requests[y].id
    }

    private mutating func push(_ slot: Int32, in requests: inout [RequestState]) {
        heap.append(slot)
        requests[Int(slot)].previous = Int32(heap.count - 1)
        siftUp(heap.count - 1, in: &requests)
    }

    private mutating func siftUp(_ start: Int, in requests: inout [RequestState]) {
        var i = start
        while i > 0, Self.isBefore(heap[i], heap[(i - 1) / 2], requests) {
            exchange(i, (i - 1) / 2, in: &requests)
            i = (i - 1) / 2
        }
    }

    private mutating func siftDown(_ start: Int, in requests: inout [RequestState]) {
        var i = start
        while true {
            var least = i
            for child in [2 * i + 1, 2 * i + 2] where child < heap.count {
                if Self.isBefore(heap[child], heap[least], requests) { least = child }
            }
            if least == i { return }
            exchange(i, least, in: &requests)
            i = least
        }
    }

    private mutating func exchange(_ i: Int, _ j: Int, in requests: inout [RequestState]) {
        heap.swapAt(i, j)
        requests[Int(heap[i])].previous = Int32(i)
        requests[Int(heap[j])].previous = Int32(j)
    }
}
