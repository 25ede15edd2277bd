/// The running requests that each compute exactly one token in every coming step, advanced as totals.
///
/// Between two scheduling events a decoding request changes in one way only: its counts grow by one. So a
/// member stores the cohort step at which it joined, and everything else follows from counters: `scheduled`
/// and `processed` steps, how many members cross into a new KV block at each step modulo the block size, and
/// at which step each member produces its last token. A step costs O(1) whatever the number of members.
struct DecodeCohort {
    /// Members.
    private(set) var count = 0
    /// Cohort steps scheduled so far; the index of the next.
    private(set) var scheduled: Int64 = 0
    /// `scheduled % blockSize`, kept because dividing costs more than all else of a step.
    private var phaseOfNext = 0
    /// Cohort steps whose output was processed.
    var processed: Int64 = 0
    /// Sum over members of (computed tokens before cohort step t) - t.
    private var offsetSum: Int64 = 0
    /// Members that need a new block at steps t with `t % blockSize` equal to the index.
    private var crossings: [Int32]
    /// Members by the step, modulo the number of lists, at which they produce their last token.
    private var due = SlotLists(count: Self.wheelSize)
    /// Members whose blocks others may look up, by the step modulo the block size at which one is full.
    private var registering: SlotLists
    /// How many these are.
    private(set) var registeringCount = 0
    /// Members that ended since a step in flight was scheduled, for the steps of even and odd index.
    private var lost: (Int32, Int32) = (0, 0)
    private let blockSize: Int64
    private let isAsync: Bool
    private let isCaching: Bool

    private static let wheelSize = 4096

    init(configuration: SchedulerConfiguration) {
        blockSize = Int64(configuration.blockSize)
        isAsync = configuration.asyncScheduling
        isCaching = configuration.enablePrefixCaching
        crossings = Array(repeating: 0, count: configuration.blockSize)
        registering = SlotLists(count: configuration.blockSize)
    }

    /// Sum of the context lengths that the next step reads, new tokens included.
    var contextTokens: Int { Int(offsetSum + Int64(count) * (scheduled + 1)) }
    /// Blocks that the next step needs.
    var blocksNeeded: Int { Int(crossings[phaseOfNext]) }

    // MARK: Members

    /// Takes in a request whose coming tokens are one a step; it produces its last one in the step before which
    /// it has `lastComputed` computed tokens.
    mutating func join(_ slot: Int32, _ request: inout RequestState, lastComputed: Int32) {
        let offset = Int64(request.numComputedTokens) - scheduled
        request.cohortStart = scheduled
        request.dueStep = Int64(lastComputed) - offset
        count += 1
        offsetSum += offset
        crossings[phase(-offset)] += 1
        due.insert(slot, into: Self.wheel(request.dueStep))
        if isRegistering(request) { beginRegistering(slot, offset) }
    }

    private mutating func beginRegistering(_ slot: Int32, _ offset: Int64) {
        registering.insert(slot, into: registerPhase(offset))
        registeringCount += 1
    }

    /// Makes all blocks of a member findable, who registers them from now on as they are full.
    mutating func makeFindable(_ slot: Int32, _ request: inout RequestState, _ kv: inout KVCacheManager) {
        let now = hashableTokens(of: request) - 1
        request.blocks.hashed = max(request.blocks.hashed, Int32(now / Int(blockSize)))
        kv.makeFindable(&request.blocks, knownTokens: now)
        beginRegistering(slot, Int64(request.numComputedTokens) - request.cohortStart)
    }

    /// Takes a member out and brings its counts up to date; its tokens in flight stay in flight. O(1).
    mutating func leave(_ slot: Int32, _ request: inout RequestState) {
        let offset = Int64(request.numComputedTokens) - request.cohortStart
        count -= 1
        offsetSum -= offset
        crossings[phase(-offset)] -= 1
        due.remove(slot, from: Self.wheel(request.dueStep))
        if isRegistering(request) {
            registering.remove(slot, from: registerPhase(offset))
            registeringCount -= 1
        }
        bringUpToDate(&request)
        request.cohortStart = -1
    }

    /// Makes a member's counts those of now. O(1).
    func bringUpToDate(_ request: inout RequestState) {
        let steps = Int32(scheduled - request.cohortStart)
        guard steps > 0 else { return }
        let delivered = Int32(max(0, processed - request.cohortStart))
        request.numTokens += delivered
        request.numComputedTokens += steps
        request.inFlightTokens += steps - delivered
        if isAsync { request.placeholders += steps - delivered }
        let computed = Int(request.numComputedTokens)
        request.blocks.held = Int32(ceilDivide(computed, Int(blockSize)))
        // Members that others may look up register as they go; for the rest nobody looks before they leave.
        // A block is hashed once its last token is known: under async scheduling one step later.
        if isCaching && !isRegistering(request) {
            let known = isAsync ? computed - 1 : computed
            request.blocks.hashed = max(request.blocks.hashed, Int32(known / Int(blockSize)))
        }
    }

    /// The first member of the list that holds those due at the next step, and others; -1 when empty.
    var firstDue: Int32 { due.first(of: Self.wheel(scheduled)) }
    /// The member after `slot` in that list.
    func nextDue(after slot: Int32) -> Int32 { due.next(after: slot) }
    /// The first of the members that have a block to register in the next step; -1 when there are none.
    var firstRegistering: Int32 { registering.first(of: phaseOfNext) }
    /// The member after `slot` in that list.
    func nextRegistering(after slot: Int32) -> Int32 { registering.next(after: slot) }
    /// Tokens of a member that are known and computed after the next step.
    func hashableTokens(of member: borrowing RequestState) -> Int {
        let steps = scheduled - member.cohortStart
        return Int(member.numComputedTokens) + Int(steps) + (isAsync ? 0 : 1)
    }

    /// Counts a step for all members.
    mutating func advance() {
        scheduled += 1
        phaseOfNext += 1
        if phaseOfNext == crossings.count { phaseOfNext = 0 }
    }

    /// Notes that a request which had a token in flight in cohort step `index` has ended.
    mutating func lose(at index: Int64) {
        if index & 1 == 0 { lost.0 += 1 } else { lost.1 += 1 }
    }

    /// Members lost since step `index` was scheduled; asking resets the count.
    mutating func takeLost(at index: Int64) -> Int {
        defer { if index & 1 == 0 { lost.0 = 0 } else { lost.1 = 0 } }
        return Int(index & 1 == 0 ? lost.0 : lost.1)
    }

    private func isRegistering(_ request: borrowing RequestState) -> Bool {
        let isFindable = request.blocks.findableTokens == .max
        return isCaching && isFindable
    }

    private func registerPhase(_ offset: Int64) -> Int { phase(-offset - (isAsync ? 0 : 1)) }

    private func phase(_ value: Int64) -> Int {
        let remainder = value % blockSize
        return Int(remainder < 0 ? remainder + blockSize : remainder)
    }

    private static func wheel(_ step: Int64) -> Int { Int(truncatingIfNeeded: step) & (wheelSize - 1) }
}
