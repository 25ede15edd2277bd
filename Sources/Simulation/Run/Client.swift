import DequeModule
import ServingCore
import Workload

/// Sends requests: those of the stream when they are due, later turns of conversations when their users have
/// thought, never more at once than the concurrency limit allows.
struct Client {
    private var stream: RequestStream
    private var pending = IncomingRequest()
    private var hasPending = false
    /// Later turns, a heap on (arrival, order of creation).
    private var followUps: [FollowUp] = []
    private var followUpCount = 0
    private var inFlight = 0
    /// When requests that count as in flight left; only kept under a limit.
    private var departures = Deque<Ticks>()
    private let limit: Int

    private struct FollowUp {
        var order: Int
        var request: IncomingRequest

        func isBefore(_ other: FollowUp) -> Bool {
            (request.arrival, order) < (other.request.arrival, other.order)
        }
    }

    init(stream: RequestStream) throws {
        self.stream = stream
        limit = stream.maxConcurrency ?? .max
        hasPending = try self.stream.next(&pending)
    }

    /// When the next request is due, whether or not it may be sent then; `.max` if none is known.
    private var nextDue: Ticks {
        let streamed = hasPending ? pending.arrival : .max
        guard let first = followUps.first else { return streamed }
        return min(streamed, first.request.arrival)
    }

    /// When the next request will be sent as far as is known now; `.max` while none is due or no slot is free.
    var nextSend: Ticks {
        let due = nextDue
        if inFlight < limit || due == .max { return due }
        guard let departure = departures.first else { return .max }
        return max(due, departure)
    }

    /// Takes the next request, which must be due.
    mutating func send(_ request: inout IncomingRequest) throws {
        if limit != .max {
            if inFlight >= limit {
                departures.removeFirst()
            } else {
                inFlight += 1
            }
        }
        if let first = followUps.first, !hasPending || first.request.arrival < pending.arrival {
            request = popFollowUp().request
        } else {
            swap(&request, &pending)
            hasPending = try stream.next(&pending)
        }
    }

    /// A request left the system; its conversation goes on if it has one and the request was answered.
    /// - Returns: whether the next request may be sent earlier for it.
    mutating func departed(at time: Ticks, session: Int32, answered: Bool) -> Bool {
        if limit != .max { departures.append(max(time, departures.last ?? time)) }
        guard session >= 0 else { return limit != .max }
        guard answered else {
            stream.end(session: session)
            return limit != .max
        }
        var request = IncomingRequest()
        if stream.followUp(session: session, finishedAt: time, &request) {
            pushFollowUp(FollowUp(order: followUpCount, request: request))
            followUpCount += 1
        }
        return true
    }

    private mutating func pushFollowUp(_ item: FollowUp) {
        followUps.append(item)
        var i = followUps.count - 1
        while i > 0, followUps[i].isBefore(followUps[(i - 1) / 2]) {
            followUps.swapAt(i, (i - 1) / 2)
            i = (i - 1) / 2
        }
    }

    private mutating func popFollowUp() -> FollowUp {
        followUps.swapAt(0, followUps.count - 1)
        let first = followUps.removeLast()
        var i = 0
        while true {
            var least = i
            for child in [2 * i + 1, 2 * i + 2] where child < followUps.count {
                if followUps[child].isBefore(followUps[least]) { least = child }
            }
            if least == i { return first }
            followUps.swapAt(i, least)
            i = least
        }
    }
}
