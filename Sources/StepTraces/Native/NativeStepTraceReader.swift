import ByteStreams
import ServingCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Streams the rows of a native step trace in constant memory.
///
/// Lines as `NativeStepTraceWriter` writes them take a fast path; any other order of keys, white space and unknown
/// keys are read as well, only slower.
public struct NativeStepTraceReader: ~Copyable {
    /// The deployments met so far; a row's `group` is an index in here.
    public private(set) var groups: [TraceGroup] = []
    /// Lines that were dropped because they are not JSON or lack a field.
    public private(set) var malformedLines = 0
    /// What was wrong with the first such line.
    public private(set) var firstMalformed: InvalidInput?
    /// Whether the file ends in the middle of a frame or line.
    public private(set) var isTruncated = false

    private var lines: LineReader
    private var currentGroup = -1

    /// Opens a trace.
    /// - Throws: `InvalidInput`.
    public init(path: String) throws { try self.init(lines: LineReader(path: path)) }

    /// Reads a trace's lines.
    public init(lines: consuming LineReader) throws { self.lines = lines }

    /// Reads the next row, usable or not.
    /// - Returns: false at the end.
    /// - Throws: `InvalidInput` when the file is damaged, or its version or first line cannot be read.
    public mutating func next(_ row: inout StepRow) throws -> Bool {
        while try lines.next() {
            if currentGroup >= 0, readFast(lines.line, &row) {
                row.group = currentGroup
                return true
            }
            if try readSlowly(&row) {
                row.group = currentGroup
                return true
            }
        }
        if lines.isTruncated { isTruncated = true }
        guard currentGroup >= 0 || isTruncated else {
            throw InvalidInput(source: lines.name, "is empty", accepted: "a step trace")
        }
        return false
    }

    /// What was wrong so far; mutating so that it can be asked of an optional reader in place.
    mutating func problems() -> (malformedLines: Int, firstMalformed: InvalidInput?, isTruncated: Bool) {
        (malformedLines, firstMalformed, isTruncated)
    }

    /// `groups`; mutating for the same reason.
    mutating func knownGroups() -> [TraceGroup] { groups }

    /// Reads a line that is not in the writer's own shape.
    private mutating func readSlowly(_ row: inout StepRow) throws -> Bool {
        let kind: NativeLine
        do {
            kind = try parseNativeLine(lines.line, &row)
        } catch {
            if !lines.lineIsTerminated, currentGroup >= 0 {
                isTruncated = true
                return false
            }
            let problem =
                InvalidInput(source: lines.name, line: lines.lineNumber, "is not a step: \(error.problem)")
            guard currentGroup >= 0 else { throw problem }
            malformedLines += 1
            if firstMalformed == nil { firstMalformed = problem }
            return false
        }
        switch kind {
        case .blank: return false
        case .header:
            try beginGroup()
            return false
        case .step:
            guard currentGroup >= 0 else {
                throw InvalidInput(
                    source: lines.name, line: lines.lineNumber, "has a step before the header line",
                    accepted: "a line with \"format\":\"\(NativeHeader.formatName)\" first")
            }
            return true
        }
    }

    private mutating func beginGroup() throws {
        let bytes = lines.line.withUnsafeBytes { Data($0) }
        let header: NativeHeader
        do {
            header = try JSONDecoder().decode(NativeHeader.self, from: bytes)
        } catch let error as DecodingError {
            throw InvalidInput(error, source: lines.name, line: lines.lineNumber)
        }
        guard header.format == NativeHeader.formatName else {
            throw InvalidInput(
                source: lines.name, line: lines.lineNumber, field: "format", value: header.format,
                "is unknown", accepted: NativeHeader.formatName)
        }
        guard header.version == NativeStepTraceWriter.version else {
            throw InvalidInput(
                source: lines.name, line: lines.lineNumber, field: "version", value: "\(header.version)",
                "cannot be read", accepted: "\(NativeStepTraceWriter.version)")
        }
        var configuration = header.configuration ?? TraceConfiguration()
        if let facts = header.deployment { configuration.fill(from: facts) }
        let group = TraceGroup(
            name: header.name ?? configuration.summary, configuration: configuration, facts: header.deployment
        )
        if let known = groups.firstIndex(of: group) {
            currentGroup = known
        } else {
            groups.append(group)
            currentGroup = groups.count - 1
        }
    }

    /// What a line of the writer looks like: keys in order, no white space.
    @inline(__always)
    private func readFast(_ line: borrowing RawSpan, _ row: inout StepRow) -> Bool {
        line.withUnsafeBytes { bytes in
            var cursor = LineCursor(bytes)
            guard let step = cursor.integer(after: "{\"step\":"),
                let start = cursor.integer(after: ",\"start_ns\":"),
                cursor.integer(after: ",\"end_ns\":") != nil,
                let seconds = cursor.number(after: ",\"step_s\":"),
                let prefillRequests = cursor.count(after: ",\"prefill_requests\":"),
                let prefillTokens = cursor.count(after: ",\"prefill_tokens\":"),
                let prefillContext = cursor.count(after: ",\"prefill_context_tokens\":"),
                let pairs = cursor.number(after: ",\"prefill_attention_pairs\":"),
                let decodeRequests = cursor.count(after: ",\"decode_requests\":"),
                let decodeContext = cursor.count(after: ",\"decode_context_tokens\":"),
                let running = cursor.count(after: ",\"running_requests\":"),
                let waiting = cursor.count(after: ",\"waiting_requests\":"),
                let used = cursor.count(after: ",\"kv_blocks_used\":"),
                let total = cursor.count(after: ",\"kv_blocks_total\":"),
                let offload = cursor.count(after: ",\"blocks_to_offload\":"),
                let restore = cursor.count(after: ",\"blocks_to_restore\":"),
                pairs >= 0, seconds > 0
            else { return false }
            row.contextSource = .recorded
            row.targetSource = .recorded
            row.run = 0
            row.state.peerTokens = cursor.count(after: ",\"peer_tokens\":")
            if !cursor.isAtEnd {
                // Converted rows say where they come from; what excluded ones say is read slowly.
                guard let run = cursor.count(after: ",\"run\":"),
                    let context = cursor.contextSource(), let target = cursor.targetSource(), cursor.isAtEnd
                else { return false }
                row.run = run
                row.contextSource = context
                row.targetSource = target
            }
            row.stepID = step
            row.start = start
            row.seconds = seconds
            row.state.prefillRequests = prefillRequests
            row.state.prefillTokens = prefillTokens
            row.state.prefillContextTokens = prefillContext
            row.state.prefillAttentionPairs = pairs
            row.state.decodeRequests = decodeRequests
            row.state.decodeContextTokens = decodeContext
            row.state.runningRequests = running
            row.state.waitingRequests = waiting
            row.state.kvBlocksUsed = used
            row.state.kvBlocksTotal = total
            row.state.blocksToOffload = offload
            row.state.blocksToRestore = restore
            row.exclusion = prefillTokens | decodeRequests == 0 ? .emptyStep : nil
            return true
        }
    }
}

extension TraceConfiguration {
    /// Takes over what the facts of a native header say and the configuration does not.
    mutating func fill(from facts: DeploymentFacts) {
        if model == nil, !facts.modelName.isEmpty { model = facts.modelName }
        if accelerator == nil, !facts.acceleratorName.isEmpty { accelerator = facts.acceleratorName }
        if weightFormat == nil { weightFormat = facts.weightFormat }
        if tensorParallelSize == nil { tensorParallelSize = facts.tensorParallelSize }
        if dataParallelSize == nil { dataParallelSize = facts.dataParallelSize }
        if expertParallelSize == nil { expertParallelSize = facts.expertParallelSize }
        if maxNumBatchedTokens == nil { maxNumBatchedTokens = facts.maxNumBatchedTokens }
        if maxNumSeqs == nil { maxNumSeqs = facts.maxNumSeqs }
        if maxModelLen == nil, facts.maxModelLen > 0 { maxModelLen = facts.maxModelLen }
        if blockSize == nil { blockSize = facts.blockSize }
        if kvBlocks == nil, facts.kvBlocks > 0 { kvBlocks = facts.kvBlocks }
        if prefixCaching == nil { prefixCaching = facts.prefixCaching }
        if chunkedPrefill == nil { chunkedPrefill = facts.chunkedPrefill }
        if asyncScheduling == nil { asyncScheduling = facts.asyncScheduling }
    }
}
