import ServingCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The workloads in a folder, by name: `chat` is the folder's `chat.yaml`.
public struct WorkloadCatalog: Sendable {
    /// The folder.
    public let folder: String

    /// Workloads of a folder, which may be missing.
    public init(folder: String) { self.folder = folder }

    private static let extensions = [".yaml", ".yml", ".json"]

    /// Names of what is there, sorted.
    public var names: [String] {
        let files = (try? entries(of: folder)) ?? []
        return files.compactMap { file in
            Self.extensions.first { file.hasSuffix($0) }.map { String(file.dropLast($0.count)) }
        }
    }

    /// The file that a name or a path stands for: a file or folder of that path if there is one, else a shipped
    /// workload.
    /// - Throws: `InvalidInput` of kind `noSuchInput` that names the nearest workload.
    public func path(of name: String) throws(InvalidInput) -> String {
        let known = names
        if known.contains(name) {
            for suffix in Self.extensions
            where FileManager.default.fileExists(atPath: "\(folder)/\(name)\(suffix)") {
                return "\(folder)/\(name)\(suffix)"
            }
        }
        if FileManager.default.fileExists(atPath: name) { return name }
        let accepted =
            nearestName(to: name, among: known).map { "did you mean \($0)?" }
            ?? (known.isEmpty ? "a path to a workload file" : known.joined(separator: ", ") + ", or a path")
        throw InvalidInput(
            .noSuchInput, value: name, "is neither a file nor a workload that ships", accepted: accepted)
    }
}
