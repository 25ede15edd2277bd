import Catalog
import Engine
import ServingCore
import Simulation

/// What `--kv-offloading-size` or an `OffloadingConnector` in `--kv-transfer-config`, and `--cpu-offload-gb`, make of
/// host memory and of the link to it.
extension Deployment {
    private var flag: String { "--kv-offloading-size" }
    private var memoryPage: Double { 4096 }

    /// Bytes of one KV block, all tensor-parallel ranks together.
    private func blockBytes(_ facts: DeploymentFacts) -> Double {
        facts.kvBytesPerTokenPerRank * Double(engine.blockSize) * Double(engine.layout.tensorParallelSize)
    }

    /// The CPU tier of each engine; nil without offload.
    ///
    /// Its capacity is `cpu_bytes_to_use` over the bytes of a chunk, rounded up to memory pages
    /// (`v1/kv_offload/cpu/spec.py`).
    /// - Throws: `InvalidInput` for what vLLM's native backend refuses.
    func offloadConfiguration(_ facts: DeploymentFacts) throws -> OffloadConfiguration? {
        guard let offload = engine.kvOffload else { return nil }
        let usesLatentAttention = model.layers.contains {
            if case .latentAttention = $0.mixer { true } else { false }
        }
        if usesLatentAttention {
            throw InvalidInput(
                .usage, field: flag, "does not go with multi-head latent attention (\(model.name))",
                accepted: "a model with a key and a value per head, or no KV offloading")
        }
        let chunkTokens = offload.blockSize ?? engine.blockSize
        guard chunkTokens % engine.blockSize == 0 else {
            throw InvalidInput(
                .usage, field: "--kv-transfer-config block_size", value: "\(chunkTokens)",
                "is not a multiple of the GPU's block size",
                accepted: "a multiple of \(engine.blockSize)")
        }
        let blocksPerChunk = chunkTokens / engine.blockSize
        let bytes = (blockBytes(facts) * Double(blocksPerChunk) / memoryPage).rounded(.up) * memoryPage
        let chunks = (offload.cpuBytes / max(bytes, 1)).rounded(.down)
        guard chunks >= 1 else {
            throw InvalidInput(
                .usage, field: flag, value: "\(offload.cpuBytes) bytes",
                "is less than one chunk of KV blocks", accepted: "at least \(Int(bytes)) bytes")
        }
        var result = OffloadConfiguration(cpuChunks: Int(min(chunks, 1e9)))
        result.blocksPerChunk = blocksPerChunk
        result.offloadPromptOnly = offload.promptOnly
        result.evictionPolicy = offload.evictionPolicy == .arc ? .arc : .lru
        return result
    }

    /// The link that each rank's copies take.
    func hostLink(_ facts: DeploymentFacts) -> HostLinkConfiguration {
        var link = HostLinkConfiguration(
            bandwidth: accelerator.hostLinkBandwidth,
            bytesPerBlock: facts.kvBytesPerTokenPerRank * Double(engine.blockSize))
        link.latency = accelerator.hostLinkLatency
        link.weightBytesPerStep = facts.offloadedWeightBytesPerRank
        return link
    }

    /// Checks that what is offloaded fits host memory of `bytes` bytes; nil if unknown.
    /// - Throws: `InvalidInput` naming the flag that asks for more.
    func checkHostMemory(_ bytes: Double?) throws {
        guard let bytes else { return }
        let gigabyte = 1_073_741_824.0
        func text(_ value: Double) -> String { "\((value / gigabyte * 100).rounded() / 100) GiB" }
        let kv = (engine.kvOffload?.cpuBytes ?? 0) * Double(engine.layout.dataParallelSize)
        let weights = min(engine.cpuOffloadBytes, ranked.weightBytes) * Double(engine.layout.gpus)
        guard kv + weights > bytes else { return }
        throw InvalidInput(
            .usage, field: kv > 0 ? flag : "--cpu-offload-gb", value: text(kv + weights),
            "does not fit host memory" + (kv > 0 && weights > 0 ? " together with --cpu-offload-gb" : ""),
            accepted: "at most \(text(bytes))")
    }

    /// What a person should know about a forecast with KV offload.
    var offloadWarnings: [String] {
        var warnings: [String] = []
        if memory.groups.count > 1 || memory.groups.first?.span.window != nil {
            warnings.append(
                "KV offload is modelled for layers that attend to the whole context; \(model.name) has others"
            )
        }
        return warnings
    }
}
