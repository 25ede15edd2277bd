import ByteStreams
import Catalog
import Reports
import Scenarios
import ServingCore
import Workload

/// Tells sweeps apart: the same for the same specification, input files and release of Stepcast, wherever it runs.
struct Fingerprint {
    private var a: UInt64 = 0xcbf2_9ce4_8422_2325
    private var b: UInt64 = 0x8422_2325_cbf2_9ce4

    /// Fields whose text may be the path of a file.
    private static let files = ["trace", "workload", "oracle", "gpu", "model", "vllm-config"]

    /// The fingerprint of a sweep, 32 hexadecimal digits.
    /// - Throws: `InvalidInput` when an input cannot be read.
    static func of(_ specification: SweepSpecification, inputs: SharedInputs, shipped: ShippedFiles) throws
        -> String
    {
        var result = Fingerprint()
        result.add(stepcastVersion)
        result.add(specification.canonicalText)
        var seen: Set<String> = []
        for field in files {
            var values = specification.base.value(at: field).map { [$0] } ?? []
            for axis in specification.axes where axis.fields.contains(field) {
                for value in axis.values {
                    values += value.assignments.filter { $0.field == field }.map(\.value)
                }
            }
            if field == "oracle" { values += automaticOracles(specification, inputs) }
            for case .string(let text) in values {
                let path = try file(field, text, specification.base, shipped)
                guard let path, seen.insert(path).inserted else { continue }
                result.add(field)
                result.add(try readWholeFile(path))
            }
        }
        return result.text
    }

    /// Names of the oracles that the accelerators take unless told otherwise.
    private static func automaticOracles(_ specification: SweepSpecification, _ inputs: SharedInputs)
        -> [ConfigValue]
    {
        var names = specification.base.value(at: "gpu").map { [$0] } ?? []
        for axis in specification.axes where axis.fields.contains("gpu") {
            for value in axis.values { names += value.assignments.filter { $0.field == "gpu" }.map(\.value) }
        }
        return names.compactMap { name in
            guard case .string(let text) = name, let accelerator = try? inputs.accelerator(text) else {
                return nil
            }
            return .string(inputs.oracleName(accelerator))
        }
    }

    /// The file that a field's text stands for; nil when it is a name or a folder.
    private static func file(
        _ field: String, _ text: String, _ base: ScenarioFile, _ shipped: ShippedFiles
    ) throws -> String? {
        var path = text
        switch field {
        case "trace": path = base.path(relative: text)
        case "vllm-config": path = base.path(relative: text)
        case "workload":
            path = (try? WorkloadCatalog(folder: shipped.path("workloads")).path(of: text)) ?? text
        case "oracle":
            let shippedPath = shipped.path("models/oracles/\(text).json")
            if SweepFolder.exists(shippedPath) { path = shippedPath }
        default:
            guard text.contains("/") || text.contains(".json") || text.contains(".y") else { return nil }
        }
        return SweepFolder.isFile(path) ? path : nil
    }

    private mutating func add(_ text: String) { add(Array(text.utf8) + [0]) }

    private mutating func add(_ bytes: [UInt8]) {
        // FNV-1a over words of eight bytes, twice with different starts and mixing.
        bytes.withUnsafeBytes { buffer in
            var place = 0
            while place + 8 <= buffer.count {
                mix(buffer.loadUnaligned(fromByteOffset: place, as: UInt64.self))
                place += 8
            }
            var rest: UInt64 = UInt64(buffer.count) << 56
            while place < buffer.count {
                rest = rest &<< 8 ^ UInt64(buffer[place])
                place += 1
            }
            mix(rest)
        }
    }

    private mutating func mix(_ word: UInt64) {
        a = (a ^ word) &* 0x0000_0100_0000_01b3
        a ^= a >> 29
        b = (b &+ word) &* 0x9e37_79b9_7f4a_7c15
        b ^= b >> 32
    }

    private var text: String {
        [a, b].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
