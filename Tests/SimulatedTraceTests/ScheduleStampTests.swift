import Foundation
import ServingCore
import Simulation
import StepTraces
import Testing

/// Step events as the tracing vLLM would have left them behind a simulated run: stamps of `schedule()`, no durations.
@Suite struct ScheduleStampTests {
    private let prompt = 2000
    private let outputs = 150

    private func scenario(asynchronous: Bool) -> String {
        "model=llama-3.1-8b gpu=h100-sxm random-input-len=\(prompt) random-output-len=\(outputs) request-rate=9 "
            + "num-prompts=150 async-scheduling=\(asynchronous) latency=sample seed=11"
    }

    private func rows(
        of simulated: SimulatedSteps, asynchronous stated: Bool?
    ) throws -> (rows: [StepRow], report: TraceReport) {
        var result: [StepRow] = []
        var report = TraceReport()
        try withTemporaryFolder { folder in
            let path = folder + "/traces.json"
            try Data(stepEvents(simulated).utf8).write(to: URL(filePath: path))
            var options = TraceOptions()
            options.flags.asyncScheduling = stated
            var reader = try StepTraceReader(paths: [path], options: options)
            var row = StepRow()
            while try reader.next(&row) { result.append(row) }
            report = reader.report
        }
        return (result, report)
    }

    @Test(arguments: [true, false])
    func `stamps of schedule give back the step times of a simulated run`(asynchronous: Bool) throws {
        let simulated = try SimulatedSteps(scenario(asynchronous: asynchronous))
        // Told how the engine scheduled, and left to find out.
        for stated in [asynchronous, nil] {
            let rows = try rows(of: simulated, asynchronous: stated).rows
            #expect(Double(rows.count) > 0.9 * Double(simulated.steps.count))
            #expect(rows.contains { $0.state.prefillTokens >= 2000 && $0.state.decodeRequests > 0 })
            for row in rows {
                let truth = simulated.steps[Int(row.stepID) - 1]
                #expect(abs(row.seconds - truth.seconds) <= 2e-9, "step \(row.stepID) of \(truth.state)")
            }
        }
    }

    @Test func `the synchronous rule gives an asynchronous run's prefills the time of other steps`() throws {
        let simulated = try SimulatedSteps(scenario(asynchronous: true))
        let (rows, report) = try rows(of: simulated, asynchronous: false)
        let prefills = rows.filter { $0.state.prefillTokens >= 2000 }
        let errors = prefills.map { abs($0.seconds / simulated.steps[Int($0.stepID) - 1].seconds - 1) }
            .sorted()
        #expect(errors.count > 50 && errors[errors.count / 2] > 0.5)
        #expect(report.warnings.contains { $0.contains("the times say otherwise") })
    }

    /// Events of a run whose requests all have `prompt` and `outputs` tokens.
    private func stepEvents(_ simulated: SimulatedSteps) -> String {
        let steps = simulated.steps
        // A request's first token comes with the end of its prompt, and one more with each step that follows.
        var ends: [Int: Int] = [:]
        var prefilled = 0
        for (index, step) in steps.enumerated() {
            let before = prefilled / prompt
            prefilled += step.state.prefillTokens
            ends[index + outputs - 1] = prefilled / prompt - before
        }
        // schedule() sees the outputs of the step before it, or of the one before that.
        let lag = simulated.prepared.deployment.engine.asyncScheduling ? 2 : 1
        var events: [String] = []
        for (index, step) in steps.enumerated() {
            let stamp = 7_000_000_000 + step.scheduled
            let numbers: [(String, Int)] = [
                ("step.id", index + 1), ("step.ts_start_ns", Int(stamp)),
                ("step.ts_end_ns", Int(stamp) + 300_000),
                ("step.duration_us", 300), ("queue.running_depth", step.state.runningRequests),
                ("queue.waiting_depth", step.state.waitingRequests),
                ("batch.num_prefill_reqs", step.state.prefillRequests),
                ("batch.num_decode_reqs", step.state.decodeRequests),
                ("batch.scheduled_tokens", step.state.batchTokens),
                ("batch.prefill_tokens", step.state.prefillTokens),
                ("batch.decode_tokens", step.state.decodeRequests),
                ("batch.num_finished", ends[index - lag] ?? 0),
                ("batch.num_preempted", 0), ("kv.blocks_total_gpu", step.state.kvBlocksTotal),
                ("kv.blocks_free_gpu", step.state.kvBlocksTotal - step.state.kvBlocksUsed),
            ]
            let attributes = numbers.map { #"{"key":"\#($0)","value":{"intValue":"\#($1)"}}"# }
            events.append(
                #"{"timeUnixNano":"\#(1_000_000_000_000_000_000 + stamp)","name":"step.BATCH_SUMMARY","attributes":["#
                    + attributes.joined(separator: ",") + "]}")
        }
        return
            #"{"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"scope":{"name":"vllm.scheduler.step"},"#
            + #""spans":[{"traceId":"t","spanId":"s","name":"scheduler_steps_1","kind":1,"events":["#
            + events.joined(separator: ",") + #"],"status":{}}]}]}]}"# + "\n"
    }
}
