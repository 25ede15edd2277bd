import ServingCore

/// Rows from the iterations of a vLLM log.
struct LogRows {
    private let log: IterationLog
    private let isTarget: Bool
    private let blockSize: Int
    private var index = 0

    init(_ log: IterationLog, blockSize: Int) {
        self.log = log
        self.blockSize = blockSize
        isTarget = log.coverage.containsExecution
    }

    /// Reads the next row, usable or not.
    mutating func next(_ row: inout StepRow) -> Bool {
        guard index < log.iterations.count else { return false }
        let iteration = log.iterations[index]
        index += 1
        row = StepRow()
        row.stepID = iteration.index
        row.state = iteration.state
        row.contextSource = .unknown
        if let capacity = log.kvCacheTokens, iteration.kvUsage.isFinite {
            row.contextSource = .kvUsage
            row.state.estimateContext(usage: iteration.kvUsage, capacity: capacity, blockSize: blockSize)
        }
        row.seconds = iteration.elapsedMilliseconds / 1000
        row.targetSource = .iterationLog
        if row.state.batchTokens == 0 {
            row.exclusion = .emptyStep
        } else if iteration.isWarmUp {
            row.exclusion = .warmUp
        } else if !isTarget {
            row.exclusion = .targetLeavesExecutionOut
        } else if !(row.seconds > 0) {
            row.exclusion = .suspect
        }
        if row.exclusion != nil {
            row.targetSource = .none
            row.seconds = .nan
        }
        return true
    }
}

extension IterationLog.Iteration {
    /// Requests and tokens; more generation tokens than requests are speculative.
    var state: StepState {
        var state = StepState()
        state.prefillRequests = Int(contextRequests)
        state.prefillTokens = Int(contextTokens)
        state.decodeRequests = Int(generationRequests)
        state.runningRequests = Int(contextRequests) + Int(generationRequests)
        state.prefillAttentionPairs = evenAttentionPairs(
            requests: state.prefillRequests, tokens: state.prefillTokens, contextTokens: 0)
        return state
    }
}

extension StepState {
    /// Estimates contexts from the share of the cache in use.
    mutating func estimateContext(usage: Double, capacity: Int64, blockSize: Int) {
        kvBlocksTotal = Int(clamping: capacity) / max(1, blockSize)
        kvBlocksUsed = min(kvBlocksTotal, wholeTokens((usage * Double(kvBlocksTotal)).rounded()))
        let requests = Double(prefillRequests + decodeRequests)
        let held = max(0, usage * Double(capacity) - requests * Double(blockSize - 1) / 2)
        let others = max(0, held - Double(prefillTokens))
        if decodeRequests > 0 { decodeContextTokens = max(decodeRequests, wholeTokens(others)) }
    }
}

/// What the recorded steps of an experiment say about its times, to check a log against.
struct StepReference {
    /// Sum of all usable synchronous cycles, seconds, and their number.
    var seconds = 0.0
    var steps = 0

    init(_ order: StepOrder) {
        for run in 0..<order.runStarts.count - 1 {
            let end = order.runStarts[run + 1]
            for index in order.runStarts[run]..<end {
                let cycle = StepCycle(order.events, index, end: end, asynchronous: false)
                guard cycle.exclusion == nil else { continue }
                seconds += cycle.length.seconds
                steps += 1
            }
        }
    }
}

extension IterationLog {
    /// The deployment that the log describes.
    func deployment(blockSize: Int?) -> TraceConfiguration {
        var found = configuration
        if let tokens = kvCacheTokens, let blockSize, tokens > 0, Int(clamping: tokens) / blockSize > 1 {
            // The log counts the null block as well.
            found.kvBlocks = Int(clamping: tokens) / blockSize - 1
        }
        return found
    }

    /// Says whether the log's elapsed times contain the execution, and how that was seen.
    func explain(_ name: String, reference: StepReference, report: inout TraceReport) {
        let coverage = coverage
        var evidence = "its busiest seconds are \(twoDecimals(coverage.busiest * 100)) % elapsed time"
        if coverage.seconds == 0 { evidence = "the median is \(twoDecimals(coverage.median)) ms" }
        let logged = iterations.filter { !$0.isWarmUp && $0.contextTokens &+ $0.generationTokens > 0 }
        if reference.steps > 0, !logged.isEmpty {
            let mean = logged.reduce(0) { $0 + $1.elapsedMilliseconds } / Double(logged.count)
            let cycle = reference.seconds / Double(reference.steps) * 1000
            evidence +=
                "; the mean is \(twoDecimals(mean)) ms, that of the recorded steps \(twoDecimals(cycle)) ms"
        }
        if coverage.containsExecution {
            report.note("\(name): the log's elapsed times contain the execution (\(evidence))")
        } else {
            report.warn(
                "\(name): the log's elapsed times leave the execution out (\(evidence)), as with the in-process executor: not used as step times; log with the multi-process executor"
            )
        }
    }
}
