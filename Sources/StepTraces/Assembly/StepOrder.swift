/// Step events in order, without duplicates, cut into runs.
struct StepOrder {
    /// In order of run, then of step.
    var events: [StepEvent] = []
    /// First event of each run, and the number of events at the end.
    var runStarts: [Int] = [0]
    var duplicates = 0
    var conflicts = 0

    /// Puts events in order: by engine, boot of the machine (the offset of the two clocks), start and step number.
    /// A step number that does not rise begins a new run (the engine was started again).
    init(_ unordered: [StepEvent]) {
        let boots = Self.boots(unordered)
        var order = Array(unordered.indices)
        order.sort { a, b in
            let (x, y) = (unordered[a], unordered[b])
            if x.resource != y.resource { return x.resource < y.resource }
            if !boots.isEmpty, boots[a] != boots[b] { return boots[a] < boots[b] }
            if x.start != y.start { return x.start < y.start }
            if x.id != y.id { return x.id < y.id }
            // Of two records of a step the one that says more comes first; then the order in the files decides.
            if x.hasContext != y.hasContext { return x.hasContext }
            return a < b
        }
        events.reserveCapacity(unordered.count)
        var previousBoot: Int32 = 0
        for (place, index) in order.enumerated() {
            var event = unordered[index]
            let boot = boots.isEmpty ? 0 : boots[index]
            if let last = events.last, last.resource == event.resource, boot == previousBoot {
                if last.id == event.id {
                    note(event, again: events.count - 1)
                    continue
                }
                if event.id < last.id {
                    // A step recorded again with another time looks like a restart, but what follows goes on.
                    let next = place + 1 < order.count ? unordered[order[place + 1]] : nil
                    let goesOn = next.map { $0.resource == event.resource && $0.id > last.id } ?? true
                    if goesOn, let known = earlier(event) {
                        note(event, again: known)
                        continue
                    }
                    runStarts.append(events.count)
                }
            } else if !events.isEmpty {
                runStarts.append(events.count)
            }
            event.inConflict = false
            previousBoot = boot
            events.append(event)
        }
        runStarts.append(events.count)
    }

    private mutating func note(_ event: StepEvent, again place: Int) {
        let known = events[place]
        if event.isSame(as: known) || event.file != known.file && event.agrees(with: known) {
            duplicates += 1
        } else {
            if !known.inConflict { conflicts += 1 }
            events[place].inConflict = true
        }
    }

    /// The place of a step of the current run with the same number a little before, for records whose time was
    /// changed.
    private func earlier(_ event: StepEvent) -> Int? {
        var place = events.count - 1
        let limit = max(runStarts[runStarts.count - 1], place - 64)
        while place >= limit {
            if events[place].id == event.id { return place }
            if events[place].id < event.id { return nil }
            place -= 1
        }
        return nil
    }

    /// Which boot of the machine each event belongs to: the monotonic clock starts anew with each, so that the
    /// difference to the time of day jumps. Empty when there is only one.
    private static func boots(_ events: [StepEvent]) -> [Int32] {
        var lowest = Int64.max
        var highest = Int64.min
        for event in events where event.unixNanoseconds > 0 {
            let offset = event.unixNanoseconds - event.end
            lowest = min(lowest, offset)
            highest = max(highest, offset)
        }
        let apart: Int64 = 600_000_000_000
        guard highest > lowest, highest - lowest > apart else { return [] }
        let byOffset = events.indices.filter { events[$0].unixNanoseconds > 0 }.sorted {
            let (a, b) = (
                events[$0].unixNanoseconds - events[$0].end, events[$1].unixNanoseconds - events[$1].end
            )
            return a != b ? a < b : $0 < $1
        }
        var boots = [Int32](repeating: 0, count: events.count)
        var boot: Int32 = 0
        var previous = events[byOffset[0]].unixNanoseconds - events[byOffset[0]].end
        for index in byOffset {
            let offset = events[index].unixNanoseconds - events[index].end
            if offset - previous > apart { boot += 1 }
            previous = offset
            boots[index] = boot
        }
        return boots
    }
}
