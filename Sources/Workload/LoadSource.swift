import ServingCore

/// A workload or trace that has been read, from which requests are made as often as wanted without reading it again.
public struct LoadSource: Sendable {
    enum Content: Sendable {
        case specification(WorkloadSpecification, warnings: [String])
        case trace(RequestTrace)
        case folder(ServeGenFolder)
    }

    let content: Content

    /// Reads a file or a ServeGen folder, recognised by its content.
    /// - Parameter options: how to read a trace; see `LoadRequest.applied(to:)`.
    /// - Throws: `InvalidInput`.
    public init(contentsOf path: String, options: TraceOptions) throws {
        switch try InputKind(of: path) {
        case .csv, .jsonLines: content = .trace(try RequestTrace(contentsOf: path, options: options))
        case .yaml:
            var warnings: [String] = []
            let specification = try WorkloadSpecification(contentsOf: path, warnings: &warnings)
            content = .specification(specification, warnings: warnings)
        case .folder: content = .folder(try ServeGenFolder(path: path))
        }
    }

    /// A specification in YAML.
    /// - Parameter source: what messages call it.
    /// - Throws: `InvalidInput`.
    public init(specification yaml: String, source: String) throws {
        var warnings: [String] = []
        let specification = try WorkloadSpecification(yaml: yaml, source: source, warnings: &warnings)
        content = .specification(specification, warnings: warnings)
    }
}
