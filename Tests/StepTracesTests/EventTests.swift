import ByteStreams
import ServingCore
import Testing

@testable import StepTraces

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct EventTests {
    private func events(_ line: String) throws -> OTLPEvents {
        var events = OTLPEvents()
        var parser = OTLPJSONParser(file: 0)
        let bytes = Array(line.utf8)
        try parser.parse(bytes.span.bytes, into: &events)
        return events
    }

    private let attributes: [(String, OTLP.Value)] = [
        ("step.id", .whole(3)), ("step.ts_start_ns", .whole(1000)), ("step.ts_end_ns", .whole(2000)),
        ("step.duration_us", .whole(1)), ("queue.running_depth", .whole(2)),
        ("queue.waiting_depth", .whole(0)),
        ("batch.num_prefill_reqs", .whole(0)), ("batch.num_decode_reqs", .whole(2)),
        ("batch.scheduled_tokens", .whole(2)), ("batch.prefill_tokens", .whole(0)),
        ("batch.decode_tokens", .whole(2)), ("batch.num_finished", .whole(0)),
        ("batch.num_preempted", .whole(0)),
        ("kv.usage_gpu_ratio", .real(0.25)), ("kv.blocks_total_gpu", .whole(100)),
        ("kv.blocks_free_gpu", .whole(75)),
        ("x.unknown", .whole(5)),
    ]

    private func line(_ events: [String]) -> String {
        OTLP.line(scope: "vllm.scheduler.step", span: "scheduler_steps_1", events: events)
    }

    @Test func `an event is dropped and counted whichever of its fields is malformed`() throws {
        let good = OTLP.event("step.BATCH_SUMMARY", time: 5000, attributes)
        for (key, value) in attributes {
            let whole: String
            switch value {
            case .real: whole = #""\#(key)","value":{"doubleValue":0.25}"#
            case .whole(let number): whole = #""\#(key)","value":{"intValue":"\#(number)"}"#
            case .text: continue
            }
            for bad in [
                #"{"intValue":"7x"}"#, #"{"intValue":"9223372036854775808"}"#, #"{"doubleValue":"NaN"}"#,
                #"{"doubleValue":"Infinity"}"#, #"{"doubleValue":1e999}"#, #"{"intValue":"-"}"#,
                #"{"doubleValue":1.5e300}"#,
            ] {
                if key == "x.unknown", bad.contains("1.5e300") { continue }
                let damaged = good.replacing(whole, with: #""\#(key)","value":\#(bad)"#)
                #expect(damaged != good)
                // Damaged behind good ones, so that the fast path meets it, and first.
                for list in [[good, good, damaged, good], [damaged, good, good, good]] {
                    let found = try events(line(list))
                    #expect(found.steps.count == 3 && found.malformed == 1, "\(key) \(bad)")
                }
            }
        }
        let badTime = good.replacing("\"5000\"", with: "\"50x0\"")
        #expect(try events(line([good, badTime])).malformed == 1)
    }

    @Test func `any order of keys, spaces, escapes and other value forms read the same`() throws {
        let usual = try events(line([OTLP.event("step.BATCH_SUMMARY", time: 5000, attributes)]))
        let list = attributes.reversed().map { key, value in
            switch value {
            case .whole(let number): #" { "value" : { "intValue" : \#(number) } , "key" : "\#(key)" } "#
            case .real(let number): #"{"extra":[],"key":"\#(key)","value":{"doubleValue":\#(number)}}"#
            case .text(let text): #"{"key":"\#(key)","value":{"stringValue":"\#(text)"}}"#
            }
        }
        let other =
            #"{"attributes":[\#(list.joined(separator: " ,"))], "name":"step.\#("\\u0042")ATCH_SUMMARY","droppedAttributesCount":1,"timeUnixNano":5000}"#
        let plain = other.replacing("\\u0042", with: "B")
        #expect(try events(line([plain])).steps == usual.steps)
        let moved =
            #"{"resourceSpans":[{"schemaUrl":"","scopeSpans":[{"spans":[{"events":[\#(plain)],"traceId":"t","spanId":"s"}],"scope":{}}],"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"vllm"}}]}}]}"#
        #expect(try events(moved).steps == usual.steps)
        #expect(try events(moved).resources == usual.resources)
    }

    @Test func `protobuf gives the events that JSON gives`() throws {
        let json = try events(line([OTLP.event("step.BATCH_SUMMARY", time: 5000, attributes)]))
        let message = Wire.request(
            span: "scheduler_steps_1", event: "step.BATCH_SUMMARY", time: 5000, attributes)
        var events = OTLPEvents()
        let isSound = events.parseProtobuf(message.span.bytes, file: 0)
        #expect(isSound && events.steps == json.steps && events.resources == json.resources)
        for cut in 1..<message.count {
            var damaged = OTLPEvents()
            let part = Array(message[..<cut])
            if damaged.parseProtobuf(part.span.bytes, file: 0) { #expect(damaged.steps.count <= 1) }
        }
        try withTemporaryFolder { folder in
            for (name, bytes) in [
                ("plain", framed([message, message])), ("zstd", framed([zstdFrame(message)])),
            ] {
                try write(bytes, to: "\(folder)/\(name)")
                #expect(try TraceKind.recognise(path: "\(folder)/\(name)") == .otlpProtobuf)
                let report = try scanTrace(bytes, name: name)
                #expect(report.steps == 1 && report.duplicateEvents == (name == "plain" ? 1 : 0))
            }
        }
    }

    @Test func `core and API spans are joined by parent, or by request id where there is none`() throws {
        func journey(_ parent: String) -> [String] {
            let core = OTLP.line(
                scope: "vllm.scheduler", span: "llm_core",
                events: [
                    OTLP.event(
                        "journey.QUEUED", time: 1,
                        [("ts.monotonic_ns", .whole(2_000_000_000)), ("scheduler.step", .whole(0))]),
                    OTLP.event(
                        "journey.SCHEDULED", time: 1,
                        [
                            ("ts.monotonic", .real(2.5)), ("scheduler.step", .whole(1)),
                            ("prefill.total_tokens", .whole(9)),
                        ]),
                    OTLP.event(
                        "journey.FINISHED", time: 1,
                        [
                            ("ts.monotonic", .real(3)), ("scheduler.step", .whole(5)),
                            ("decode.done_tokens", .whole(4)),
                        ]),
                ], ids: ("t", "c", parent),
                attributes: #"{"key":"gen_ai.request.id","value":{"stringValue":"cmpl-1f-2e-0-9a8b"}}"#)
            let api = OTLP.line(
                scope: "vllm.api", span: "llm_request",
                events: [
                    OTLP.event("api.ARRIVED", time: 1, [("event.ts.monotonic", .real(1.75))]),
                    OTLP.event("api.DEPARTED", time: 1, [("event.ts.monotonic", .real(3.125))]),
                ], ids: ("t", "a", ""),
                attributes: #"{"key":"gen_ai.request.id","value":{"stringValue":"cmpl-1f-2e"}}"#)
            return [core, api]
        }
        for parent in ["a", ""] {
            try withTemporaryFolder { folder in
                try write(journey(parent).joined(separator: "\n"), to: "\(folder)/traces.json")
                var reader = try AlphaTraceReader(paths: ["\(folder)/traces.json"])
                var row = AlphaRow()
                let found = try reader.next(&row)
                #expect(found)
                #expect(row.arrivedToQueued == 0.25 && row.queuedToScheduled == 0.5)
                #expect(row.finishedToDeparted == 0.125 && row.promptTokens == 9 && row.outputTokens == 4)
                let more = try reader.next(&row)
                #expect(!more)
            }
        }
    }

    @Test func `KV events are read, repeated transfers once, hashes beyond 2^63 and base64`() throws {
        let text = """
            [1771344000.5,[["BlockStored",[18446744073709551615,"aGFzaA=="],null,[1,2,3],16,null,"GPU"],["CacheStoreCommitted","r",  "CPU",4,17],["TransferInitiated",7,"r","GPU","CPU",4,17],["TransferInitiated",7,"r","GPU","CPU",4,17]],0,17]
            [1771344000.75,[["TransferCompleted",7,"r","GPU","CPU",4,true,17],["TransferInitiated",8,"r","CPU","GPU",2,19],["BlockRemoved",["aGFzaA=="]]],null,19]
            [1771344001,[["AllBlocksCleared"],["Unknown",1],["TransferInitiated",-1,"r","GPU","CPU",4,17],["CacheEviction","GPU",3,"lru",19]]]
            [1771344001,[["AllBlo
            """
        let stream = try ByteStream(bytes: Array(text.utf8), name: "kv")
        let events = try KVEvents(lines: LineReader(stream: stream))
        #expect(events.blocksStored == 2 && events.blocksRemoved == 1 && events.blocksEvicted == 3)
        #expect(events.cacheClears == 1 && events.blockSize == 16 && events.repeatedEvents == 1)
        #expect(events.malformedEvents == 2 && events.malformedLines == 0 && events.isTruncated)
        #expect(events.transfers == [.init(step: 17, blocks: 4, toCPU: true, seconds: 0.25, succeeded: true)])
        #expect(
            events.stepTransfers == [
                .init(step: 17, engine: 0, blocksToOffload: 4, blocksToRestore: 0),
                .init(step: 19, engine: 0, blocksToOffload: 0, blocksToRestore: 2),
            ])
    }

    @Test func `load generators' files give request rows`() throws {
        let bench =
            #"{"model_id":"m","input_lens":[10,20,30],"output_lens":[3,1,2],"ttfts":[0.5,0.25,0],"itls":[[0.125,0.125],[],[]],"start_times":[100.5,101,102],"errors":["","","timeout"]}"#
        let measured = try RequestMeasurements(Array(bench.utf8), kind: .benchResult, name: "b")
        #expect(measured.model == "m" && measured.rows.count == 3 && measured.malformed == 0)
        #expect(measured.rows[0].endToEnd == 0.75 && measured.rows[0].timePerOutputToken == 0.125)
        #expect(measured.rows[1].sent == 0.5 && !measured.rows[2].succeeded && measured.rows[1].succeeded)
        let lifecycles =
            #"[{"start_time":10.0,"end_time":12.5,"request":"{}","info":{"input_tokens":7,"output_tokens":3,"output_token_times":[10.5,11,12.5]},"error":null},{"start_time":11,"end_time":10,"info":{}}]"#
        let requests = try RequestMeasurements(Array(lifecycles.utf8), kind: .requestMetrics, name: "r")
        #expect(requests.rows.count == 1 && requests.malformed == 1)
        #expect(requests.rows[0].timeToFirstToken == 0.5 && requests.rows[0].endToEnd == 2.5)
        #expect(requests.rows[0].timePerOutputToken == 1)
        for bad in [
            "{}", #"{"input_lens":[1],"ttfts":[]}"#, #"{"input_lens":[1],"ttfts":[1],"errors":["",""]}"#, "[",
            "{",
        ] {
            #expect(throws: InvalidInput.self) {
                _ = try RequestMeasurements(Array(bad.utf8), kind: .benchResult, name: "bad")
            }
        }
    }

    @Test func `a configuration comes from files, folder name and flags, and a contradiction is an error`()
        throws
    {
        try withTemporaryFolder { root in
            let folder = "\(root)/20260217-202857-llama-2-70b-tp4-general"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try write(
                line([OTLP.event("step.BATCH_SUMMARY", time: 5000, attributes)]) + "\n",
                to: "\(folder)/traces.json")
            try write(
                "model: meta-llama/Llama-2-70b-hf # chat\ntensor_parallelism: 4\nmax_num_seqs: 128\napp:\n  name: x\n",
                to: "\(folder)/exp-config.yaml")
            let found = try TraceInspection(paths: [root])
            let configuration = found.groups.first?.configuration
            #expect(
                configuration?.model == "meta-llama/Llama-2-70b-hf" && configuration?.tensorParallelSize == 4)
            #expect(configuration?.maxNumSeqs == 128 && configuration?.kvBlocks == 100)
            var options = TraceOptions()
            options.flags.tensorParallelSize = 2
            #expect(throws: InvalidInput.self) { _ = try TraceInspection(paths: [root], options: options) }
            try write("model: llama-2-7b\n", to: "\(folder)/exp-config.yaml")
            var message = ""
            do { _ = try TraceInspection(paths: [root]) } catch { message = "\(error)" }
            #expect(message.contains("contradicts") && message.contains("llama-2-7b"))
        }
    }
}
