import ByteStreams
import ServingCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A file and what it holds.
struct TraceFile: Equatable, Sendable {
    var path: String
    var kind: TraceKind
}

/// The files that describe one experiment: those of a folder, or a file given alone.
struct TraceExperiment: Sendable {
    /// The folder or the file.
    var name: String
    /// Native traces and tables: each stands for itself.
    var streamed: [TraceFile] = []
    /// OTLP, KV events and logs: read together.
    var assembledFiles: [TraceFile] = []
    /// Files of request-level measurements.
    var requestFiles: [TraceFile] = []
    /// What the files beside the traces and the folder's name say.
    var configuration = TraceConfiguration()
    /// Files that were not recognised.
    var ignored: [String] = []

    /// Finds the experiments that paths stand for, in the order of the paths, folders sorted by name.
    /// - Throws: `InvalidInput` when a path does not exist or nothing in it is a trace.
    static func find(paths: [String], options: TraceOptions) throws -> [TraceExperiment] {
        var experiments: [TraceExperiment] = []
        for path in paths {
            var isFolder = false
            guard fileExists(path, isFolder: &isFolder) else {
                throw InvalidInput(.noSuchInput, source: path, "does not exist")
            }
            let before = experiments.count
            if isFolder {
                try look(into: path, depth: 0, &experiments)
                guard experiments.count > before else {
                    throw InvalidInput(
                        .noSuchInput, source: path, "holds no trace",
                        accepted: "OTLP, native, CSV, KV-event, log or benchmark files")
                }
            } else {
                experiments.append(try alone(path))
            }
        }
        return experiments
    }

    /// One file, with what stands beside it when its folder is that of one run.
    private static func alone(_ path: String) throws -> TraceExperiment {
        let kind = try TraceKind.recognise(path: path)
        var experiment = TraceExperiment(name: path)
        switch kind {
        case .unknown:
            let bytes = try? readHead(path)
            throw InvalidInput(
                source: path, bytes?.isEmpty == true ? "is empty" : "is not a trace in any known form",
                accepted: "OTLP, native, CSV, KV-event, log or benchmark files")
        case .native, .stepTable: experiment.streamed = [TraceFile(path: path, kind: kind)]
        case .benchResult, .requestMetrics: experiment.requestFiles = [TraceFile(path: path, kind: kind)]
        case .otlpJSON, .otlpProtobuf, .kvEvents, .log:
            experiment.assembledFiles = [TraceFile(path: path, kind: kind)]
        }
        if kind != .native, kind != .stepTable {
            try experiment.readConfiguration(inFolder: folder(of: path), allFiles: false)
        }
        return experiment
    }

    private static func look(
        into folder: String, depth: Int, _ experiments: inout [TraceExperiment]
    ) throws {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        } catch {
            throw InvalidInput(.noSuchInput, source: folder, "cannot be read")
        }
        var experiment = TraceExperiment(name: folder)
        var folders: [String] = []
        for name in names where !name.hasPrefix(".") {
            let path = folder.hasSuffix("/") ? folder + name : folder + "/" + name
            var isFolder = false
            guard fileExists(path, isFolder: &isFolder) else { continue }
            if isFolder {
                folders.append(path)
                continue
            }
            if isConfigurationFile(name) { continue }
            let kind: TraceKind
            do {
                kind = try TraceKind.recognise(path: path)
            } catch let problem as InvalidInput {
                if name.hasSuffix(".zst") || name.hasPrefix("traces") { throw problem }
                experiment.ignored.append(path)
                continue
            }
            let file = TraceFile(path: path, kind: kind)
            switch kind {
            case .native, .stepTable: experiment.streamed.append(file)
            case .otlpJSON, .otlpProtobuf, .kvEvents, .log: experiment.assembledFiles.append(file)
            case .benchResult, .requestMetrics: experiment.requestFiles.append(file)
            case .unknown: experiment.ignored.append(path)
            }
        }
        // Results of a load generator stand in a folder of their own inside the experiment's.
        for path in folders where path.hasSuffix("/results") && !experiment.assembledFiles.isEmpty {
            var inner: [TraceExperiment] = []
            try look(into: path, depth: depth + 1, &inner)
            for result in inner { experiment.requestFiles += result.requestFiles }
        }
        if !experiment.streamed.isEmpty || !experiment.assembledFiles.isEmpty
            || !experiment.requestFiles.isEmpty
        {
            try experiment.readConfiguration(inFolder: folder, allFiles: true)
            experiments.append(experiment)
        }
        guard depth < 8 else { return }
        for path in folders where !(path.hasSuffix("/results") && !experiment.assembledFiles.isEmpty) {
            try look(into: path, depth: depth + 1, &experiments)
        }
    }

    private static func isConfigurationFile(_ name: String) -> Bool {
        ["config.json", "exp-config.yaml", "exp-config.yml", "profile.yaml", "EXPECT.json"].contains(name)
    }

    /// Reads what the files of a folder and its name say about the deployment.
    private mutating func readConfiguration(inFolder folder: String, allFiles: Bool) throws {
        var sources: [String] = []
        for name in ["config.json", "exp-config.yaml", "exp-config.yml"] {
            let path = folder.isEmpty ? name : folder + "/" + name
            var isFolder = false
            guard fileExists(path, isFolder: &isFolder), !isFolder else { continue }
            let found =
                name.hasSuffix("json")
                ? try TraceConfiguration(runConfig: path) : try TraceConfiguration(experimentConfig: path)
            guard let found else { continue }
            try configuration.merge(found, from: path, existing: sources.last ?? "nothing")
            sources.append(path)
        }
        if let named = TraceConfiguration(folderName: lastComponent(folder)) {
            try configuration.merge(
                named, from: "the folder name \(lastComponent(folder))", existing: sources.last ?? "nothing")
        }
    }
}

func fileExists(_ path: String, isFolder: inout Bool) -> Bool {
    FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
}

private func readHead(_ path: String) throws -> [UInt8] {
    var stream = try ByteStream(path: path)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 16)
    defer { buffer.deallocate() }
    while true {
        switch try stream.read(into: buffer) {
        case .bytes(let count): return Array(buffer[..<count])
        case .end: return []
        case .frameEnd, .frameDamaged: continue
        }
    }
}

func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

func lastComponent(_ path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
}
