import Foundation
import ServingCore
import StepTraces

/// What it costs to read step traces, decompression included.
let stepTraceBenchmark = Benchmark(
    name: "step-traces",
    subject: "1,000,000 native rows streamed to Gram blocks; OTLP JSON to rows"
) {
    let folder = FileManager.default.temporaryDirectory.path + "/stepcast-step-traces-\(getpid())"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }

    let native = "\(folder)/steps.jsonl.zst"
    let rows = 1_000_000
    let writing = try leastProcessorSeconds(repeats: 1) { try writeNativeTrace(native, rows: rows) }
    var checksum = 0.0
    let reading = try leastProcessorSeconds {
        var reader = try StepTraceReader(paths: [native])
        var row = StepRow()
        var seen = 0
        while try reader.next(&row) { seen += row.group == 0 ? 1 : 2 }
        precondition(seen >= rows)
    }
    let toGram = try leastProcessorSeconds {
        var reader = try StepTraceReader(paths: [native])
        var row = StepRow()
        var grams: [GramBlock] = []
        while try reader.next(&row) {
            while grams.count <= row.group { grams.append(GramBlock()) }
            grams[row.group].add(row)
        }
        for index in grams.indices { grams[index].flush() }
        checksum += grams.reduce(0) { $0 + $1.sum }
    }
    precondition(checksum > 0)
    let memory = peakMegabytes()

    let otlp = "\(folder)/traces.json"
    let events = 200_000
    try writeOTLP(otlp, events: events)
    let otlpSeconds = try leastProcessorSeconds {
        var reader = try StepTraceReader(paths: [otlp])
        var row = StepRow()
        var seen = 0
        while try reader.next(&row) { seen += 1 }
        precondition(seen == events - 1)
    }
    return [
        Measurement(subject: "native rows to Gram blocks", value: toGram, unit: "CPU s", target: 0.9),
        Measurement(subject: "reading alone", value: reading, unit: "CPU s"),
        Measurement(subject: "writing, compressed", value: writing, unit: "CPU s"),
        Measurement(subject: "peak memory until then", value: memory, unit: "MB", target: 100),
        Measurement(
            subject: "OTLP JSON", value: Double(events) / otlpSeconds, unit: "events per CPU s",
            target: 300_000,
            higherIsBetter: true),
    ]
}

/// Sums of products of 21 columns, the constant and the target, gathered row by row in blocks.
private struct GramBlock {
    private static let width = 23
    private static let rows = 64
    private var block = [Double](repeating: 0, count: width * rows)
    private var used = 0
    private var gram = [Double](repeating: 0, count: width * width)

    var sum: Double { gram.reduce(0, +) }

    mutating func add(_ row: StepRow) {
        let state = row.state
        let (p, d) = (Double(state.prefillTokens), Double(state.decodeRequests))
        let context = Double(state.decodeContextTokens)
        let kv = state.kvUsageRatio
        let tokens = p + d
        block.withUnsafeMutableBufferPointer { block in
            let at = used &* Self.width
            block[at] = 1
            block[at + 1] = p
            block[at + 2] = d
            block[at + 3] = context
            block[at + 4] = state.prefillAttentionPairs
            block[at + 5] = Double(state.prefillContextTokens)
            block[at + 6] = Double(state.prefillRequests)
            block[at + 7] = Double(state.runningRequests)
            block[at + 8] = Double(state.waitingRequests)
            block[at + 9] = Double(state.kvBlocksUsed)
            block[at + 10] = kv
            block[at + 11] = Double(state.blocksToOffload)
            block[at + 12] = Double(state.blocksToRestore)
            block[at + 13] = tokens
            block[at + 14] = max(0, tokens - 128)
            block[at + 15] = max(0, tokens - 512)
            block[at + 16] = p * p
            block[at + 17] = d * d
            block[at + 18] = p * d
            block[at + 19] = p * kv
            block[at + 20] = d * kv
            block[at + 21] = tokens.squareRoot()
            block[at + 22] = row.seconds
        }
        used &+= 1
        if used == Self.rows { flush() }
    }

    mutating func flush() {
        let used = used
        block.withUnsafeBufferPointer { block in
            gram.withUnsafeMutableBufferPointer { gram in
                for row in 0..<used {
                    let at = row &* Self.width
                    for i in 0..<Self.width {
                        let value = block[at &+ i]
                        for j in 0..<Self.width { gram[i &* Self.width &+ j] += value * block[at &+ j] }
                    }
                }
            }
        }
        self.used = 0
    }
}

private func writeNativeTrace(_ path: String, rows: Int) throws {
    var facts = DeploymentFacts()
    facts.modelName = "benchmark"
    var writer = try NativeStepTraceWriter(path: path, facts: facts)
    var random = RandomStream(seed: 1, purpose: "benchmark")
    var clock: Ticks = 1_000_000_000_000
    for index in 0..<rows {
        if index == rows / 2 {
            facts.tensorParallelSize = 2
            try writer.beginGroup(facts: facts)
        }
        var state = StepState()
        if random.next() % 4 == 0 {
            state.addPrefill(
                newTokens: 1 + Int(random.next() % 2048), computedTokens: Int(random.next() % 4096))
        }
        state.decodeRequests = 1 + Int(random.next() % 256)
        state.decodeContextTokens = state.decodeRequests * (300 + Int(random.next() % 2000))
        state.runningRequests = state.decodeRequests + state.prefillRequests
        state.waitingRequests = Int(random.next() % 40)
        state.kvBlocksTotal = 27_510
        state.kvBlocksUsed = Int(random.next() % 27_510)
        let seconds = 0.006 + random.uniform() * 0.05
        let end = clock + Ticks(seconds: seconds)
        writer.append(start: clock, end: end, state: state, seconds: seconds)
        clock = end
    }
    try writer.finish()
}

private func writeOTLP(_ path: String, events: Int) throws {
    var random = RandomStream(seed: 2, purpose: "benchmark")
    var text = ""
    text.reserveCapacity(events * 1400)
    var clock: Int64 = 5_000_000_000_000
    for step in 1...events {
        if step % 100 == 1 {
            text +=
                #"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"vllm"}}]},"scopeSpans":[{"scope":{"name":"vllm.scheduler.step"},"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"scheduler_steps_1","kind":1,"events":["#
        } else {
            text += ","
        }
        let duration = 4_000_000 + Int64(random.next() % 20_000_000)
        let decodes = 1 + Int64(random.next() % 100)
        text +=
            #"{"timeUnixNano":"\#(clock + 1_000_000_000_000_000_000)","name":"step.BATCH_SUMMARY","attributes":["#
        let attributes: [(String, Int64)] = [
            ("step.id", Int64(step)), ("step.ts_start_ns", clock), ("step.ts_end_ns", clock),
            ("step.duration_us", 400), ("queue.running_depth", decodes), ("queue.waiting_depth", 3),
            ("batch.num_prefill_reqs", 0), ("batch.num_decode_reqs", decodes),
            ("batch.scheduled_tokens", decodes),
            ("batch.prefill_tokens", 0), ("batch.decode_tokens", decodes), ("batch.num_finished", 0),
            ("batch.num_preempted", 0), ("kv.blocks_total_gpu", 8191), ("kv.blocks_free_gpu", 8191 - decodes),
        ]
        for (key, value) in attributes { text += #"{"key":"\#(key)","value":{"intValue":"\#(value)"}},"# }
        text += #"{"key":"kv.usage_gpu_ratio","value":{"doubleValue":\#(random.uniform())}}]}"#
        clock += duration
        if step % 100 == 0 || step == events { text += "]}]}]}]}\n" }
    }
    try text.write(toFile: path, atomically: true, encoding: .utf8)
}

/// Largest resident memory of this process so far.
private func peakMegabytes() -> Double {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    for line in status.split(separator: "\n") where line.hasPrefix("VmHWM:") {
        return Double(line.filter(\.isNumber)).map { $0 / 1024 } ?? 0
    }
    return 0
}
