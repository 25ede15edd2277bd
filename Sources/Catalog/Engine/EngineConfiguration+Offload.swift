import ServingCore

/// What `--kv-offloading-size` and `--kv-transfer-config` ask for (`config/vllm.py: _post_init_kv_transfer_config`).
extension EngineConfiguration {
    /// The second tier of the KV cache; nil without one.
    /// - Throws: `InvalidInput` for settings that are not modelled and for offload without prefix caching.
    func offload(prefixCaching: Bool) throws -> ResolvedEngine.KVOffload? {
        guard let offload = try offload() else { return nil }
        guard prefixCaching else {
            throw InvalidInput(
                .usage, field: kvTransferConfig == nil ? "--kv-offloading-size" : "--kv-transfer-config",
                "needs prefix caching: blocks are found again by the text before them",
                accepted: "--enable-prefix-caching, or no KV offloading")
        }
        return offload
    }

    private func offload() throws -> ResolvedEngine.KVOffload? {
        guard let config = kvTransferConfig else {
            guard let size = kvOffloadingSize, size > 0 else { return nil }
            return ResolvedEngine.KVOffload(cpuBytes: size * 1_073_741_824, blockSize: nil, promptOnly: true)
        }
        let reader = try ConfigReader(config, source: "--kv-transfer-config")
        guard let connector = try reader.string("kv_connector") else { return nil }
        guard connector == "OffloadingConnector" else {
            throw InvalidInput(
                .usage, field: "--kv-transfer-config", value: connector,
                "is a connector that is not modelled",
                accepted: "OffloadingConnector")
        }
        if let role = try reader.string("kv_role"), role != "kv_both" {
            throw InvalidInput(
                .usage, field: "--kv-transfer-config kv_role", value: role, "is not modelled",
                accepted: "kv_both")
        }
        let extra = try reader.object("kv_connector_extra_config")
        if let spec = try extra?.string("spec_name"), spec != "CPUOffloadingSpec" {
            throw InvalidInput(
                .usage, field: "--kv-transfer-config spec_name", value: spec, "is not modelled",
                accepted: "CPUOffloadingSpec")
        }
        var bytes = try extra?.number("cpu_bytes_to_use", in: 0...1e18)
        if bytes == nil { bytes = kvOffloadingSize.map { $0 * 1_073_741_824 } }
        guard let bytes, bytes > 0 else {
            throw InvalidInput(
                .usage, field: "--kv-transfer-config", "has no cpu_bytes_to_use in kv_connector_extra_config",
                accepted: "bytes of CPU memory")
        }
        if let threshold = try extra?.count("store_threshold", in: 0...Int(Int32.max)), threshold > 1 {
            throw InvalidInput(
                .usage, field: "--kv-transfer-config store_threshold", value: "\(threshold)",
                "is not modelled",
                accepted: "0 or 1")
        }
        var offload = ResolvedEngine.KVOffload(
            cpuBytes: bytes, blockSize: try extra?.count("block_size", in: 1...65536),
            promptOnly: try extra?.bool("offload_prompt_only") ?? true)
        if let name = try extra?.string("eviction_policy") {
            guard let policy = ResolvedEngine.KVOffload.EvictionPolicy(rawValue: name) else {
                throw InvalidInput(
                    .usage, field: "--kv-transfer-config eviction_policy", value: name, "is not a policy",
                    accepted: "lru or arc")
            }
            offload.evictionPolicy = policy
        }
        return offload
    }
}
