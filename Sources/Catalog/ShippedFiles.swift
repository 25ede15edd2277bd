import ServingCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Where the files that ship with Stepcast live at run time: `models/` and `workloads/`.
///
/// The home is `STEPCAST_HOME` if set; else the nearest folder above the executable that holds
/// `models/accelerators`; else the nearest such folder from the current one upward.
public struct ShippedFiles: Sendable {
    /// The folder that holds `models/` and `workloads/`.
    public let home: String

    /// Files under a known home.
    public init(home: String) { self.home = home }

    /// Finds the home.
    /// - Throws: `InvalidInput(.noSuchInput)` when there is none.
    public static func locate(
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> ShippedFiles {
        if let home = environment["STEPCAST_HOME"], !home.isEmpty {
            guard holdsCatalog(home) else {
                throw InvalidInput(
                    .noSuchInput, field: "STEPCAST_HOME", value: home, "holds no models/accelerators")
            }
            return ShippedFiles(home: home)
        }
        for start in [executablePath(), FileManager.default.currentDirectoryPath].compactMap({ $0 }) {
            var folder = start
            while true {
                if holdsCatalog(folder) { return ShippedFiles(home: folder) }
                guard let slash = folder.lastIndex(of: "/"), folder.count > 1 else { break }
                folder = slash == folder.startIndex ? "/" : String(folder[..<slash])
            }
        }
        throw InvalidInput(
            .noSuchInput,
            "the files that ship with stepcast were not found: set STEPCAST_HOME to the folder that holds models/"
        )
    }

    /// Path of a shipped file or folder, such as `models/architectures`.
    public func path(_ relative: String) -> String { home + "/" + relative }

    /// Names of the files in a shipped folder with one of `extensions`, sorted; none when there is no such folder.
    public func files(in folder: String, extensions: [String] = ["yaml", "yml", "json"]) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path(folder))) ?? []
        return names.filter { name in extensions.contains { name.hasSuffix("." + $0) } }.sorted()
    }

    private static func holdsCatalog(_ folder: String) -> Bool {
        isFolder((folder == "/" ? "" : folder) + "/models/accelerators")
    }

    static func isFolder(_ path: String) -> Bool {
        var directory = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &directory) && directory
    }

    static func isFile(_ path: String) -> Bool {
        var directory = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &directory) && !directory
    }

    /// The real path of the running executable.
    private static func executablePath() -> String? {
        if let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
            return target
        }
        guard let first = CommandLine.arguments.first else { return nil }
        let absolute = first.hasPrefix("/") ? first : FileManager.default.currentDirectoryPath + "/" + first
        guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: absolute) else {
            return absolute
        }
        guard !target.hasPrefix("/") else { return target }
        return (absolute.lastIndex(of: "/").map { String(absolute[...$0]) } ?? "") + target
    }
}
