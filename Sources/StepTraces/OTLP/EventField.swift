/// The attributes of step, snapshot and journey events that are read, and how many of them there are.
enum EventField: UInt8, CaseIterable {
    // step.BATCH_SUMMARY
    case stepID, startNanoseconds, endNanoseconds, durationMicroseconds
    case runningDepth, waitingDepth
    case prefillRequests, decodeRequests, scheduledTokens, prefillTokens, decodeTokens, finished, preempted
    case kvUsage, kvBlocksTotal, kvBlocksFree
    // Additions of some recordings.
    case chunkRequests, singleDecodeRequests, recomputeTokens
    case decodeContextSum, prefillNewTimesContext, prefillNewSquared
    // step.REQUEST_SNAPSHOT
    case promptTokens, computedTokens, outputTokens, requestPreemptions, scheduledThisStep,
        effectivePromptLength
    case blocksAllocated, blocksCached
    // journey.* and api.*
    case monotonic, monotonicNanoseconds, schedulerStep
    case prefillDone, prefillTotal, decodeDone, decodeMaximum, journeyPreemptions
    case queueRunning, queueWaiting, apiMonotonic, apiMonotonicNanoseconds
    /// Anything else: checked, not kept.
    case other

    /// The attribute's key.
    var key: StaticString {
        switch self {
        case .stepID: "step.id"
        case .startNanoseconds: "step.ts_start_ns"
        case .endNanoseconds: "step.ts_end_ns"
        case .durationMicroseconds: "step.duration_us"
        case .runningDepth: "queue.running_depth"
        case .waitingDepth: "queue.waiting_depth"
        case .prefillRequests: "batch.num_prefill_reqs"
        case .decodeRequests: "batch.num_decode_reqs"
        case .scheduledTokens: "batch.scheduled_tokens"
        case .prefillTokens: "batch.prefill_tokens"
        case .decodeTokens: "batch.decode_tokens"
        case .finished: "batch.num_finished"
        case .preempted: "batch.num_preempted"
        case .kvUsage: "kv.usage_gpu_ratio"
        case .kvBlocksTotal: "kv.blocks_total_gpu"
        case .kvBlocksFree: "kv.blocks_free_gpu"
        case .chunkRequests: "x.batch.num_chunk_reqs"
        case .singleDecodeRequests: "x.batch.num_decode1_reqs"
        case .recomputeTokens: "x.batch.recompute_tokens"
        case .decodeContextSum: "x.batch.sum_decode_ctx"
        case .prefillNewTimesContext: "x.batch.sum_prefill_new_x_ctx"
        case .prefillNewSquared: "x.batch.sum_prefill_new_sq"
        case .promptTokens: "request.num_prompt_tokens"
        case .computedTokens: "request.num_computed_tokens"
        case .outputTokens: "request.num_output_tokens"
        case .requestPreemptions: "request.num_preemptions"
        case .scheduledThisStep: "request.scheduled_tokens_this_step"
        case .effectivePromptLength: "request.effective_prompt_len"
        case .blocksAllocated: "kv.blocks_allocated_gpu"
        case .blocksCached: "kv.blocks_cached_gpu"
        case .monotonic: "ts.monotonic"
        case .monotonicNanoseconds: "ts.monotonic_ns"
        case .schedulerStep: "scheduler.step"
        case .prefillDone: "prefill.done_tokens"
        case .prefillTotal: "prefill.total_tokens"
        case .decodeDone: "decode.done_tokens"
        case .decodeMaximum: "decode.max_tokens"
        case .journeyPreemptions: "num_preemptions"
        case .queueRunning: "x.queue.running_depth"
        case .queueWaiting: "x.queue.waiting_depth"
        case .apiMonotonic: "event.ts.monotonic"
        case .apiMonotonicNanoseconds: "x.event.ts.monotonic_ns"
        case .other: ""
        }
    }

    /// Whether the attribute is a fraction or a time in seconds; all others are whole numbers.
    var isReal: Bool {
        switch self {
        case .kvUsage, .monotonic, .apiMonotonic: true
        default: false
        }
    }

    var bit: UInt64 { 1 << UInt64(rawValue) }

    /// The field of a key.
    static func named(_ key: UnsafeRawBufferPointer) -> EventField {
        for field in allCases {
            let name = field.key
            if name.utf8CodeUnitCount == key.count, key.count > 0,
                key.elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
            {
                return field
            }
        }
        return .other
    }
}

/// What an event is, by its name.
enum EventKind: UInt8 {
    case batchSummary, requestSnapshot
    case queued, scheduled, firstToken, preempted, finished
    case arrived, handoff, firstResponse, departed, aborted
    case other

    static func named(_ name: UnsafeRawBufferPointer) -> EventKind {
        func matches(_ text: StaticString) -> Bool {
            name.count == text.utf8CodeUnitCount
                && name.elementsEqual(
                    UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
        }
        if matches("step.BATCH_SUMMARY") { return .batchSummary }
        if matches("step.REQUEST_SNAPSHOT") { return .requestSnapshot }
        if matches("journey.QUEUED") { return .queued }
        if matches("journey.SCHEDULED") { return .scheduled }
        if matches("journey.FIRST_TOKEN") { return .firstToken }
        if matches("journey.PREEMPTED") { return .preempted }
        if matches("journey.FINISHED") { return .finished }
        if matches("api.ARRIVED") { return .arrived }
        if matches("api.HANDOFF_TO_CORE") { return .handoff }
        if matches("api.FIRST_RESPONSE_FROM_CORE") { return .firstResponse }
        if matches("api.DEPARTED") { return .departed }
        if matches("api.ABORTED") { return .aborted }
        return .other
    }
}

/// The values of one event's attributes.
struct EventValues {
    /// Whole numbers, and the bit patterns of real ones.
    var values = InlineArray<64, Int64>(repeating: 0)
    /// Which fields were there.
    var present: UInt64 = 0
    /// An attribute's value was not of its type, not finite or beyond 64 bits.
    var malformed = false
    /// Time of the event, ns since 1970; 0 when missing.
    var unixNanoseconds: Int64 = 0
    var kind = EventKind.other

    @inline(__always)
    mutating func reset() {
        present = 0
        malformed = false
        unixNanoseconds = 0
        kind = .other
    }

    @inline(__always)
    func has(_ field: EventField) -> Bool { present & field.bit != 0 }

    @inline(__always)
    func whole(_ field: EventField) -> Int64 { values[Int(field.rawValue)] }

    @inline(__always)
    func real(_ field: EventField) -> Double {
        Double(bitPattern: UInt64(bitPattern: values[Int(field.rawValue)]))
    }

    @inline(__always)
    mutating func set(_ field: EventField, whole value: Int64) {
        if field == .other { return }
        values[Int(field.rawValue)] =
            field.isReal ? Int64(bitPattern: Double(value).bitPattern) : value
        present |= field.bit
    }

    @inline(__always)
    mutating func set(_ field: EventField, real value: Double) {
        guard value.isFinite else {
            malformed = true
            return
        }
        if field == .other { return }
        if field.isReal {
            values[Int(field.rawValue)] = Int64(bitPattern: value.bitPattern)
        } else if let whole = Int64(exactly: value) {
            // A whole double may be printed as 1 or 1.0.
            values[Int(field.rawValue)] = whole
        } else {
            malformed = true
            return
        }
        present |= field.bit
    }

    /// A count that was checked to fit; `missing` when it is not there.
    func count(_ field: EventField, missing: Int32 = 0) -> Int32 {
        has(field) ? Int32(truncatingIfNeeded: whole(field)) : missing
    }

    /// A time in ns, from whole ns if there, else from seconds.
    /// - Returns: -1 when neither is there, nil when it cannot be a time.
    func time(_ exact: EventField, _ seconds: EventField) -> Int64? {
        if has(exact), whole(exact) != 0 {
            return whole(exact) > 0 && whole(exact) < 4_000_000_000_000_000_000 ? whole(exact) : nil
        }
        guard has(seconds) else { return -1 }
        return real(seconds) >= 0 && real(seconds) < 4e9 ? Int64((real(seconds) * 1e9).rounded()) : nil
    }
}
