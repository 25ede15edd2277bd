import Foundation
import ServingCore

@testable import Catalog

/// Files beside the package that tests may use and that aren't part of it.
enum SharedData {
    static let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let folder = packageRoot + "/../shared/data"
    static var exists: Bool { FileManager.default.fileExists(atPath: folder) }

    static var modelConfigs: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder + "/model-configs")) ?? [])
            .filter { $0.hasSuffix(".json") }.sorted()
    }

    static func config(_ file: String) throws -> ModelArchitecture {
        try ModelCatalog(shipped).architecture(folder + "/model-configs/" + file)
    }

    static let shipped = ShippedFiles(home: packageRoot)

    static func catalogs() throws -> (models: ModelCatalog, gpus: AcceleratorCatalog) {
        (ModelCatalog(shipped), try AcceleratorCatalog(shipped))
    }

    /// A deployment from a command line.
    static func deployment(_ line: String, gpu: String = "h100", version: EngineVersion = .latest) throws
        -> Deployment
    {
        try Deployment(
            EngineConfiguration(serveCommand: "vllm serve " + line), gpu: gpu, version: version,
            shipped: shipped)
    }
}
