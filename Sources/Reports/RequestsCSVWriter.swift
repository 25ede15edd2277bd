import ByteStreams
import ServingCore

/// Writes a row per request to a CSV file that appears whole or not at all, compressed when named `.zst`.
///
/// Times are exact: seconds with up to nine decimals. What never happened is an empty field.
/// ```swift
/// var file = try RequestsCSVWriter(path: "requests.csv.zst")
/// file.append(record)
/// try file.finish()
/// ```
public struct RequestsCSVWriter: ~Copyable {
    private var file: WholeFileWriter

    /// Creates the file and writes its header.
    /// - Throws: `InvalidInput` of kind `cannotWrite`.
    public init(path: String) throws {
        file = try WholeFileWriter(path: path)
        file.append(
            "request,status,sent_s,queued_s,scheduled_s,first_token_s,finished_s,prompt_tokens,cached_tokens,"
        )
        file.append("output_tokens,preemptions,engine,ttft_ms,tpot_ms,e2el_ms\n")
    }

    /// Appends a row; a failure to write is thrown by `finish`.
    public mutating func append(_ record: borrowing RequestRecord) {
        let reachedFirst = record.firstToken >= 0
        let ended = record.finished >= 0
        file.append(integer: record.index)
        comma()
        switch record.status {
        case .completed: file.append("completed")
        case .rejected: file.append("rejected")
        case .timedOut: file.append("timed_out")
        case .unfinished: file.append("unfinished")
        }
        moment(record.sent)
        moment(record.queued)
        moment(record.scheduled)
        moment(record.firstToken)
        moment(record.finished)
        count(record.promptTokens)
        count(record.cachedTokens)
        count(record.outputTokens)
        count(record.preemptions)
        count(record.engine)
        comma()
        if reachedFirst { decimal(record.timeToFirstToken, digits: 6) }
        comma()
        if reachedFirst, ended, let time = record.timePerOutputToken { file.append(number: time / 1e6) }
        comma()
        if ended { decimal(record.endToEnd, digits: 6) }
        file.append(byte: UInt8(ascii: "\n"))
    }

    /// Writes out everything and gives the file its name.
    /// - Throws: `InvalidInput` of kind `cannotWrite`; no file appears then.
    public mutating func finish() throws { try file.finish() }

    private mutating func comma() { file.append(byte: UInt8(ascii: ",")) }

    private mutating func count(_ value: Int) {
        comma()
        file.append(integer: value)
    }

    private mutating func moment(_ time: Ticks) {
        comma()
        if time >= 0 { decimal(time, digits: 9) }
    }

    /// Ticks divided by 10^digits, exactly, without zeros at the end.
    private mutating func decimal(_ ticks: Ticks, digits: Int) {
        let unit: UInt64 = digits == 9 ? 1_000_000_000 : 1_000_000
        if ticks < 0 { file.append(byte: UInt8(ascii: "-")) }
        file.append(integer: Int64(ticks.magnitude / unit))
        var fraction = ticks.magnitude % unit
        guard fraction > 0 else { return }
        file.append(byte: UInt8(ascii: "."))
        var place = unit / 10
        while fraction > 0 {
            file.append(byte: UInt8(ascii: "0") + UInt8(fraction / place))
            fraction %= place
            place /= 10
        }
    }
}
