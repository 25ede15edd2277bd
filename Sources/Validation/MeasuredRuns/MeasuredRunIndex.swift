import ByteStreams
import Catalog
import ServingCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// One entry of a folder's `index.json`: a run of a real engine and the deployment that served it.
public struct MeasuredRunEntry: Decodable, Sendable {
    /// Name of the run; its requests are in `NAME.csv.zst` or `NAME.csv`.
    public var name: String
    /// Model as the person named it.
    public var model: String
    /// Accelerator as the person named it.
    public var gpu: String
    /// Engine and version, `vllm 0.15.1`.
    public var engine: String
    /// Whether the deployment could not keep up, as whoever measured it says.
    public var overloaded: Bool
    /// Whether prompts of equal length are the same prompt.
    public var sharedPrompts: Bool?
    /// Seconds after which the client gave up.
    public var clientTimeout: Double?
    /// Most requests in flight at the client.
    public var maxConcurrency: Int?
    /// What was sent.
    public var load: Load?
    /// KV blocks that the engine had; nil if not recorded.
    public var kvBlocks: Int?
    /// vLLM's flags by name, with underscores.
    public var flags: [(String, ConfigValue)] = []

    /// What was sent.
    public struct Load: Decodable, Sendable {
        /// Tokens that every request was told to generate.
        public var outputLength: Int?
        /// Stages of constant rate, in order.
        public var stages: [Stage]?

        /// Lengths of the stages, seconds.
        var stageSeconds: [Double] { (stages ?? []).map(\.duration) }

        /// One stage.
        public struct Stage: Decodable, Sendable {
            /// Seconds.
            public var duration: Double
        }

        enum CodingKeys: String, CodingKey {
            case stages
            case outputLength = "output_len"
        }
    }

    enum CodingKeys: String, CodingKey {
        case name, model, gpu, engine, overloaded, load, dtype
        case sharedPrompts = "shared_prompts"
        case clientTimeout = "client_timeout_s"
        case maxConcurrency = "max_concurrency"
        case engineArguments = "engine_args"
        case tensorParallelSize = "tensor_parallel_size"
        case maxNumSeqs = "max_num_seqs"
        case maxNumBatchedTokens = "max_num_batched_tokens"
        case maxModelLen = "max_model_len"
        case blockSize = "block_size"
        case numGPUBlocks = "num_gpu_blocks"
        case gpuMemoryUtilization = "gpu_memory_utilization"
        case enablePrefixCaching = "enable_prefix_caching"
    }

    /// Reads one entry; keys that say nothing about the engine or the load are left alone.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        name = try values.decode(String.self, forKey: .name)
        model = try values.decode(String.self, forKey: .model)
        gpu = try values.decode(String.self, forKey: .gpu)
        engine = try values.decode(String.self, forKey: .engine)
        overloaded = try values.decodeIfPresent(Bool.self, forKey: .overloaded) ?? false
        sharedPrompts = try values.decodeIfPresent(Bool.self, forKey: .sharedPrompts)
        clientTimeout = try values.decodeIfPresent(Double.self, forKey: .clientTimeout)
        maxConcurrency = try values.decodeIfPresent(Int.self, forKey: .maxConcurrency)
        load = try values.decodeIfPresent(Load.self, forKey: .load)
        let nested =
            values.contains(.engineArguments)
            ? try values.nestedContainer(keyedBy: CodingKeys.self, forKey: .engineArguments) : values
        for (key, flag) in Self.wholeNumbers {
            let value =
                try values.decodeIfPresent(Int.self, forKey: key)
                ?? nested.decodeIfPresent(Int.self, forKey: key)
            if let value { flags.append((flag, .string(String(value)))) }
            if key == .numGPUBlocks { kvBlocks = value }
        }
        if let value = try values.decodeIfPresent(Double.self, forKey: .gpuMemoryUtilization) {
            flags.append(("gpu-memory-utilization", .string(String(value))))
        }
        if let value = try values.decodeIfPresent(Bool.self, forKey: .enablePrefixCaching) {
            flags.append(("enable-prefix-caching", .bool(value)))
        }
    }

    private static let wholeNumbers: [(CodingKeys, String)] = [
        (.tensorParallelSize, "tensor-parallel-size"), (.maxNumSeqs, "max-num-seqs"),
        (.maxNumBatchedTokens, "max-num-batched-tokens"), (.maxModelLen, "max-model-len"),
        (.blockSize, "block-size"), (.numGPUBlocks, "num-gpu-blocks-override"),
    ]

    /// The entries of a folder.
    /// - Throws: `InvalidInput` when there is no index or it is broken.
    public static func read(folder: String) throws -> [MeasuredRunEntry] {
        let path = folder + "/index.json"
        let bytes = try readWholeFile(path, limit: 1 << 28)
        do {
            return try JSONDecoder().decode([MeasuredRunEntry].self, from: Data(bytes))
        } catch let error as DecodingError {
            throw InvalidInput(error, source: path)
        }
    }
}
