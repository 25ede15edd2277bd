import ServingCore
import StepTraces

/// A little engine that records what the tracing vLLM would: steps, snapshots and journeys, with the true state and
/// time of every step.
struct SyntheticEngine {
    struct Request {
        var id: Int
        var arrivalStep: Int
        var prompt: Int
        var cached: Int
        var outputs: Int
        var computed = 0
        var generated = 0
        var firstStep = -1
        var firstTokenStep = -1
        var lastStep = -1
        var isRunning = false
        var isDone = false
    }

    var steps: [SyntheticStep] = []
    var requests: [Request] = []

    struct SyntheticStep {
        var id: Int64
        var state = StepState()
        var tokens = 0
        var prefillRequests = 0
        var prefillTokens = 0
        var finishedBefore = 0
        var seconds = 0.0
        /// (request, prompt, computed, outputs, scheduled) of every running request.
        var snapshots: [(Int, Int, Int, Int, Int)] = []
    }

    /// Runs `count` steps with a budget of `budget` tokens; every tenth step or so a prompt of 2,000 tokens arrives.
    init(count: Int, budget: Int, seed: UInt64, cachedShare: Double = 0.3) {
        var random = RandomStream(seed: seed, purpose: "engine")
        var arrivals: [Int] = []
        for step in 0..<count where step == 0 || random.uniform() < 0.15 { arrivals.append(step) }
        for (id, step) in arrivals.enumerated() {
            let prompt = id % 2 == 0 ? 2000 : 50 + Int(random.next() % 400)
            let cached = random.uniform() < cachedShare ? Int(random.next() % UInt64(prompt / 16)) * 16 : 0
            requests.append(
                Request(
                    id: id, arrivalStep: step, prompt: prompt, cached: min(cached, prompt - 1),
                    outputs: 30 + Int(random.next() % 80)))
        }
        var finished = 0
        for index in 0..<count {
            var step = SyntheticStep(id: Int64(index + 1))
            step.finishedBefore = finished
            finished = 0
            var left = budget
            for place in requests.indices
            where requests[place].arrivalStep <= index && !requests[place].isDone {
                let isNew = !requests[place].isRunning
                if isNew && left < 1 { continue }
                if isNew {
                    requests[place].isRunning = true
                    requests[place].computed = requests[place].cached
                    requests[place].firstStep = index + 1
                }
                let request = requests[place]
                let isDecode = request.computed >= request.prompt
                let tokens = isDecode ? 1 : min(left, request.prompt - request.computed)
                step.snapshots.append((place, request.prompt, request.computed, request.generated, tokens))
                if tokens == 0 { continue }
                left -= tokens
                step.tokens += tokens
                if isDecode {
                    step.state.addDecode(contextTokens: request.computed + 1)
                } else {
                    step.state.addPrefill(newTokens: tokens, computedTokens: request.computed)
                    step.prefillRequests += 1
                    step.prefillTokens += tokens
                }
                requests[place].computed += tokens
                if requests[place].computed >= requests[place].prompt {
                    requests[place].generated += 1
                    if requests[place].generated == 1 { requests[place].firstTokenStep = index + 1 }
                    if requests[place].generated == requests[place].outputs {
                        requests[place].lastStep = index + 1
                        requests[place].isDone = true
                        finished += 1
                    }
                }
            }
            step.state.runningRequests = step.snapshots.count
            step.state.kvBlocksTotal = 100_000
            step.state.kvBlocksUsed = step.snapshots.reduce(0) { $0 + ($1.2 + $1.4 + 15) / 16 }
            step.seconds =
                0.004 + Double(step.tokens) * 4e-5 + Double(step.state.decodeContextTokens) * 2e-8
                + random.uniform()
                * 1e-4
            steps.append(step)
        }
    }

    /// Starts of `schedule()`: of step k when it begins to execute (synchronous) or when step k - 1 does.
    func stamps(asynchronous: Bool) -> [Int64] {
        var clock: Int64 = 5_000_000_000_000
        var starts: [Int64] = []
        for step in steps {
            starts.append(clock)
            clock += Ticks(seconds: step.seconds)
        }
        return asynchronous ? [starts[0] - 50_000] + starts.dropLast() : starts
    }

    /// One line of OTLP JSON with all step events, and one with all journeys.
    func lines(asynchronous: Bool, snapshots: Bool, journeys: Bool) -> [String] {
        let stamps = stamps(asynchronous: asynchronous)
        var events: [String] = []
        for (index, step) in steps.enumerated() {
            events.append(batchSummary(step, stamps[index]))
            if snapshots {
                for (request, prompt, computed, outputs, scheduled) in step.snapshots {
                    events.append(
                        OTLP.event(
                            "step.REQUEST_SNAPSHOT", time: stamps[index] + 1_000_000_000_000_000_000,
                            [
                                ("step.id", .whole(step.id)), ("request.id", .text("cmpl-\(request)-0-ab")),
                                ("request.phase", .text(outputs == 0 ? "PREFILL" : "DECODE")),
                                ("request.num_prompt_tokens", .whole(Int64(prompt))),
                                ("request.num_computed_tokens", .whole(Int64(computed))),
                                ("request.num_output_tokens", .whole(Int64(outputs))),
                                ("request.num_preemptions", .whole(0)),
                                ("request.scheduled_tokens_this_step", .whole(Int64(scheduled))),
                                ("kv.blocks_allocated_gpu", .whole(1)), ("kv.blocks_cached_gpu", .whole(0)),
                            ]))
                }
            }
        }
        var lines = [OTLP.line(scope: "vllm.scheduler.step", span: "scheduler_steps_1", events: events)]
        if journeys {
            lines += requests.filter { $0.firstStep > 0 }.map { journey($0, stamps, asynchronous) }
        }
        return lines
    }

    private func batchSummary(_ step: SyntheticStep, _ stamp: Int64) -> String {
        OTLP.event(
            "step.BATCH_SUMMARY", time: stamp + 1_000_000_000_000_400_000,
            [
                ("step.id", .whole(step.id)), ("step.ts_start_ns", .whole(stamp)),
                ("step.ts_end_ns", .whole(stamp + 400_000)), ("step.duration_us", .whole(400)),
                ("queue.running_depth", .whole(Int64(step.state.runningRequests))),
                ("queue.waiting_depth", .whole(0)),
                ("batch.num_prefill_reqs", .whole(Int64(step.prefillRequests))),
                ("batch.num_decode_reqs", .whole(Int64(step.state.decodeRequests))),
                ("batch.scheduled_tokens", .whole(Int64(step.tokens))),
                ("batch.prefill_tokens", .whole(Int64(step.prefillTokens))),
                ("batch.decode_tokens", .whole(Int64(step.state.decodeRequests))),
                ("batch.num_finished", .whole(Int64(step.finishedBefore))),
                ("batch.num_preempted", .whole(0)),
                ("kv.usage_gpu_ratio", .real(Double(step.state.kvBlocksUsed) / 100_000)),
                ("kv.blocks_total_gpu", .whole(100_000)),
                ("kv.blocks_free_gpu", .whole(Int64(100_000 - step.state.kvBlocksUsed))),
            ])
    }

    private func journey(_ request: Request, _ stamps: [Int64], _ asynchronous: Bool) -> String {
        let lag = asynchronous ? 1 : 0
        func at(_ step: Int) -> Int64 { stamps[min(max(step, 1), stamps.count) - 1] }
        func event(_ kind: String, _ time: Int64, _ step: Int, _ done: Int, _ decoded: Int) -> String {
            OTLP.event(
                "journey.\(kind)", time: time + 1_000_000_000_000_000_000,
                [
                    ("event.type", .text(kind)), ("ts.monotonic", .real(Double(time) / 1e9)),
                    ("ts.monotonic_ns", .whole(time)), ("scheduler.step", .whole(Int64(step))),
                    ("prefill.done_tokens", .whole(Int64(done))),
                    ("prefill.total_tokens", .whole(Int64(request.prompt))),
                    ("decode.done_tokens", .whole(Int64(decoded))), ("num_preemptions", .whole(0)),
                ])
        }
        var events = [
            event("QUEUED", at(request.firstStep) - 2000, request.firstStep - 1, 0, 0),
            event("SCHEDULED", at(request.firstStep) + 100, request.firstStep, request.cached, 0),
        ]
        if request.firstTokenStep > 0 {
            events.append(
                event(
                    "FIRST_TOKEN", at(request.firstTokenStep + 1 + lag) + 200, request.firstTokenStep + lag,
                    request.prompt, 1))
        }
        if request.lastStep > 0 {
            events.append(
                event(
                    "FINISHED", at(request.lastStep + 1 + lag) + 300, request.lastStep + lag, request.prompt,
                    request.outputs))
        }
        return OTLP.line(
            scope: "vllm.scheduler", span: "llm_core", events: events,
            ids: ("trace\(request.id)", "core\(request.id)", "api\(request.id)"))
    }
}

/// OTLP JSON as exporters write it.
enum OTLP {
    enum Value {
        case whole(Int64)
        case real(Double)
        case text(String)
    }

    static func event(_ name: String, time: Int64, _ attributes: [(String, Value)]) -> String {
        let list = attributes.map { key, value in
            switch value {
            case .whole(let value): #"{"key":"\#(key)","value":{"intValue":"\#(value)"}}"#
            case .real(let value): #"{"key":"\#(key)","value":{"doubleValue":\#(value)}}"#
            case .text(let value): #"{"key":"\#(key)","value":{"stringValue":"\#(value)"}}"#
            }
        }
        return
            #"{"timeUnixNano":"\#(time)","name":"\#(name)","attributes":[\#(list.joined(separator: ","))]}"#
    }

    static func line(
        scope: String, span: String, events: [String], ids: (String, String, String) = ("t", "s", ""),
        attributes: String = ""
    ) -> String {
        let resource = #"{"attributes":[{"key":"service.name","value":{"stringValue":"vllm"}}]}"#
        let parent = ids.2.isEmpty ? "" : #","parentSpanId":"\#(ids.2)""#
        return
            #"{"resourceSpans":[{"resource":\#(resource),"scopeSpans":[{"scope":{"name":"\#(scope)"},"spans":[{"traceId":"\#(ids.0)","spanId":"\#(ids.1)"\#(parent),"flags":256,"name":"\#(span)","kind":1,"attributes":[\#(attributes)],"events":[\#(events.joined(separator: ","))],"status":{}}]}]}]}"#
    }
}
