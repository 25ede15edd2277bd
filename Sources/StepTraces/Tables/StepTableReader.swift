import ByteStreams
import ServingCore

/// Rows of a CSV file of step times: one row a step (kernel sums, measured steps) or one row a pair of prompt and
/// token times by batch size.
///
/// Columns of the first kind: `gpu, model, tp, ep, dtype, num_prefill_reqs, prefill_tokens, prefill_context,
/// num_decode_reqs, decode_context_tokens_total` (or `decode_context_est`), and `step_ms` or `step_cycle_ms`;
/// `running`, `waiting`, `suspect`, `step_id`, `experiment` and `run` where present. `prefill_context` is the total
/// over prefill requests; empty counts as 0. Totals of several prefill requests are taken as spread evenly.
///
/// `step_cycle_ms` is the start-to-start interval of `schedule()` under asynchronous scheduling, so it belongs to
/// the step before: rows with prefill tokens are left out as misaligned, decode batches change slowly enough.
///
/// Columns of the second kind: `model, hardware, tensor_parallel, prompt_size, batch_size, token_size, prompt_time,
/// token_time` (milliseconds); each row gives a prefill step and a decode step at the mean context.
public struct StepTableReader: ~Copyable {
    /// Deployments met so far.
    public private(set) var groups: [TraceGroup] = []
    /// Whether the file ends in the middle of a frame.
    public var isTruncated: Bool { table.isTruncated }

    private var table: CSVReader
    private let columns: Columns
    private var groupKey: [UInt8] = []
    private var currentGroup = -1
    private var runKey: [UInt8] = []
    private var run = 0
    /// The decode step of the row whose prefill step was handed out last.
    private var pending: StepRow?
    private var rowNumber: Int64 = 0

    private enum Columns {
        case steps(StepColumns)
        case promptTimes(PromptTimeColumns)
    }

    private struct StepColumns {
        var prefillRequests, prefillTokens, decodeRequests: Int
        var prefillContext, decodeContext, running, waiting, suspect, stepID, run: Int?
        var decodeContextIsEstimated = false
        var milliseconds: Int
        var isCycle = false
    }

    private struct PromptTimeColumns {
        var promptSize, batchSize, tokenSize, promptTime, tokenTime: Int
    }

    private let identity: [Int]
    private let identityFields: [IdentityField]

    private enum IdentityField { case accelerator, model, tensorParallel, expertParallel, format }

    /// Whether a CSV header is one that this reader knows.
    static func recognises(_ header: [String]) -> Bool {
        let names = Set(header)
        return names.isSuperset(of: ["num_prefill_reqs", "prefill_tokens", "num_decode_reqs"])
            && (names.contains("step_ms") || names.contains("step_cycle_ms"))
            || names.isSuperset(of: ["prompt_size", "batch_size", "prompt_time", "token_time"])
    }

    /// Opens a table.
    /// - Throws: `InvalidInput` when it cannot be read or a column is missing.
    public init(path: String) throws { try self.init(table: CSVReader(path: path)) }

    /// Reads a table.
    /// - Throws: `InvalidInput` when a column is missing.
    public init(table: consuming CSVReader) throws {
        var identity: [Int] = []
        var fields: [IdentityField] = []
        for (index, name) in table.header.enumerated() {
            let field: IdentityField
            switch name {
            case "gpu", "hardware": field = .accelerator
            case "model": field = .model
            case "tp", "tensor_parallel": field = .tensorParallel
            case "ep": field = .expertParallel
            case "dtype": field = .format
            default: continue
            }
            identity.append(index)
            fields.append(field)
        }
        self.identity = identity
        identityFields = fields
        if table.header.contains("prompt_time") {
            columns = .promptTimes(
                PromptTimeColumns(
                    promptSize: try table.column("prompt_size"), batchSize: try table.column("batch_size"),
                    tokenSize: try table.column("token_size"), promptTime: try table.column("prompt_time"),
                    tokenTime: try table.column("token_time")))
        } else {
            let cycle = table.columnIfPresent("step_cycle_ms")
            let exact = table.columnIfPresent("decode_context_tokens_total")
            columns = .steps(
                StepColumns(
                    prefillRequests: try table.column("num_prefill_reqs"),
                    prefillTokens: try table.column("prefill_tokens"),
                    decodeRequests: try table.column("num_decode_reqs"),
                    prefillContext: table.columnIfPresent("prefill_context"),
                    decodeContext: exact ?? table.columnIfPresent("decode_context_est"),
                    running: table.columnIfPresent("running"), waiting: table.columnIfPresent("waiting"),
                    suspect: table.columnIfPresent("suspect"), stepID: table.columnIfPresent("step_id"),
                    run: table.columnIfPresent("experiment", "run"),
                    decodeContextIsEstimated: exact == nil,
                    milliseconds: try cycle ?? table.column("step_ms"), isCycle: cycle != nil))
        }
        self.table = table
    }

    /// Reads the next row, usable or not.
    /// - Returns: false at the end.
    /// - Throws: `InvalidInput` naming line and column when a value cannot be used.
    public mutating func next(_ row: inout StepRow) throws -> Bool {
        if let waiting = pending {
            row = waiting
            pending = nil
            return true
        }
        guard try table.next() else { return false }
        rowNumber += 1
        try findGroup()
        row = StepRow()
        row.group = currentGroup
        row.stepID = rowNumber
        switch columns {
        case .steps(let columns): try readStep(columns, &row)
        case .promptTimes(let columns): try readPromptTimes(columns, &row)
        }
        return true
    }

    /// `groups`; mutating so that it can be asked of an optional reader in place.
    mutating func knownGroups() -> [TraceGroup] { groups }

    /// `isTruncated`; mutating for the same reason.
    mutating func wasTruncated() -> Bool { table.isTruncated }

    private mutating func readStep(_ columns: StepColumns, _ row: inout StepRow) throws {
        let limit = 0...1_000_000_000_000
        row.state.prefillRequests = try table.integer(columns.prefillRequests, in: limit)
        row.state.prefillTokens = try table.integer(columns.prefillTokens, in: limit)
        row.state.decodeRequests = try table.integer(columns.decodeRequests, in: limit)
        row.state.prefillContextTokens = try optionalCount(columns.prefillContext)
        row.state.decodeContextTokens = try optionalCount(columns.decodeContext)
        row.state.prefillAttentionPairs = evenAttentionPairs(
            requests: row.state.prefillRequests, tokens: row.state.prefillTokens,
            contextTokens: Double(row.state.prefillContextTokens))
        row.state.waitingRequests = try optionalCount(columns.waiting)
        row.state.runningRequests =
            columns.running == nil
            ? row.state.prefillRequests + row.state.decodeRequests : try optionalCount(columns.running)
        if let stepID = columns.stepID { row.stepID = Int64(try table.integer(stepID)) }
        row.contextSource =
            columns.decodeContext == nil ? .unknown : columns.decodeContextIsEstimated ? .kvUsage : .recorded
        let isFinite = !table.isNonFinite(columns.milliseconds)
        row.seconds = isFinite ? try table.double(columns.milliseconds) / 1000 : 0
        row.targetSource = columns.isCycle ? .asynchronousCycle : .recorded
        row.run = try findRun(columns.run)
        if row.state.batchTokens == 0 {
            row.exclusion = .emptyStep
        } else if !isFinite {
            row.exclusion = .notFinite
        } else if !(row.seconds > 0) {
            row.exclusion = .suspect
        } else if let suspect = columns.suspect, try table.integer(suspect) != 0 {
            row.exclusion = .suspect
        } else if columns.isCycle, row.state.prefillTokens > 0 {
            row.exclusion = .misaligned
        }
    }

    private mutating func readPromptTimes(_ columns: PromptTimeColumns, _ row: inout StepRow) throws {
        let limit = 0...1_000_000_000
        let prompt = try table.integer(columns.promptSize, in: limit)
        let batch = try table.integer(columns.batchSize, in: 0...1_000_000)
        let tokens = try table.integer(columns.tokenSize, in: limit)
        row.contextSource = .recorded
        row.targetSource = .recorded
        var decode = row
        row.state.prefillRequests = batch
        row.state.prefillTokens = batch * prompt
        row.state.prefillAttentionPairs = evenAttentionPairs(
            requests: batch, tokens: batch * prompt, contextTokens: 0)
        row.state.runningRequests = batch
        row.seconds = try table.double(columns.promptTime) / 1000
        // Contexts grow from prompt + 1 by one a step; the mean of token times belongs to the mean context.
        decode.state.decodeRequests = batch
        decode.state.decodeContextTokens = batch * (prompt + max(1, tokens / 2))
        decode.state.runningRequests = batch
        decode.seconds = try table.double(columns.tokenTime) / 1000
        if batch == 0 || prompt == 0 {
            row.exclusion = .emptyStep
        } else if !(row.seconds > 0) {
            row.exclusion = .suspect
        }
        if batch == 0 {
            decode.exclusion = .emptyStep
        } else if !(decode.seconds > 0) {
            decode.exclusion = .suspect
        }
        pending = decode
    }

    private func optionalCount(_ column: Int?) throws -> Int {
        guard let column, !table.isEmpty(column) else { return 0 }
        return try table.integer(column, in: 0...1_000_000_000_000)
    }

    private mutating func findRun(_ column: Int?) throws -> Int {
        guard let column else { return 0 }
        let key = table.field(column).withUnsafeBytes { Array($0) }
        if key != runKey {
            if !runKey.isEmpty { run += 1 }
            runKey = key
        }
        return run
    }

    private mutating func findGroup() throws {
        var key: [UInt8] = []
        for column in identity {
            table.field(column).withUnsafeBytes { key.append(contentsOf: $0) }
            key.append(0)
        }
        if currentGroup >= 0, key == groupKey { return }
        groupKey = key
        var configuration = TraceConfiguration()
        for (index, field) in identityFields.enumerated() {
            let column = identity[index]
            if table.isEmpty(column) { continue }
            switch field {
            case .accelerator: configuration.accelerator = table.string(column)
            case .model: configuration.model = table.string(column)
            case .tensorParallel: configuration.tensorParallelSize = try table.integer(column, in: 1...65536)
            case .expertParallel: configuration.expertParallelSize = try table.integer(column, in: 1...65536)
            case .format: configuration.weightFormat = table.string(column)
            }
        }
        let group = TraceGroup(name: configuration.summary, configuration: configuration)
        currentGroup = groups.firstIndex(of: group) ?? groups.count
        if currentGroup == groups.count { groups.append(group) }
    }
}

/// Query-key pairs of `requests` prefills that share `tokens` new tokens and `contextTokens` computed ones evenly.
func evenAttentionPairs(requests: Int, tokens: Int, contextTokens: Double) -> Double {
    guard requests > 0 else { return 0 }
    let new = Double(tokens) / Double(requests)
    return Double(tokens) * (contextTokens / Double(requests)) + Double(tokens) * (new + 1) / 2
}
