import ByteStreams
import ServingCore
import StepTraces
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct NativeTraceTests {
    @Test(arguments: ["trace.jsonl.zst", "trace.jsonl"])
    func `rows written and read back are the same bit for bit`(name: String) throws {
        try withTemporaryFolder { folder in
            let rows = syntheticRows(count: 5000, seed: 3)
            var writer = try NativeStepTraceWriter(path: "\(folder)/\(name)", facts: exampleFacts())
            for row in rows {
                writer.append(
                    start: row.start, end: row.start + Ticks(seconds: row.seconds), state: row.state,
                    seconds: row.seconds)
            }
            try writer.finish()
            var reader = try StepTraceReader(paths: ["\(folder)/\(name)"])
            var row = StepRow()
            var count = 0
            while try reader.next(&row) {
                let expected = rows[count]
                if row.state != expected.state || row.seconds.bitPattern != expected.seconds.bitPattern
                    || row.start != expected.start
                {
                    Issue.record("row \(count): \(row) instead of \(expected)")
                }
                count += 1
            }
            let (facts, usable) = (reader.groups.first?.facts, reader.report.usable)
            #expect(count == rows.count && usable == rows.count)
            #expect(facts == exampleFacts())
        }
    }

    @Test func `lines in another order, with spaces and unknown keys, read the same`() throws {
        let header = #"{"format":"stepcast-step-trace","version":1}"#
        let plain =
            #"{"step":7,"start_ns":5,"end_ns":9,"step_s":0.25,"prefill_requests":1,"prefill_tokens":20,"prefill_context_tokens":3,"prefill_attention_pairs":270,"decode_requests":2,"decode_context_tokens":50,"running_requests":3,"waiting_requests":1,"kv_blocks_used":9,"kv_blocks_total":99,"blocks_to_offload":4,"blocks_to_restore":5}"#
        let shuffled =
            #" { "extra" : [1,{"a":null}], "decode_context_tokens" : 50, "decode_requests" : 2, "step" : 7, "prefill_attention_pairs" : 2.7e2, "prefill_context_tokens" : 3, "prefill_tokens" : 20, "prefill_requests" : 1, "step_s" : 2.5e-1, "end_ns" : 9, "start_ns" : 5, "running_requests":3,"waiting_requests":1,"kv_blocks_used":9,"kv_blocks_total":99,"blocks_to_restore":5,"blocks_to_offload":4}"#
        let rows = try nativeRows([header, plain, shuffled])
        #expect(rows.rows.count == 2 && rows.rows[0] == rows.rows[1])
        #expect(rows.rows[0].state.prefillAttentionPairs == 270 && rows.rows[0].seconds == 0.25)
    }

    @Test func `bad lines are dropped and counted, a cut last line is a truncation`() throws {
        let header = #"{"format":"stepcast-step-trace","version":1}"#
        let good =
            #"{"step":1,"step_s":0.25,"prefill_requests":0,"prefill_tokens":0,"decode_requests":2,"decode_context_tokens":50}"#
        let negative = good.replacing("\"decode_requests\":2", with: "\"decode_requests\":-2")
        let huge = good.replacing("\"decode_requests\":2", with: "\"decode_requests\":99999999999999999999")
        let nan = good.replacing("0.25", with: "NaN")
        let result = try nativeRows([header, good, negative, huge, nan, "[]", good, String(good.dropLast(9))])
        #expect(result.rows.count == 2)
        #expect(result.malformed == 4)
        #expect(result.truncated)
    }

    @Test func `another version or a step before the header is refused in one line`() {
        for lines in [
            [#"{"format":"stepcast-step-trace","version":2}"#], [#"{"format":"other","version":1}"#],
            [
                #"{"step":1,"prefill_requests":0,"prefill_tokens":0,"decode_requests":2,"decode_context_tokens":50}"#
            ],
            ["{}"], [],
        ] {
            #expect(throws: InvalidInput.self) { _ = try nativeRows(lines) }
        }
    }
}

func nativeRows(_ lines: [String]) throws -> (rows: [StepRow], malformed: Int, truncated: Bool) {
    let stream = try ByteStream(bytes: Array(lines.joined(separator: "\n").utf8), name: "test")
    var reader = try NativeStepTraceReader(lines: LineReader(stream: stream))
    var rows: [StepRow] = []
    var row = StepRow()
    while try reader.next(&row) { rows.append(row) }
    return (rows, reader.malformedLines, reader.isTruncated)
}
