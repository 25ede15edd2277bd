import ByteStreams
import Catalog
import LatencyOracle
import ServingCore
import Synchronization

/// The latency oracles that ship, and any other by path.
public struct OracleCatalog: Sendable {
    private let shipped: ShippedFiles

    /// Oracles of these shipped files.
    public init(_ shipped: ShippedFiles) { self.shipped = shipped }

    /// Names of the oracles that ship; `roofline` needs no file.
    public var names: [String] {
        ["roofline"]
            + shipped.files(in: "models/oracles", extensions: ["json"]).map { String($0.dropLast(5)) }
    }

    /// What stands for the oracle that fits the accelerator.
    public static let automatic = "auto"

    /// Name of the oracle for an accelerator: the one that shares the beginning of its name, else `generic`, else
    /// `roofline`.
    public func name(forAccelerator accelerator: String) -> String {
        let names = names
        let fitting = names.filter { accelerator == $0 || accelerator.hasPrefix($0 + "-") }
        if let best = fitting.max(by: { $0.count < $1.count }) { return best }
        return names.contains("generic") ? "generic" : "roofline"
    }

    /// The oracle of a name, or of a file.
    /// - Throws: `InvalidInput` for an unknown name and for a file that is no oracle.
    public func oracle(_ name: String) throws -> StepTimeOracle {
        if name == "roofline" { return .roofline }
        let ships = names.contains(name)
        let path = ships ? shipped.path("models/oracles/\(name).json") : name
        if ships, let known = Self.read.withLock({ $0[path] }) { return known }
        if path == name && !name.contains("/") && !name.hasSuffix(".json") {
            let near = nearestName(to: name, among: names).map { "; did you mean \($0)?" } ?? ""
            throw InvalidInput(
                .noSuchInput, field: "--oracle", value: name, "is not an oracle that ships" + near,
                accepted: names.joined(separator: ", ") + ", or a path")
        }
        let oracle = try StepTimeOracle(
            artifact: OracleArtifact(json: readWholeFile(path, limit: 1 << 30), source: path), source: path)
        if ships { Self.read.withLock { $0[path] = oracle } }
        return oracle
    }

    /// Shipped oracles read so far, by path: a sweep asks for the same one hundreds of times.
    private static let read = Mutex<[String: StepTimeOracle]>([:])
}
