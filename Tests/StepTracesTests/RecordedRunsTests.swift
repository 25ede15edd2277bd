import ByteStreams
import ServingCore
import Testing

@testable import StepTraces

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite(.enabled(if: hasShared, "needs ../shared")) struct RecordedRunsTests {
    static let runs: [String] =
        (try? FileManager.default.contentsOfDirectory(atPath: shared + "/traces/runs").sorted()) ?? []

    @Test(arguments: runs)
    func `every event equals its row of the flat CSV, and rebuilt contexts equal the recorded ones`(
        run: String
    ) throws {
        let folder = "\(shared)/traces/runs/\(run)"
        let table = try Table("\(folder)/steps.csv.zst")
        var events = OTLPEvents()
        var report = TraceReport()
        try events.read(
            TraceFile(path: "\(folder)/steps.otlp.jsonl.zst", kind: .otlpJSON), number: 0, report: &report)
        let order = StepOrder(events.steps)
        #expect(order.events.count == table.rows.count && order.duplicates == 0 && order.conflicts == 0)
        #expect(events.malformed == 0 && events.incomplete == 0 && report.warnings.isEmpty)
        for (event, row) in zip(order.events, table.rows) {
            for (column, value) in event.columns where table[row, column] != Double(value) {
                Issue.record("step \(event.id): \(column) is \(value), not \(table[row, column])")
            }
            if abs(event.kvUsage - table[row, "kv_usage_ratio"]) > 1e-6 {
                Issue.record("step \(event.id): KV usage \(event.kvUsage)")
            }
        }
        try compareContexts(folder, table)
    }

    /// Journeys alone, and what the trace states.
    private func compareContexts(_ folder: String, _ table: Table) throws {
        for useRecorded in [true, false] {
            var options = TraceOptions()
            options.includeExcluded = true
            options.useRecordedContext = useRecorded
            var reader = try StepTraceReader(paths: [folder], options: options)
            var row = StepRow()
            var place = 0
            var rebuilt = 0
            while try reader.next(&row) {
                let flat = table.rows[place]
                place += 1
                if row.contextSource == .kvUsage || row.exclusion == .emptyStep { continue }
                rebuilt += row.contextSource == .recorded ? 0 : 1
                let pairs =
                    table[flat, "sum_prefill_new_x_ctx"]
                    + (table[flat, "sum_prefill_new_sq"] + Double(row.state.prefillTokens)) / 2
                let used = table[flat, "kv_blocks_total"] - table[flat, "kv_blocks_free"]
                let expected: [(String, Double, Double)] = [
                    ("prefill requests", Double(row.state.prefillRequests), table[flat, "num_chunk_reqs"]),
                    ("decode requests", Double(row.state.decodeRequests), table[flat, "num_decode1_reqs"]),
                    ("tokens", Double(row.state.batchTokens), table[flat, "scheduled_tokens"]),
                    ("decode context", Double(row.state.decodeContextTokens), table[flat, "sum_decode_ctx"]),
                    ("running", Double(row.state.runningRequests), table[flat, "running_depth"]),
                    ("waiting", Double(row.state.waitingRequests), table[flat, "waiting_depth"]),
                    ("KV blocks", Double(row.state.kvBlocksUsed), used),
                ]
                for (name, found, wanted) in expected where found != wanted {
                    Issue.record("step \(row.stepID), \(row.contextSource): \(name) \(found), not \(wanted)")
                }
                // Where several resumed requests recompute in one step their shares are an even guess.
                if table[flat, "num_recompute_reqs"] <= 1 || useRecorded,
                    abs(row.state.prefillAttentionPairs - pairs) > 0.5
                {
                    Issue.record("step \(row.stepID): pairs \(row.state.prefillAttentionPairs), not \(pairs)")
                }
                if row.isUsable, abs(row.seconds * 1e6 - table[flat, "cycle_us"]) > 1.001 {
                    Issue.record("step \(row.stepID): \(row.seconds) s, cycle \(table[flat, "cycle_us"]) us")
                }
            }
            let usable = reader.report.usable
            #expect(place == table.rows.count)
            #expect(Double(usable) > 0.95 * Double(place))
            if !useRecorded { #expect(Double(rebuilt) > 0.95 * Double(place)) }
        }
    }

    @Test func `all container forms give identical rows`() throws {
        var reference: [StepRow] = []
        for name in [
            "traces.json", "traces.stream.json.zst", "traces.framed.json.zst",
            "traces.concat-skippable.json.zst",
            "traces.nosize.json.zst",
        ] {
            var options = TraceOptions()
            options.includeExcluded = true
            var reader = try StepTraceReader(paths: ["\(shared)/traces/forms/\(name)"], options: options)
            var rows: [StepRow] = []
            var row = StepRow()
            while try reader.next(&row) {
                if !row.seconds.isFinite { row.seconds = -1 }
                rows.append(row)
            }
            if reference.isEmpty { reference = rows }
            #expect(rows == reference, "\(name)")
            #expect(rows.count == 600 && rows.first?.stepID == 1 && rows.last?.stepID == 600)
            #expect(rows.reduce(0) { $0 + $1.state.batchTokens } == 11125)
            var journeys = try AlphaTraceReader(paths: ["\(shared)/traces/forms/\(name)"])
            var alpha = AlphaRow()
            var departed = 0
            while try journeys.next(&alpha) { departed += alpha.finishedToDeparted.isFinite ? 1 : 0 }
            #expect(departed == 29)
        }
    }

    @Test(arguments: [
        ("01b_truncated_concat.json.zst", 400), ("01c_truncated_framed.json.zst", 500),
        ("02b_bitflip_inside_json.json", 599), ("04_nan_negative.json.zst", 540),
        ("04b_bare_nan_token.json", 500),
        ("05_missing_attribute.json.zst", 600), ("06_dup_outoforder.json.zst", 600),
    ])
    func `a damaged file keeps its good steps and says what is wrong`(name: String, steps: Int) throws {
        let inspection = try TraceInspection(paths: ["\(shared)/traces/badfiles/\(name)"])
        let report = inspection.report
        #expect(report.steps == steps)
        switch name.prefix(3) {
        case "01b", "01c": #expect(report.truncatedFiles == 1)
        case "02b": #expect(report.malformedEvents == 1)
        case "04_": #expect(report.malformedEvents == 60)
        case "04b": #expect(report.malformedLines == 1)
        case "05_":
            #expect(
                report.excluded[Int(StepExclusion.incomplete.rawValue)] == 20 && report.stepsWithoutKV == 10)
        default: #expect(report.duplicateEvents == 15 && report.conflictingEvents == 15)
        }
        #expect(!report.warnings.isEmpty)
    }

    @Test(arguments: [
        ("02_bitflip.json.zst", "damaged"), ("03_wrong_magic.json.zst", "unknown format"),
        ("07_framed_huge_length.json.zst", "claims 2147483647 bytes"), ("08_empty.json.zst", "is empty"),
    ])
    func `a file of which nothing can be trusted is refused in one clear line`(
        name: String, words: String
    ) throws {
        var message = ""
        do { _ = try TraceInspection(paths: ["\(shared)/traces/badfiles/\(name)"]) } catch {
            message = "\(error)"
        }
        #expect(message.contains(words) && message.contains(name) && !message.contains("\n"))
    }

    @Test func `a cut stream is never presented as complete`() throws {
        let inspection = try TraceInspection(paths: ["\(shared)/traces/badfiles/01_truncated_stream.json.zst"]
        )
        #expect(inspection.report.truncatedFiles == 1)
        #expect(inspection.report.steps > 0 && inspection.report.steps < 600)
    }

    @Test func `a log whose times leave execution out is recognised, refused and explained`() throws {
        let out = try TraceInspection(paths: ["\(shared)/traces/runs/s1-mbt256-itlog/vllm.log.zst"])
        #expect(out.report.usable == 0)
        #expect(out.report.excluded[Int(StepExclusion.warmUp.rawValue)] == 19)
        #expect(out.report.warnings.contains { $0.contains("leave the execution out") })
        let whole = try TraceInspection(paths: ["\(shared)/traces/runs/s1-mbt256-itlog-mp/vllm.log.zst"])
        #expect(Double(whole.report.usable) > 0.99 * Double(whole.report.steps - 19))
        #expect(whole.report.notes.contains { $0.contains("contain the execution") })
    }

    @Test func `tables of step times are read, rows whose time belongs elsewhere left out`() throws {
        let folder = "\(shared)/data/step-times"
        let sums = try TraceInspection(paths: ["\(folder)/kernel_sums.csv.zst"])
        #expect(sums.report.steps == 8490 && sums.report.usable == 7590)
        let cycles = try TraceInspection(paths: ["\(folder)/measured_h100_vllm0151.csv.zst"])
        #expect(cycles.report.steps == 1363 && cycles.report.usable == 942)
        let prompts = try TraceInspection(paths: ["\(folder)/measured_a100_h100_prompt_token_times.csv.zst"])
        #expect(prompts.report.steps == 2 * 1260 && prompts.groups.count == 12)
        let clients = try TraceInspection(paths: ["\(folder)/measured_h100_qwen3_14b_vllm0230.csv.zst"])
        #expect(clients.report.usable == 4526)
    }
}

/// A CSV of numbers by column name; empty fields are not a number.
struct Table {
    var header: [String: Int] = [:]
    var rows: [[Double]] = []

    init(_ path: String) throws {
        var reader = try CSVReader(path: path)
        for (index, name) in reader.header.enumerated() { header[name] = index }
        while try reader.next() {
            var row: [Double] = []
            for column in 0..<header.count {
                row.append(reader.isEmpty(column) ? .nan : try reader.double(column))
            }
            rows.append(row)
        }
    }

    subscript(row: [Double], column: String) -> Double { header[column].map { row[$0] } ?? .nan }
}

extension StepEvent {
    /// Fields by their names in the flat files.
    var columns: [(String, Int64)] {
        [
            ("step_id", id), ("ts_start_ns", start), ("ts_end_ns", end),
            ("duration_us", durationMicroseconds),
            ("running_depth", Int64(running)), ("waiting_depth", Int64(waiting)),
            ("num_prefill_reqs", Int64(prefillRequests)), ("num_decode_reqs", Int64(decodeRequests)),
            ("prefill_tokens", Int64(prefillTokens)), ("decode_tokens", Int64(decodeTokens)),
            ("scheduled_tokens", Int64(scheduledTokens)), ("num_finished", Int64(finished)),
            ("num_preempted", Int64(preempted)), ("kv_blocks_total", Int64(kvBlocksTotal)),
            ("kv_blocks_free", Int64(kvBlocksFree)), ("num_chunk_reqs", Int64(chunkRequests)),
            ("num_decode1_reqs", Int64(singleDecodeRequests)), ("recompute_tokens", Int64(recomputeTokens)),
            ("sum_decode_ctx", decodeContextSum), ("sum_prefill_new_x_ctx", prefillNewTimesContext),
            ("sum_prefill_new_sq", prefillNewSquared),
        ]
    }
}
