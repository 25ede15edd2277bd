import ByteStreams
import ServingCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Writes the native step trace: JSON lines, one step a line, zstd when the name ends in `.zst`; the file appears
/// whole with `finish()` or not at all. The format is described in docs/step-trace-format.md.
///
/// ```swift
/// var trace = try NativeStepTraceWriter(path: "run.jsonl.zst", facts: facts)
/// trace.append(start: start, end: end, state: state, seconds: seconds)
/// try trace.finish()
/// ```
public struct NativeStepTraceWriter: ~Copyable {
    /// Version of the format that is written.
    public static let version = 1

    /// Steps written so far.
    public private(set) var steps: Int64 = 0
    private var file: WholeFileWriter

    /// Starts a trace of one deployment.
    /// - Parameters:
    ///   - facts: what the features of the deployment read; nil when they are not known.
    ///   - configuration: what is known beyond that.
    /// - Throws: `InvalidInput` of kind `cannotWrite`.
    public init(
        path: String, facts: DeploymentFacts?, configuration: TraceConfiguration? = nil, name: String? = nil,
        compressionLevel: Int = 3
    ) throws {
        let header = try Self.header(facts: facts, configuration: configuration, name: name)
        file = try WholeFileWriter(path: path, compressionLevel: compressionLevel)
        file.append(header)
    }

    /// Starts the steps of another deployment.
    public mutating func beginGroup(
        facts: DeploymentFacts?, configuration: TraceConfiguration? = nil, name: String? = nil
    ) throws {
        file.append(try Self.header(facts: facts, configuration: configuration, name: name))
    }

    private static func header(
        facts: DeploymentFacts?, configuration: TraceConfiguration?, name: String?
    ) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let header = NativeHeader(
            format: NativeHeader.formatName, version: Self.version, name: name, deployment: facts,
            configuration: configuration)
        return [UInt8](try encoder.encode(header)) + [0x0A]
    }

    /// Writes one step of a simulation or of a trace that states execution times.
    /// - Parameters:
    ///   - start: when it began to execute.
    ///   - end: when it had executed.
    ///   - seconds: its execution time as the latency model gave it, before rounding to ticks.
    public mutating func append(start: Ticks, end: Ticks, state: StepState, seconds: Double) {
        steps += 1
        writeFields(id: steps, start: start, end: end, state: state, seconds: seconds)
        file.append("}\n")
    }

    /// Writes a row with where it comes from; group changes are the caller's business (`beginGroup`).
    public mutating func append(_ row: StepRow) {
        steps += 1
        let length = row.seconds.isFinite ? Ticks(seconds: max(0, row.seconds)) : 0
        let end = row.start.addingReportingOverflow(length)
        writeFields(
            id: row.stepID, start: row.start, end: end.overflow ? .max : end.partialValue, state: row.state,
            seconds: row.seconds)
        file.append(",\"run\":")
        file.append(integer: row.run)
        file.append(",\"context\":\"")
        file.append(text: row.contextSource.name)
        file.append("\",\"target\":\"")
        file.append(text: row.targetSource.name)
        if let exclusion = row.exclusion {
            file.append("\",\"excluded\":\"")
            file.append(text: "\(exclusion)")
        }
        file.append("\"}\n")
    }

    @inline(__always)
    private mutating func writeFields(id: Int64, start: Ticks, end: Ticks, state: StepState, seconds: Double)
    {
        file.append("{\"step\":")
        file.append(integer: id)
        file.append(",\"start_ns\":")
        file.append(integer: start)
        file.append(",\"end_ns\":")
        file.append(integer: end)
        file.append(",\"step_s\":")
        file.append(number: seconds)
        file.append(",\"prefill_requests\":")
        file.append(integer: state.prefillRequests)
        file.append(",\"prefill_tokens\":")
        file.append(integer: state.prefillTokens)
        file.append(",\"prefill_context_tokens\":")
        file.append(integer: state.prefillContextTokens)
        file.append(",\"prefill_attention_pairs\":")
        file.append(number: state.prefillAttentionPairs)
        file.append(",\"decode_requests\":")
        file.append(integer: state.decodeRequests)
        file.append(",\"decode_context_tokens\":")
        file.append(integer: state.decodeContextTokens)
        file.append(",\"running_requests\":")
        file.append(integer: state.runningRequests)
        file.append(",\"waiting_requests\":")
        file.append(integer: state.waitingRequests)
        file.append(",\"kv_blocks_used\":")
        file.append(integer: state.kvBlocksUsed)
        file.append(",\"kv_blocks_total\":")
        file.append(integer: state.kvBlocksTotal)
        file.append(",\"blocks_to_offload\":")
        file.append(integer: state.blocksToOffload)
        file.append(",\"blocks_to_restore\":")
        file.append(integer: state.blocksToRestore)
        if let peers = state.peerTokens {
            file.append(",\"peer_tokens\":")
            file.append(integer: peers)
        }
    }

    /// Writes out everything and gives the file its name.
    /// - Throws: `InvalidInput` of kind `cannotWrite`.
    public mutating func finish() throws { try file.finish() }
}

/// A line of a native trace that begins the steps of a deployment.
struct NativeHeader: Codable {
    static let formatName = "stepcast-step-trace"

    var format: String
    var version: Int
    var name: String?
    var deployment: DeploymentFacts?
    var configuration: TraceConfiguration?
}
