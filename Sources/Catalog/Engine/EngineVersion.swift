import ServingCore

/// A vLLM release whose rules are known.
public enum EngineVersion: String, Sendable, CaseIterable, Comparable {
    /// 0.15.
    case v015 = "0.15"
    /// 0.19.
    case v019 = "0.19"
    /// 0.23.
    case v023 = "0.23"
    /// 0.32, the default.
    case v032 = "0.32"

    /// The release without `--engine-version`.
    public static let latest = EngineVersion.v032

    /// Releases in order of time.
    public static func < (a: EngineVersion, b: EngineVersion) -> Bool {
        allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)!
    }

    /// Reads `0.15`, `0.15.1`, `v0.19.0` or `vllm 0.23.0`.
    /// - Throws: `InvalidInput(.usage)` for any other version, naming the accepted ones.
    public init(parsing text: String) throws {
        var name = text.lowercased()
        for prefix in ["vllm", " ", "=", "-", "v"] {
            while name.hasPrefix(prefix) { name.removeFirst(prefix.count) }
        }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        let release = parts.prefix(2).joined(separator: ".")
        let patched = parts.count <= 3 && parts.dropFirst(2).allSatisfy { $0.first?.isNumber == true }
        guard patched, let version = EngineVersion(rawValue: release) else {
            throw InvalidInput(
                .usage, field: "--engine-version", value: text, "is not a version whose rules are known",
                accepted: Self.allCases.map(\.rawValue).joined(separator: ", ") + ", with any patch number")
        }
        self = version
    }

    /// Default of `--gpu-memory-utilization`.
    public var defaultGPUMemoryUtilization: Double { self <= .v019 ? 0.9 : 0.92 }
    /// Whether a waiting request is admitted only if its whole prompt fits (`scheduler_reserve_full_isl`).
    public var hasFullSequenceGate: Bool { self > .v015 }
    /// Whether freed blocks without a hash go to the head of the free queue; else all are appended to its tail.
    public var freesUnhashedBlocksFirst: Bool { self > .v015 }
    /// Whether `--watermark`, the adaptive long-prefill threshold and the lone-request exemption exist.
    public var hasWatermarkAndAdaptiveThreshold: Bool { self > .v015 }
    /// Whether GPUs of 160 GiB and more have defaults of their own.
    public var hasLargeMemoryDefaults: Bool { self > .v015 }
    /// Whether the memory of CUDA graphs is estimated and taken off the KV cache (since 0.21).
    public var subtractsCUDAGraphMemory: Bool { self >= .v023 }
    /// Whether top-k and top-p sampling sorts the logits (until FlashInfer's sampler became the default in 0.21).
    public var sortsLogits: Bool { self <= .v019 }
}
