import ArgumentParser
import Catalog
import Reports
import ServingCore

/// `stepcast gpus`: the accelerators that ship, or the facts of one.
struct GPUsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gpus",
        abstract: "List the accelerators that ship, or show one accelerator's facts.",
        discussion: """
            An accelerator is named in any spelling (h100, H100-SXM, "NVIDIA GeForce RTX 4090"), or by a path to a file \
            with the fields of models/accelerators/accelerators.yaml.

            EXAMPLES
              stepcast gpus
              stepcast gpus h100-sxm --json
            """)

    @Argument(
        help: "Name or path of one accelerator.", completion: .file(extensions: ["yaml", "yml", "json"]))
    var name: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let catalog = try AcceleratorCatalog(ShippedFiles.locate())
        if let name {
            let facts = AcceleratorFacts(try catalog.accelerator(name))
            print(json ? try CatalogJSON.text(facts) : facts.text)
            return
        }
        let all = catalog.accelerators.map(AcceleratorFacts.init)
        if json {
            print(try CatalogJSON.text(all))
            return
        }
        var table = TextTable(
            ["name", "memory", "bandwidth", "BF16", "FP8", "FP4", "link", "host", "GPUs/node", "sm"],
            rightAligned: [1, 2, 3, 4, 5, 6, 7, 8, 9])
        for gpu in all {
            table.add([
                gpu.name, Readable.gibibytes(gpu.memoryBytes),
                AcceleratorFacts.bandwidth(gpu.memoryBandwidth),
                AcceleratorFacts.flops(gpu.bf16Flops), AcceleratorFacts.flops(gpu.fp8Flops),
                AcceleratorFacts.flops(gpu.fp4Flops), AcceleratorFacts.bandwidth(gpu.interconnectBandwidth),
                AcceleratorFacts.bandwidth(gpu.hostLinkBandwidth), "\(gpu.gpusPerNode)", "\(gpu.sm)",
            ])
        }
        print(table.text, terminator: "")
    }
}

/// What is printed about an accelerator, in the fields of its file.
private struct AcceleratorFacts: Encodable {
    let name: String
    let aliases: [String]
    let bf16Flops: Double
    let fp8Flops: Double?
    let fp4Flops: Double?
    let int8Ops: Double?
    let memoryBandwidth: Double
    let memoryBytes: Double
    let interconnectBandwidth: Double
    let interconnectLatency: Double
    let hostLinkBandwidth: Double
    let gpusPerNode: Int
    let sm: Int
    let pricePerHour: Double?
    let source: String

    enum CodingKeys: String, CodingKey {
        case name, aliases, sm, source
        case bf16Flops = "bf16_flops"
        case fp8Flops = "fp8_flops"
        case fp4Flops = "fp4_flops"
        case int8Ops = "int8_ops"
        case memoryBandwidth = "memory_bandwidth"
        case memoryBytes = "memory_bytes"
        case interconnectBandwidth = "interconnect_bandwidth"
        case interconnectLatency = "interconnect_latency"
        case hostLinkBandwidth = "host_link_bandwidth"
        case gpusPerNode = "gpus_per_node"
        case pricePerHour = "price_per_hour"
    }

    init(_ gpu: Accelerator) {
        name = gpu.name
        aliases = gpu.aliases
        bf16Flops = gpu.bf16Flops
        fp8Flops = gpu.fp8Flops
        fp4Flops = gpu.fp4Flops
        int8Ops = gpu.int8Ops
        memoryBandwidth = gpu.memoryBandwidth
        memoryBytes = gpu.memoryBytes
        interconnectBandwidth = gpu.interconnectBandwidth
        interconnectLatency = gpu.interconnectLatency
        hostLinkBandwidth = gpu.hostLinkBandwidth
        gpusPerNode = gpu.gpusPerNode
        sm = gpu.smVersion
        pricePerHour = gpu.pricePerHour
        source = gpu.source
    }

    static func flops(_ value: Double?) -> String {
        value.map { Readable.fixed($0 / 1e12, digits: 0) + " TF" } ?? "-"
    }

    static func bandwidth(_ value: Double) -> String { Readable.fixed(value / 1e9, digits: 0) + " GB/s" }

    var text: String {
        var lines: [(String, String)] = [("name", name), ("also called", aliases.joined(separator: ", "))]
        lines.append(
            (
                "memory",
                "\(Readable.gibibytes(memoryBytes)) as CUDA reports it, \(Self.bandwidth(memoryBandwidth))"
            ))
        lines.append(
            ("dense BF16, FP8, FP4", [bf16Flops, fp8Flops, fp4Flops].map(Self.flops).joined(separator: ", ")))
        lines.append(("dense INT8", Self.flops(int8Ops)))
        lines.append(
            (
                "GPU to GPU",
                "\(Self.bandwidth(interconnectBandwidth)) one way, \(Readable.fixed(interconnectLatency * 1e6, digits: 1)) us"
            ))
        lines.append(("GPU to host", "\(Self.bandwidth(hostLinkBandwidth)) one way"))
        lines.append(("GPUs per node", "\(gpusPerNode)"))
        lines.append(("compute capability", Readable.fixed(Double(sm) / 10, digits: 1)))
        if let pricePerHour { lines.append(("price per hour", "\(pricePerHour)")) }
        lines.append(("source", source))
        let width = lines.map(\.0.count).max() ?? 0
        return lines.map { $0.0 + String(repeating: " ", count: width - $0.0.count + 2) + $0.1 }.joined(
            separator: "\n")
    }
}
