import ServingCore

/// What a GPU type can do: the facts that time and memory follow from. Rates are peaks, dense, without sparsity.
public struct Accelerator: Sendable, Equatable {
    /// Name in the table, such as `h100-sxm`.
    public var name: String
    /// Other names it answers to.
    public var aliases: [String] = []
    /// FLOP/s with 16-bit floating point.
    public var bf16Flops: Double
    /// FLOP/s with 8-bit floating point; nil where the hardware has none.
    public var fp8Flops: Double?
    /// FLOP/s with 4-bit floating point; nil where the hardware has none.
    public var fp4Flops: Double?
    /// Operations/s with 8-bit integers; nil where unknown.
    public var int8Ops: Double?
    /// Memory bandwidth, bytes/s.
    public var memoryBandwidth: Double
    /// Memory that CUDA reports as total (`cudaMemGetInfo`), bytes: less than the driver's table by its reserve.
    public var memoryBytes: Double
    /// GPU-to-GPU bandwidth in one direction inside a node, bytes/s: NVLink where there is one, else PCIe.
    public var interconnectBandwidth: Double
    /// Latency of one GPU-to-GPU message, seconds.
    public var interconnectLatency: Double
    /// Host link bandwidth in one direction, bytes/s.
    public var hostLinkBandwidth: Double
    /// GPUs in one node.
    public var gpusPerNode: Int
    /// Compute capability times ten: 80, 89, 90, 100, 103, 120.
    public var smVersion: Int
    /// Price of one GPU for one hour, in any currency; nil when not given.
    public var pricePerHour: Double?
    /// Where the facts come from.
    public var source: String

    /// Peak FLOP/s of products with weights of a format: the native rate where the hardware has it, else the rate of the
    /// 16-bit arithmetic the weights are unpacked to.
    public func peakFlops(_ format: WeightFormat) -> Double {
        switch format.name {
        case "fp8": fp8Flops ?? bf16Flops
        case "int8": int8Ops ?? bf16Flops
        case "nvfp4", "mxfp4": fp4Flops ?? bf16Flops
        case "fp32": bf16Flops / 2
        default: bf16Flops
        }
    }

    /// Blackwell data-centre GPUs capture larger CUDA graphs.
    public var isDataCenterBlackwell: Bool { (100..<110).contains(smVersion) }

    /// Whether vLLM's defaults treat it as an A100.
    public var isA100: Bool { smVersion == 80 && name.contains("a100") }

    /// Reads one entry of the table.
    init(_ reader: ConfigReader) throws {
        func required(_ field: String, in range: ClosedRange<Double>) throws -> Double {
            guard let value = try reader.number(field, in: range) else {
                throw reader.error(field, nil, "is missing", accepted: "a number")
            }
            return value
        }
        let known: Set<String> = [
            "name", "aliases", "bf16_flops", "fp8_flops", "fp4_flops", "int8_ops", "memory_bandwidth",
            "memory_bytes",
            "interconnect", "interconnect_bandwidth", "interconnect_latency", "host_link_bandwidth",
            "gpus_per_node",
            "sm", "price_per_hour", "source",
        ]
        for field in reader.fields.keys.sorted() where !known.contains(field) {
            let nearest = nearestName(to: field, among: known.sorted())
            throw reader.error(
                field, nil,
                "is not a field of an accelerator" + (nearest.map { "; did you mean \($0)?" } ?? ""))
        }
        guard let name = try reader.string("name") else { throw reader.error("name", nil, "is missing") }
        self.name = name
        aliases = try reader.strings("aliases") ?? []
        bf16Flops = try required("bf16_flops", in: 1e9...1e20)
        fp8Flops = try reader.number("fp8_flops", in: 1e9...1e20)
        fp4Flops = try reader.number("fp4_flops", in: 1e9...1e20)
        int8Ops = try reader.number("int8_ops", in: 1e9...1e20)
        memoryBandwidth = try required("memory_bandwidth", in: 1e6...1e17)
        memoryBytes = try required("memory_bytes", in: 1e6...1e16)
        hostLinkBandwidth = try required("host_link_bandwidth", in: 1e6...1e16)
        interconnectBandwidth =
            try reader.number("interconnect_bandwidth", in: 1e6...1e16) ?? hostLinkBandwidth
        interconnectLatency = try reader.number("interconnect_latency", in: 0...1) ?? 1e-5
        gpusPerNode = try reader.count("gpus_per_node", in: 1...100_000) ?? 8
        smVersion = try reader.requiredCount("sm", in: 10...1000)
        pricePerHour = try reader.number("price_per_hour", in: 0...1e9)
        source = try reader.string("source") ?? reader.source
    }
}
