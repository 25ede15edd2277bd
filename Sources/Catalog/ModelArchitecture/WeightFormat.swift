/// How a weight matrix is stored, and what its products are computed in.
public struct WeightFormat: Sendable, Equatable, Hashable {
    /// Name as in reports and features: `bf16`, `fp16`, `fp32`, `fp8`, `int8`, `int4`, `mxfp4`, `nvfp4`.
    public var name: String
    /// Bytes per parameter, scales and zero points included.
    public var bytesPerParameter: Double

    /// Brain floating point.
    public static let bf16 = WeightFormat(name: "bf16", bytesPerParameter: 2)
    /// Half precision.
    public static let fp16 = WeightFormat(name: "fp16", bytesPerParameter: 2)
    /// Single precision.
    public static let fp32 = WeightFormat(name: "fp32", bytesPerParameter: 4)
    /// 8-bit floating point with one float32 scale per `group` weights (0: per tensor or channel).
    public static func fp8(group: Int = 0) -> WeightFormat {
        WeightFormat(name: "fp8", bytesPerParameter: 1 + (group > 0 ? 4 / Double(group) : 0))
    }
    /// 8-bit integers with a scale per channel.
    public static let int8 = WeightFormat(name: "int8", bytesPerParameter: 1)
    /// Integers of `bits` bits with a 16-bit scale (and, if `zeroPoint`, a zero point) per `group` weights.
    public static func grouped(bits: Int, group: Int, zeroPoint: Bool) -> WeightFormat {
        let overhead = group > 0 ? (16 + (zeroPoint ? Double(bits) : 0)) / Double(group) : 0
        return WeightFormat(name: "int\(bits)", bytesPerParameter: (Double(bits) + overhead) / 8)
    }
    /// 4-bit floating point with an 8-bit scale per 32 weights (OCP Microscaling).
    public static let mxfp4 = WeightFormat(name: "mxfp4", bytesPerParameter: 4.25 / 8)
    /// 4-bit floating point with an 8-bit scale per 16 weights (NVIDIA).
    public static let nvfp4 = WeightFormat(name: "nvfp4", bytesPerParameter: 4.5 / 8)
}
