import ByteStreams
import ServingCore

/// Steps described in a CSV file, without times: what `stepcast predict` is asked about.
public struct StepDescriptionReader: ~Copyable {
    private var table: CSVReader
    private let required: [Int]
    private let optional: [Int?]
    private static let requiredNames = [
        "num_prefill_reqs", "prefill_tokens", "num_decode_reqs",
    ]
    /// Largest count in a field: sums of several stay far from overflow.
    private static let limit = 1 << 40

    /// Opens a file.
    /// - Throws: `InvalidInput` when it cannot be read or lacks a column.
    public init(path: String) throws {
        let table = try CSVReader(path: path)
        var required: [Int] = []
        for name in Self.requiredNames { required.append(try table.column(name)) }
        self.required = required
        optional = [
            table.columnIfPresent("prefill_context", "prefill_context_tokens"),
            table.columnIfPresent(
                "decode_context_tokens_total", "decode_context_est", "decode_context_tokens"),
            table.columnIfPresent("running"), table.columnIfPresent("waiting"),
            table.columnIfPresent("kv_blocks_used"), table.columnIfPresent("kv_blocks_total"),
            table.columnIfPresent("blocks_to_offload"), table.columnIfPresent("blocks_to_restore"),
        ]
        self.table = table
    }

    /// Reads the next step.
    /// - Returns: false at the end.
    /// - Throws: `InvalidInput` naming line, column and value.
    public mutating func next(_ state: inout StepState) throws -> Bool {
        guard try table.next() else { return false }
        func count(_ column: Int?) throws -> Int {
            guard let column, !table.isEmpty(column) else { return 0 }
            return try table.integer(column, in: 0...Self.limit)
        }
        state = StepState()
        state.prefillRequests = try count(required[0])
        state.prefillTokens = try count(required[1])
        state.decodeRequests = try count(required[2])
        state.prefillContextTokens = try count(optional[0])
        state.decodeContextTokens = try count(optional[1])
        // Prefills of one step are taken as alike.
        let requests = Double(max(1, state.prefillRequests))
        let tokens = Double(state.prefillTokens) / requests
        let context = Double(state.prefillContextTokens) / requests
        state.prefillAttentionPairs = requests * (tokens * context + tokens * (tokens + 1) / 2)
        let scheduled = state.prefillRequests + state.decodeRequests
        state.runningRequests = optional[2] == nil ? scheduled : try count(optional[2])
        state.waitingRequests = try count(optional[3])
        state.kvBlocksUsed = try count(optional[4])
        state.kvBlocksTotal = try count(optional[5])
        state.blocksToOffload = try count(optional[6])
        state.blocksToRestore = try count(optional[7])
        return true
    }
}
