import ServingCore
import Testing

@testable import StepTraces

@Suite struct StepCycleTests {
    private func rows(
        _ lines: [String], _ change: (inout TraceOptions) -> Void = { _ in }
    ) throws -> (rows: [StepRow], report: TraceReport) {
        var options = TraceOptions()
        options.includeExcluded = true
        change(&options)
        var result: [StepRow] = []
        var report = TraceReport()
        try withTemporaryFolder { folder in
            try write(lines.joined(separator: "\n") + "\n", to: "\(folder)/traces.json")
            var reader = try StepTraceReader(paths: ["\(folder)/traces.json"], options: options)
            var row = StepRow()
            while try reader.next(&row) { result.append(row) }
            report = reader.report
        }
        return (result, report)
    }

    @Test(arguments: [true, false])
    func `schedule stamps give back the true step times`(asynchronous: Bool) throws {
        let engine = SyntheticEngine(count: 600, budget: 2048, seed: 5)
        let lines = engine.lines(asynchronous: asynchronous, snapshots: false, journeys: false)
        for stated in [asynchronous, nil] {
            let result = try rows(lines) { $0.flags.asyncScheduling = stated }
            let usable = result.rows.filter(\.isUsable)
            #expect(usable.count >= engine.steps.count - 3)
            for row in usable {
                let truth = engine.steps[Int(row.stepID) - 1].seconds
                if abs(row.seconds - truth) > 2e-9 {
                    Issue.record("step \(row.stepID): \(row.seconds), not \(truth)")
                }
                #expect(row.targetSource == (asynchronous ? .asynchronousCycle : .synchronousCycle))
            }
        }
    }

    @Test func `the synchronous rule applied to an asynchronous trace is visibly wrong`() throws {
        let engine = SyntheticEngine(count: 600, budget: 2048, seed: 6)
        let lines = engine.lines(asynchronous: true, snapshots: false, journeys: false)
        let result = try rows(lines) { $0.flags.asyncScheduling = false }
        let prefills = result.rows.filter { $0.isUsable && $0.state.prefillTokens >= 1500 }
        let errors = prefills.map { abs($0.seconds / engine.steps[Int($0.stepID) - 1].seconds - 1) }.sorted()
        #expect(errors.count > 10 && errors[errors.count / 2] > 0.3)
        #expect(result.report.warnings.contains { $0.contains("the times say otherwise") })
    }

    @Test func `durations of schedule alone are not used and the report says so`() throws {
        let engine = SyntheticEngine(count: 300, budget: 512, seed: 7)
        let result = try rows(engine.lines(asynchronous: false, snapshots: false, journeys: false))
        #expect(result.rows.filter(\.isUsable).allSatisfy { $0.seconds > 0.003 })
        #expect(result.report.warnings.contains { $0.contains("the time of schedule() alone") })
    }

    @Test(arguments: [true, false])
    func `context lengths from snapshots and from journeys equal the truth, prefix hits included`(
        asynchronous: Bool
    ) throws {
        let engine = SyntheticEngine(count: 500, budget: 1024, seed: 8)
        for snapshots in [true, false] {
            let lines = engine.lines(asynchronous: asynchronous, snapshots: snapshots, journeys: !snapshots)
            let result = try rows(lines) { $0.flags.asyncScheduling = asynchronous }
            var matched = 0
            for row in result.rows where row.exclusion != .emptyStep {
                guard row.contextSource == (snapshots ? .snapshots : .journeys) else { continue }
                var truth = engine.steps[Int(row.stepID) - 1].state
                truth.runningRequests = row.state.runningRequests
                if row.state != truth { Issue.record("step \(row.stepID): \(row.state), not \(truth)") }
                matched += 1
            }
            #expect(matched > 480)
        }
    }

    @Test func `contexts estimated from the cache come close`() throws {
        let engine = SyntheticEngine(count: 400, budget: 1024, seed: 9, cachedShare: 0)
        let result = try rows(engine.lines(asynchronous: false, snapshots: false, journeys: false))
        let errors = result.rows.filter { $0.state.decodeRequests > 5 && $0.state.prefillRequests == 0 }.map {
            row in
            let truth = engine.steps[Int(row.stepID) - 1].state
            return abs(Double(row.state.decodeContextTokens) / Double(truth.decodeContextTokens) - 1)
        }
        #expect(errors.count > 50 && errors.allSatisfy { $0 < 0.1 })
        #expect(result.rows.allSatisfy { $0.contextSource == .kvUsage })
    }

    @Test func `sampled, idle, restarted and clock-changed intervals are left out and counted`() throws {
        func step(
            _ id: Int64, _ start: Int64, running: Int64 = 1, finished: Int64 = 0, tokens: Int64 = 1,
            unix: Int64 = 0
        ) -> String {
            OTLP.event(
                "step.BATCH_SUMMARY", time: start + 1_000_000_000_000_000_000 + unix,
                [
                    ("step.id", .whole(id)), ("step.ts_start_ns", .whole(start)),
                    ("step.ts_end_ns", .whole(start)),
                    ("step.duration_us", .whole(9)), ("queue.running_depth", .whole(running)),
                    ("queue.waiting_depth", .whole(0)), ("batch.num_prefill_reqs", .whole(0)),
                    ("batch.num_decode_reqs", .whole(tokens)), ("batch.scheduled_tokens", .whole(tokens)),
                    ("batch.prefill_tokens", .whole(0)), ("batch.decode_tokens", .whole(tokens)),
                    ("batch.num_finished", .whole(finished)),
                ])
        }
        let s: Int64 = 1_000_000_000
        let events = [
            // Usable, then a gap by sampling.
            step(1, 1 * s), step(2, 2 * s),
            // Idle between 4 and 5, whose only request finished.
            step(4, 4 * s), step(5, 5 * s, finished: 1),
            // The clocks moved apart between 5 and 6.
            step(6, 60 * s, unix: 5 * s), step(7, 61 * s, unix: 5 * s),
            // An empty step that flushes at once, so that 7 has its time.
            step(8, 62 * s, running: 0, finished: 1, tokens: 0, unix: 5 * s),
            // The engine was started again.
            step(1, 90 * s), step(2, 91 * s),
        ]
        let line = OTLP.line(
            scope: "vllm.scheduler.step", span: "scheduler_steps_1", events: events.reversed())
        let result = try rows([line]) { $0.flags.asyncScheduling = false }
        #expect(
            result.rows.map(\.exclusion) == [
                nil, .neighbourMissing, .idle, .clockChange, nil, nil, .emptyStep, nil, .neighbourMissing,
            ])
        #expect(result.report.runs == 2 && result.report.usable == 4)
        #expect(result.report.excluded[Int(StepExclusion.neighbourMissing.rawValue)] == 2)
    }
}
