import ServingCore
import Testing

@testable import StepTraces

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Mutated traces of every kind through every reader: whatever comes, a report or one error, never a trap.
///
/// `STEPCAST_FUZZ_MUTATIONS` sets their number (20,000 without it). From a million on memory must stay flat within
/// 10 MB; run it alone then (`--filter FuzzTests`).
@Suite struct FuzzTests {
    @Test func `no mutation of a trace crashes a reader, hangs it or makes memory grow`() throws {
        let mutations =
            ProcessInfo.processInfo.environment["STEPCAST_FUZZ_MUTATIONS"].flatMap { Int($0) } ?? 20_000
        let seeds = try Self.seeds()
        #expect(seeds.allSatisfy { $0.count <= 4096 })
        var random = RandomStream(seed: 1, purpose: "fuzz")
        var (read, refused, rows) = (0, 0, 0)
        var settled = 0
        for mutation in 0..<mutations {
            let seed = Int(random.next() % UInt64(seeds.count))
            let bytes = Self.mutate(seeds[seed], with: &random, splice: seeds)
            do {
                if seed == 11 {
                    _ = try TraceConfiguration(runConfig: bytes, path: "config.json")
                } else if seed == 12 {
                    _ = try TraceConfiguration(experimentConfig: bytes, path: "exp-config.yaml")
                } else {
                    rows += try scanTrace(bytes, name: "fuzz").steps
                }
                read += 1
            } catch is InvalidInput {
                refused += 1
            }
            if mutation == mutations / 5 { settled = residentKilobytes() }
        }
        #expect(read > mutations / 20 && refused > mutations / 20 && rows > mutations / 20)
        let growth = residentKilobytes() - settled
        // Other tests of the process use memory as well, so it only tells when this one runs alone.
        if mutations >= 1_000_000 { #expect(growth < 10 * 1024, "resident memory grew by \(growth) KiB") }
        print(
            "fuzz: \(mutations) mutations, \(read) read, \(refused) refused, \(rows) rows, grew \(growth) KiB"
        )
    }

    /// Seeds 11 and 12 are configuration files.
    private static func seeds() throws -> [[UInt8]] {
        let engine = SyntheticEngine(count: 2, budget: 64, seed: 1)
        let spans = engine.lines(asynchronous: false, snapshots: false, journeys: true).joined(
            separator: "\n")
        let snapshots = engine.lines(asynchronous: false, snapshots: true, journeys: false)[0]
        let short = Array(spans.utf8)
        let attributes: [(String, OTLP.Value)] = [
            ("step.id", .whole(3)), ("step.ts_start_ns", .whole(1000)), ("step.duration_us", .whole(1)),
            ("queue.running_depth", .whole(2)), ("kv.usage_gpu_ratio", .real(0.25)),
        ]
        let message = Wire.request(span: "s", event: "step.BATCH_SUMMARY", time: 5000, attributes)
        let native =
            #"{"format":"stepcast-step-trace","version":1,"configuration":{"model":"m"}}"# + "\n"
            + #"{"step":7,"start_ns":5,"end_ns":9,"step_s":0.25,"prefill_requests":1,"prefill_tokens":20,"prefill_context_tokens":3,"prefill_attention_pairs":270,"decode_requests":2,"decode_context_tokens":50,"running_requests":3,"waiting_requests":1,"kv_blocks_used":9,"kv_blocks_total":99,"blocks_to_offload":4,"blocks_to_restore":5,"run":0,"context":"journeys","target":"recorded"}"#
            + "\n"
        let table =
            "gpu,model,tp,ep,dtype,num_prefill_reqs,prefill_tokens,prefill_context,num_decode_reqs,decode_context_tokens_total,step_ms\nH100,M,1,1,bf16,2,32,1276,0,0,6.1\nH100,M,2,1,bf16,0,0,,4,4000,5.5\n"
        let log =
            "INFO 11-21 23:37:36 [loggers.py:199] Engine 000: Iteration(0): 3 context requests, 256 context tokens, 0 generation requests, 0 generation tokens, iteration elapsed time: 105.18 ms, GPU KV cache usage: 0.1%\nINFO 11-21 23:37:31 [kv_cache_utils.py:2327] GPU KV cache size: 262,144 tokens, x\nINFO 11-21 23:37:31 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='m', tensor_parallel_size=1, x\n"
        let kv =
            #"[1.5,[["BlockStored",[18446744073709551615],null,[1],16,null],["TransferInitiated",7,"r","GPU","CPU",4,17]],0,17]"#
        let bench =
            #"{"model_id":"m","input_lens":[10,20],"output_lens":[3,1],"ttfts":[0.5,0.25],"itls":[[0.125,0.125],[]],"start_times":[1,2],"errors":["",""]}"#
        let lifecycle =
            #"[{"start_time":10.0,"end_time":12.5,"info":{"input_tokens":7,"output_tokens":3,"output_token_times":[10.5,11]},"error":null}]"#
        let config =
            #"{"model_name":"m","hardware":{"name":"cpu","ram_gib":24,"measured":{"bf16_gemm_M1_1thr_gflops":21.4,"read_bandwidth_1thr_GBps":25.6}},"tensor_parallel_size":1,"omp_threads_per_worker":1,"engine_flags":{"max_num_seqs":32},"num_gpu_blocks":10,"block_size":16,"model_config":{"a":[1]}}"#
        let experiment = "model: m\ntensor_parallelism: 4\nmax_num_seqs: 128 # x\n"
        let long = Array(snapshots.utf8.prefix(4000))
        return [
            Array(short.prefix(4096)), zstdFrame(short), framed([zstdFrame(short), zstdFrame(long)]),
            Array(snapshots.utf8.prefix(4096)),
            framed([message, message]), framed([zstdFrame(message)]), Array(native.utf8), Array(table.utf8),
            Array(log.utf8), Array(kv.utf8), Array(lifecycle.utf8), Array(config.utf8),
            Array(experiment.utf8), Array(bench.utf8), Array(lifecycle.utf8), zstdFrame(Array(native.utf8)),
        ]
    }

    private static let tokens = [
        "NaN", "-1", "9223372036854775808", "-9223372036854775808", "1e999", "\"", "{", "}", "[", "]", ",",
        "null", "\n", "0",
        "18446744073709551616", "1e-400", "\\u", "\u{0}", "99999999999999999999999999",
    ].map { Array($0.utf8) }

    private static func mutate(_ seed: [UInt8], with random: inout RandomStream, splice: [[UInt8]]) -> [UInt8]
    {
        var bytes = seed
        for _ in 0..<1 + Int(random.next() % 4) {
            let place = bytes.isEmpty ? 0 : Int(random.next() % UInt64(bytes.count))
            let length = min(bytes.count - place, Int(random.next() % 32))
            switch random.next() % 9 {
            case 0 where !bytes.isEmpty: bytes[place] ^= 1 << UInt8(random.next() % 8)
            case 1 where !bytes.isEmpty: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 2: bytes.removeSubrange(place..<place + length)
            case 3: bytes.insert(contentsOf: bytes[place..<place + length], at: place)
            case 4: bytes.insert(contentsOf: tokens[Int(random.next() % UInt64(tokens.count))], at: place)
            case 5:
                bytes.replaceSubrange(
                    place..<place + length, with: tokens[Int(random.next() % UInt64(tokens.count))])
            case 6 where random.next() % 4 == 0: bytes.removeSubrange(place...)
            case 7 where random.next() % 4 == 0:
                let other = splice[Int(random.next() % UInt64(splice.count))]
                bytes = Array(bytes[..<place]) + other.suffix(min(other.count, Int(random.next() % 4096)))
            default:
                // A digit for a digit keeps the text valid and changes what it says.
                if let digit = bytes[place...].firstIndex(where: { $0 &- 0x30 <= 9 }) {
                    bytes[digit] = 0x30 + UInt8(random.next() % 10)
                }
            }
        }
        return Array(bytes.prefix(8192))
    }
}

/// Resident memory of this process.
func residentKilobytes() -> Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4 : 0
}
