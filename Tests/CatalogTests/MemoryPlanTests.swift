import ServingCore
import Testing

@testable import Catalog

struct `Memory plan` {
    @Test(arguments: [
        (
            "meta-llama/Llama-2-7b-hf --max-model-len 4096 --max-num-seqs 128", "H100-SXM",
            EngineVersion.v015, 7462
        ),
        ("meta-llama/Llama-2-70b-hf -tp 4 --max-model-len 4096 --max-num-seqs 128", "H100-SXM", .v015, 31356),
        (
            "codellama/CodeLlama-34b-Instruct-hf -tp 2 --max-model-len 4096 --max-num-seqs 128", "H100-SXM",
            .v015, 26602
        ),
        (
            "mistralai/Mixtral-8x7B-v0.1 -tp 2 --max-model-len 4096 --max-num-seqs 128", "H100-SXM", .v015,
            27510
        ),
        (
            "meta-llama/Llama-3.1-8B --max-model-len 32768 --max-num-seqs 256", "NVIDIA GeForce RTX 4090",
            .v019, 2588
        ),
    ])
    func `Real capacities are met within one percent`(
        line: String, gpu: String, version: EngineVersion, blocks: Int
    ) throws {
        let deployment = try SharedData.deployment(
            line + " --max-num-batched-tokens 2048", gpu: gpu, version: version)
        #expect(
            abs(Double(deployment.memory.numGPUBlocks) / Double(blocks) - 1) < 0.01,
            "\(deployment.memory.numGPUBlocks)")
    }

    @Test func `Every byte is accounted for`() throws {
        for line in [
            "llama-3.1-8b", "mixtral-8x7b -tp 4", "deepseek-v2-lite", "qwen3.5-27b -tp 2", "gpt-oss-20b",
        ] {
            let plan = try SharedData.deployment(line + " --max-model-len 8192").memory
            let spent = plan.terms.reduce(0) { $0 + $1.bytes }
            #expect(abs(plan.requestedBytes - spent - plan.availableBytes) < 1)
            #expect(plan.terms.allSatisfy { $0.bytes >= 0 })
            #expect(Double(plan.numGPUBlocks) * plan.bytesPerBlock <= plan.availableBytes)
            #expect(Double(plan.numGPUBlocks + 1) * plan.bytesPerBlock > plan.availableBytes)
        }
    }

    @Test func `Overrides bypass the profiling`() throws {
        let blocks = try SharedData.deployment("llama-3.1-8b --num-gpu-blocks-override 1234").memory
        #expect(
            blocks.numGPUBlocks == 1234 && blocks.usableBlocks == 1233
                && blocks.basis == .numGPUBlocksOverride)
        let bytes = try SharedData.deployment("llama-3.1-8b --max-model-len 4096 --kv-cache-memory-bytes 1G")
            .memory
        #expect(bytes.numGPUBlocks == 1_073_741_824 / (16 * 131_072) && bytes.basis == .kvCacheMemoryBytes)
    }

    @Test func `An FP8 cache holds twice the tokens`() throws {
        let plain = try SharedData.deployment("llama-3.1-8b --max-model-len 8192").memory.numGPUBlocks
        let fp8 = try SharedData.deployment("llama-3.1-8b --max-model-len 8192 --kv-cache-dtype fp8").memory
            .numGPUBlocks
        #expect(abs(fp8 - 2 * plain) <= 1)
    }

    @Test func `CUDA graphs count only since the release that subtracts them`() throws {
        func graphs(_ version: EngineVersion, _ flags: String = "") throws -> Double {
            let plan = try SharedData.deployment(
                "llama-3.1-8b --max-model-len 8192 " + flags, version: version
            ).memory
            let term = plan.terms.first { $0.name == "CUDA graphs" }
            return try #require(term).bytes
        }
        #expect(try graphs(.v015) == 0 && graphs(.v019) == 0)
        #expect(try graphs(.v032) > 1e8)
        #expect(try graphs(.v032, "--enforce-eager") == 0)
    }

    @Test func `Latent caches are replicated, grouped-query caches divide down to one head`() throws {
        func bytes(_ model: String, _ tp: Int) throws -> Double {
            let model = try SharedData.catalogs().models.architecture(model)
            return RankedModel(model, layout: ParallelLayout(tensorParallelSize: tp), cacheElementBytes: 2)
                .keyValueBytesPerToken
        }
        #expect(try bytes("deepseek-v3", 1) == 61 * 576 * 2)
        #expect(try bytes("deepseek-v3", 8) == 61 * 576 * 2)
        #expect(try bytes("llama-3.1-8b", 8) == 131_072 / 8)
        #expect(try bytes("llama-3.1-8b", 16) == 131_072 / 8)
    }

    @Test func `Expert parallelism keeps experts whole and spreads them over all ranks`() throws {
        let model = try SharedData.catalogs().models.architecture("qwen3-30b-a3b")
        let tp = RankedModel(model, layout: ParallelLayout(tensorParallelSize: 4), cacheElementBytes: 2)
        let ep = RankedModel(
            model, layout: ParallelLayout(tensorParallelSize: 2, dataParallelSize: 2, expertParallel: true),
            cacheElementBytes: 2)
        let one = 3.0 * 2048 * 768 * 2
        #expect(tp.expertBytes == one / 4 && tp.expertsPerRank == 128)
        #expect(ep.expertBytes == one && ep.expertsPerRank == 32)
        #expect(ep.denseBytes > tp.denseBytes)
    }

    @Test func `Windowed layers form groups of their own and hold their window`() throws {
        let plan = try SharedData.deployment("gpt-oss-120b --gpu-memory-utilization 0.95", gpu: "h200").memory
        #expect(plan.groups.count == 2 && plan.groups.allSatisfy { $0.layers == 18 })
        #expect(plan.bytesPerBlock == 16 * 18 * 2 * 8 * 64 * 2)
        // A long request holds little more than half of what it would with full attention in all layers.
        #expect(plan.equivalentBlocks(contextTokens: 100_000) > plan.usableBlocks * 9 / 10)
        #expect(plan.equivalentBlocks(contextTokens: 64) == plan.usableBlocks / 2)
        let single = try SharedData.deployment("gpt-oss-120b --disable-hybrid-kv-cache-manager", gpu: "h200")
            .memory
        #expect(single.groups.count == 1 && single.bytesPerBlock == 2 * plan.bytesPerBlock)
    }

    @Test func `A recurrent hybrid gets blocks as large as a state`() throws {
        let deployment = try SharedData.deployment("qwen3.5-27b --max-model-len 32k -tp 2")
        let kinds = deployment.ranked.cacheLayers
        let state = try #require(kinds.first { $0.isState }?.bytes)
        let token = try #require(kinds.first { !$0.isState }?.bytes)
        #expect(deployment.engine.blockSize % 16 == 0)
        #expect(Double(deployment.engine.blockSize) * token >= state)
        #expect(Double(deployment.engine.blockSize - 16) * token < state)
        #expect(!deployment.engine.enablePrefixCaching)
    }

    @Test func `Offloaded weights leave room for blocks`() throws {
        let plain = try SharedData.deployment("llama-3.1-8b --max-model-len 8192")
        let offloaded = try SharedData.deployment("llama-3.1-8b --max-model-len 8192 --cpu-offload-gb 4")
        let more =
            Double(offloaded.memory.numGPUBlocks - plain.memory.numGPUBlocks) * plain.memory.bytesPerBlock
        #expect(abs(more - 4 * 1_073_741_824) <= plain.memory.bytesPerBlock)
        #expect(offloaded.facts().offloadedWeightBytesPerRank == 4 * 1_073_741_824)
    }

    @Test func `More tensor parallelism never costs a rank more`() throws {
        let catalog = try SharedData.catalogs().models
        for entry in try catalog.entries() {
            let model = try catalog.architecture(entry.name)
            for expertParallel in [false, true] {
                var last: RankedModel?
                for tp in [1, 2, 4, 8, 16, 32] {
                    let layout = ParallelLayout(tensorParallelSize: tp, expertParallel: expertParallel)
                    let next = RankedModel(model, layout: layout, cacheElementBytes: 2)
                    if let last {
                        #expect(next.weightBytes <= last.weightBytes, "\(entry.name) \(tp)")
                        #expect(next.denseBytes <= last.denseBytes, "\(entry.name) \(tp)")
                        #expect(
                            next.keyValueBytesPerToken <= last.keyValueBytesPerToken, "\(entry.name) \(tp)")
                        #expect(next.flopsPerToken <= last.flopsPerToken, "\(entry.name) \(tp)")
                        #expect(
                            next.expertBytes * next.expertsPerRank <= last.expertBytes * last.expertsPerRank,
                            "\(entry.name) \(tp)")
                    }
                    last = next
                }
            }
        }
    }

    @Test func `More memory or less to hold never means fewer blocks`() throws {
        func blocks(_ flags: String) throws -> Int {
            try SharedData.deployment("llama-3.1-8b --max-model-len 4096 " + flags).memory.numGPUBlocks
        }
        #expect(try blocks("--gpu-memory-utilization 0.8") < blocks("--gpu-memory-utilization 0.9"))
        #expect(
            try blocks("--max-num-batched-tokens 16384")
                <= blocks("--max-num-batched-tokens 2048 --max-num-seqs 1024"))
        #expect(try blocks("--max-num-seqs 1024") <= blocks("--max-num-seqs 64"))
        #expect(try blocks("--quantization fp8") > blocks(""))
    }

    @Test func `Facts hold what features need`() throws {
        let facts = try SharedData.deployment("mixtral-8x7b -tp 2 --max-model-len 4096").facts()
        #expect(facts.experts == 8 && facts.expertsPerToken == 2 && facts.expertLayers == 32)
        #expect(facts.expertWeightBytesPerRank == 3 * 4096 * 14336 * 2 / 2 && facts.expertsPerRank == 8)
        #expect(
            facts.kvBytesPerTokenPerRank == 65_536 && facts.fullAttentionShare == 1
                && facts.slidingWindow == 0)
        #expect(facts.attentionFlopsPerPairPerRank == 4 * 4096 / 2 * 32)
        #expect(facts.outputFlopsPerTokenPerRank == 2 * 4096 * 32000 / 2)
        #expect(facts.peakFlops == 989e12 && facts.tensorParallelSize == 2 && facts.kvBlocks > 20_000)
        // Matrix FLOPs on a rank are half of twice the active parameters, norms and output projection left out.
        let active = (facts.activeParameters - 4096 * 32000) * 2 / 2
        #expect(abs(facts.flopsPerTokenPerRank / active - 1) < 0.001)
        let windowed = try SharedData.deployment("gpt-oss-120b", gpu: "h200").facts()
        #expect(windowed.fullAttentionShare == 0.5 && windowed.slidingWindow == 128)
    }
}
