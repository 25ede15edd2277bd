import ServingCore

/// The link between one GPU and host memory, PCIe or NVLink-C2C, as copies of KV blocks see it.
///
/// All ranks of an engine copy the same blocks at the same time, each its own part over its own link, so one link
/// stands for all. Both directions work at once; within one, copies run one after the other in the order of their
/// submission, as vLLM chains its CUDA streams (`v1/kv_offload/cpu/gpu_worker.py`).
public struct HostLinkConfiguration: Sendable, Equatable {
    /// Peak bandwidth in one direction, bytes/s; more than 0, may be infinite.
    public var bandwidth: Double
    /// Seconds from submission of a copy to its first byte.
    public var latency = 1e-5
    /// Share of the peak that copies from and to pinned memory reach.
    public var efficiency = Self.pinnedMemoryEfficiency
    /// Bytes of one KV block on one rank.
    public var bytesPerBlock: Double
    /// Bytes of weights that every step reads over the link, ahead of what is submitted after it.
    public var weightBytesPerStep = 0.0

    /// PCIe 5.0 x16 moves 64 GB/s of symbols; large copies from pinned memory reach about 55 GB/s (NVIDIA's
    /// `bandwidthTest` on H100), and other generations the same share.
    public static let pinnedMemoryEfficiency = 0.85

    /// A link of this bandwidth that copies blocks of this size.
    public init(bandwidth: Double, bytesPerBlock: Double) {
        self.bandwidth = bandwidth
        self.bytesPerBlock = bytesPerBlock
    }

    /// How long a copy of `bytes` takes by itself.
    func duration(bytes: Double) -> Ticks { Ticks(seconds: latency + bytes / (bandwidth * efficiency)) }
}

/// One direction of a link.
struct LinkDirection {
    /// When the last copy submitted ends.
    private(set) var freeAt: Ticks = 0
    /// Time in which it was copying.
    private(set) var busy: Ticks = 0

    /// Puts a copy behind those submitted before.
    /// - Returns: when it ends.
    mutating func submit(at time: Ticks, duration: Ticks) -> Ticks {
        freeAt = max(freeAt, time) + duration
        busy += duration
        return freeAt
    }
}
