import ByteStreams
import ServingCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension TraceConfiguration {
    /// Reads a `config.json` beside a trace: model, engine flags, resolved settings, measured rates.
    /// - Returns: nil when the file is something else (a model's own config.json, say).
    /// - Throws: `InvalidInput` when it is not valid JSON or a field has the wrong type.
    init?(runConfig path: String) throws {
        try self.init(runConfig: readWholeFile(path, limit: 16 << 20), path: path)
    }

    init?(runConfig bytes: [UInt8], path: String) throws {
        let file: RunConfigFile
        do {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            file = try decoder.decode(RunConfigFile.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw InvalidInput(error, source: path)
        }
        guard file.modelName ?? file.model != nil || file.engineFlags != nil else { return nil }
        self.init()
        model = file.modelName ?? file.model
        accelerator = file.hardware?.name ?? file.gpu
        weightFormat = file.weightDtype.map(Self.shortFormat)
        tensorParallelSize = try file.tensorParallelSize.map {
            try Self.positive($0, "tensor_parallel_size", path)
        }
        if let flags = file.engineFlags {
            maxModelLen = flags.maxModelLen
            maxNumBatchedTokens = flags.maxNumBatchedTokens
            maxNumSeqs = flags.maxNumSeqs
            prefixCaching = flags.enablePrefixCaching
            chunkedPrefill = flags.enableChunkedPrefill
            enforceEager = flags.enforceEager
            asyncScheduling = flags.asyncScheduling
            dataParallelSize = flags.dataParallelSize
            if tensorParallelSize == nil { tensorParallelSize = flags.tensorParallelSize }
        }
        if let resolved = file.resolved?.asyncScheduling { asyncScheduling = resolved }
        blockSize = try (file.blockSize ?? file.engineFlags?.blockSize).map {
            try Self.positive($0, "block_size", path)
        }
        if let blocks = file.numGpuBlocks, blocks > 1 { kvBlocks = blocks - 1 }
        engineVersion = file.vllmVersion
        measuredHardware = file.measuredRates
        modelConfigJSON = try Self.memberText("model_config", of: bytes)
    }

    /// Reads the `exp-config.yaml` of a training experiment: flat `key: value` lines.
    init?(experimentConfig path: String) throws {
        try self.init(experimentConfig: readWholeFile(path, limit: 1 << 20), path: path)
    }

    init?(experimentConfig bytes: [UInt8], path: String) throws {
        let text = String(decoding: bytes, as: UTF8.self)
        self.init()
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard let first = line.first, first != " ", first != "#", first != "-",
                let colon = line.firstIndex(of: ":")
            else { continue }
            let key = String(line[..<colon].map { $0 == "-" ? "_" : $0 })
            let value = Self.scalar(line[line.index(after: colon)...])
            guard !value.isEmpty else { continue }
            func whole() throws -> Int {
                guard let number = Int(value), number > 0 else {
                    throw InvalidInput(
                        source: path, line: index + 1, field: key, value: value,
                        "is not a whole number above 0")
                }
                return number
            }
            switch key {
            case "model": model = value
            case "gpu", "accelerator", "hardware": accelerator = value
            case "tensor_parallelism", "tensor_parallel_size", "tp": tensorParallelSize = try whole()
            case "data_parallelism", "data_parallel_size", "dp": dataParallelSize = try whole()
            case "max_model_len": maxModelLen = try whole()
            case "max_num_batched_tokens": maxNumBatchedTokens = try whole()
            case "max_num_seqs": maxNumSeqs = try whole()
            case "block_size": blockSize = try whole()
            case "async_scheduling": asyncScheduling = value == "true"
            case "enable_prefix_caching": prefixCaching = value == "true"
            case "enable_chunked_prefill": chunkedPrefill = value == "true"
            case "enforce_eager": enforceEager = value == "true"
            default: break
            }
        }
    }

    /// Reads `<YYYYMMDD-HHMMSS>-<model>-tp<N>-<workload>`.
    /// - Returns: nil when the name is built otherwise.
    init?(folderName name: String) {
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 5, parts[0].utf8.count == 8, parts[1].utf8.count == 6,
            parts[0].allSatisfy(\.isNumber), parts[1].allSatisfy(\.isNumber),
            let place = parts.lastIndex(where: { part in
                part.hasPrefix("tp") && part.count > 2 && part.dropFirst(2).allSatisfy(\.isNumber)
            }), place > 2, let size = Int(parts[place].dropFirst(2)), size > 0
        else { return nil }
        self.init()
        model = parts[2..<place].joined(separator: "-")
        tensorParallelSize = size
    }

    private static func positive(_ value: Int, _ field: String, _ path: String) throws -> Int {
        guard value > 0 else {
            throw InvalidInput(source: path, field: field, value: "\(value)", "is not a whole number above 0")
        }
        return value
    }

    private static func scalar(_ text: Substring) -> String {
        var value = text
        if let comment = value.firstIndex(of: "#"),
            comment == value.startIndex || value[..<comment].last == " "
        {
            value = value[..<comment]
        }
        while let first = value.first, first.isWhitespace || first == "\"" || first == "'" {
            value.removeFirst()
        }
        while let last = value.last, last.isWhitespace || last == "\"" || last == "'" { value.removeLast() }
        return String(value)
    }

    /// `bfloat16` -> `bf16`, as accelerators' tables call it.
    static func shortFormat(_ name: String) -> String {
        switch name.lowercased() {
        case "bfloat16", "torch.bfloat16", "float16", "half", "torch.float16": "bf16"
        default: name.lowercased()
        }
    }

    /// The text of a member of a JSON object.
    private static func memberText(_ key: String, of bytes: [UInt8]) throws -> String? {
        var json = JSONScanner(bytes.span.bytes)
        do {
            try json.beginObject()
            var first = true
            while try json.nextKey(&first) {
                let isWanted = json.stringText == key
                _ = json.peek()
                let start = json.position
                try json.skipValue()
                if isWanted { return String(decoding: bytes[start..<json.position], as: UTF8.self) }
            }
        } catch {}
        return nil
    }
}

/// What of a `config.json` beside a trace is read.
private struct RunConfigFile: Decodable {
    struct Flags: Decodable {
        var maxModelLen: Int?
        var maxNumBatchedTokens: Int?
        var maxNumSeqs: Int?
        var blockSize: Int?
        var enablePrefixCaching: Bool?
        var enableChunkedPrefill: Bool?
        var enforceEager: Bool?
        var asyncScheduling: Bool?
        var tensorParallelSize: Int?
        var dataParallelSize: Int?
    }
    struct Resolved: Decodable {
        var asyncScheduling: Bool?
    }
    struct Hardware: Decodable {
        var name: String?
        var ramGib: Double?
        var measured: [String: Double]?
    }

    var modelName: String?
    var model: String?
    var gpu: String?
    var weightDtype: String?
    var tensorParallelSize: Int?
    var ompThreadsPerWorker: Int?
    var numGpuBlocks: Int?
    var blockSize: Int?
    var vllmVersion: String?
    var engineFlags: Flags?
    var resolved: Resolved?
    var hardware: Hardware?

    /// The largest matrix rate and the read bandwidth for the worker's number of threads.
    var measuredRates: TraceConfiguration.MeasuredHardware? {
        guard let measured = hardware?.measured else { return nil }
        let threads = "\(ompThreadsPerWorker ?? 1)thr"
        var peak = 0.0
        var bandwidth = 0.0
        for (name, value) in measured where name.contains(threads) && value.isFinite {
            if name.contains("gemm"), name.hasSuffix("gflops") { peak = max(peak, value * 1e9) }
            if name.hasPrefix("read_bandwidth"), name.hasSuffix("GBps") {
                bandwidth = max(bandwidth, value * 1e9)
            }
        }
        guard peak > 0, bandwidth > 0 else { return nil }
        return .init(
            peakFlops: peak, memoryBandwidth: bandwidth, memoryBytes: (hardware?.ramGib ?? 0) * 1_073_741_824)
    }
}
