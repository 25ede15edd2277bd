import ServingCore
import Testing

@testable import Catalog

struct `Defaults and refusals` {
    private func engine(_ line: String, gpu: String = "h100", version: EngineVersion = .latest) throws
        -> ResolvedEngine
    {
        try SharedData.deployment(line, gpu: gpu, version: version).engine
    }

    @Test(arguments: [
        ("h100", EngineVersion.v032, 8192, 1024), ("h200", .v032, 8192, 1024), ("a100", .v032, 2048, 256),
        ("l40s", .v032, 2048, 256), ("b200", .v032, 16384, 1024), ("b200", .v015, 8192, 1024),
        ("h100", .v015, 8192, 1024),
    ])
    func `Batch limits follow device and release`(
        gpu: String, version: EngineVersion, tokens: Int, sequences: Int
    ) throws {
        let engine = try engine("qwen2.5-7b", gpu: gpu, version: version)
        #expect(engine.maxNumBatchedTokens == tokens && engine.maxNumSeqs == sequences)
        #expect(engine.enableChunkedPrefill && engine.enablePrefixCaching && engine.asyncScheduling)
        #expect(engine.blockSize == 16 && engine.schedulingPolicy == .fcfs)
    }

    @Test func `Releases differ where they do`() throws {
        let old = try engine("qwen2.5-7b", version: .v015)
        let new = try engine("qwen2.5-7b")
        #expect(old.gpuMemoryUtilization == 0.9 && new.gpuMemoryUtilization == 0.92)
        #expect(!old.schedulerReserveFullISL && new.schedulerReserveFullISL)
        #expect(!old.freesUnhashedBlocksFirst && new.freesUnhashedBlocksFirst)
        #expect(try EngineVersion(parsing: "vllm 0.15.1") == .v015)
        #expect(try EngineVersion(parsing: "v0.23") == .v023)
        for wrong in ["0.14", "1.0", "", "0.15x", "0.15.1.2", "fast"] {
            let text = message { _ = try EngineVersion(parsing: wrong) }
            #expect(text.contains("0.15, 0.19, 0.23, 0.32"), "\(wrong): \(text)")
        }
        #expect(
            message { _ = try engine("qwen2.5-7b --watermark 0.1", version: .v015) }.contains("--watermark"))
    }

    @Test func `Limits adapt to each other`() throws {
        #expect(try engine("qwen2.5-7b --max-num-batched-tokens 512").maxNumSeqs == 512)
        #expect(try engine("qwen2.5-7b --performance-mode throughput").maxNumBatchedTokens == 16384)
        #expect(try engine("qwen2.5-7b --no-enable-chunked-prefill").maxNumBatchedTokens == 32768)
        #expect(try engine("qwen2.5-7b --max-num-seqs 2 --max-model-len 1000").maxNumBatchedTokens == 2000)
    }

    @Test func `CUDA graphs are captured for vLLM's sizes`() throws {
        let sizes = try engine("qwen2.5-7b").cudagraphCaptureSizes
        #expect(sizes.count == 51 && sizes.prefix(5) == [1, 2, 4, 8, 16] && sizes.suffix(2) == [496, 512])
        #expect(try engine("qwen2.5-7b --max-num-seqs 100").cudagraphCaptureSizes.last == 200)
        #expect(try engine("qwen2.5-7b --max-num-seqs 100").cudagraphCaptureSizes.contains(100))
        #expect(try engine("qwen2.5-7b --enforce-eager").cudagraphCaptureSizes.isEmpty)
        #expect(try engine("qwen2.5-7b", gpu: "b200").cudagraphCaptureSizes.last == 1024)
        #expect(
            try engine("qwen2.5-7b --cudagraph-capture-sizes 8 4 4 2").cudagraphCaptureSizes == [2, 4, 8])
        #expect(
            try engine("qwen2.5-7b --performance-mode interactivity").cudagraphCaptureSizes.prefix(9)
                .elementsEqual(1...9))
    }

    @Test(arguments: [
        ("llama-2-7b --max-model-len 4097", "is greater than the derived max_model_len"),
        (
            "qwen3-14b -tp 3",
            "total number of attention heads (40) must be divisible by tensor parallel size (3)"
        ),
        ("llama-3.1-405b", "the model does not fit"),
        ("llama-3.1-70b -tp 2 --gpu-memory-utilization 0.5", "no available memory for the cache blocks"),
        (
            "qwen2.5-7b --max-num-batched-tokens 64 --max-num-seqs 128",
            "must be greater than or equal to max_num_seqs (128)"
        ),
        (
            "qwen2.5-7b --no-enable-chunked-prefill --max-num-batched-tokens 2048",
            "is smaller than max_model_len (32768)"
        ),
        ("qwen2.5-7b --kv-transfer-config '{\"kv_connector\":\"NixlConnector\"}'", "NixlConnector"),
        ("qwen2.5-7b --quantization awq", "--quantization"),
        ("gpt-oss-20b --quantization fp8", "does not match the quantization method"),
        ("mixtral-8x7b -tp 2 --kv-cache-memory-bytes 100000000000", "--kv-cache-memory-bytes"),
    ])
    func `What vLLM refuses is refused in its words`(line: String, part: String) throws {
        let text = message { _ = try SharedData.deployment(line) }
        #expect(text.contains(part), "\(text)")
        #expect(!text.contains("\n"))
    }

    @Test func `A context that doesn't fit gets vLLM's estimate, which then fits`() throws {
        let text = message { _ = try SharedData.deployment("llama-3.1-8b", gpu: "rtx-4090", version: .v019) }
        #expect(
            text.contains("To serve at least one request with the model's max seq len (131072)"), "\(text)")
        let estimate = try #require(
            text.split(separator: "estimated maximum model length is ").last?.prefix { $0.isNumber })
        let fitting = try SharedData.deployment(
            "llama-3.1-8b --max-model-len \(estimate)", gpu: "rtx-4090", version: .v019)
        #expect(fitting.memory.numGPUBlocks > 0)
        let next = Int(estimate)! + 1
        #expect(
            message {
                _ = try SharedData.deployment(
                    "llama-3.1-8b --max-model-len \(next)", gpu: "rtx-4090", version: .v019)
            }.contains("does not fit"))
        let auto = try SharedData.deployment(
            "llama-3.1-8b --max-model-len auto", gpu: "rtx-4090", version: .v019)
        #expect(auto.engine.maxModelLen == Int(estimate)!)
    }

    @Test func `KV offload is read from either flag`() throws {
        let size = try engine("qwen2.5-7b --kv-offloading-size 2").kvOffload
        #expect(
            size == ResolvedEngine.KVOffload(cpuBytes: 2 * 1_073_741_824, blockSize: nil, promptOnly: true))
        let config = try engine(
            #"qwen2.5-7b --kv-transfer-config '{"kv_connector":"OffloadingConnector","kv_role":"kv_both","kv_connector_extra_config":{"cpu_bytes_to_use":5000,"block_size":64}}'"#
        )
        #expect(config.kvOffload?.cpuBytes == 5000 && config.kvOffload?.blockSize == 64)
        let text = message {
            _ = try engine(#"qwen2.5-7b --kv-transfer-config '{"kv_connector":"OffloadingConnector"}'"#)
        }
        #expect(text.contains("cpu_bytes_to_use"))
        #expect(try engine("qwen2.5-7b --kv-offloading-size 0").kvOffload == nil)
    }

    @Test(arguments: [
        "--kv-offloading-size 2",
        #"--kv-transfer-config '{"kv_connector":"OffloadingConnector","kv_connector_extra_config":{"cpu_bytes_to_use":5000}}'"#,
    ])
    func `KV offload without prefix caching is refused`(flag: String) {
        let text = message { _ = try engine("qwen2.5-7b --no-enable-prefix-caching \(flag)") }
        #expect(text.contains(flag.prefix { $0 != " " }) && text.contains("needs prefix caching"))
    }
}
