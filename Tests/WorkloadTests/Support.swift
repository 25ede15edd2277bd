import ServingCore
import Testing

@testable import Workload

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Files that stand beside the package.
enum SharedData {
    /// Folder `../shared` from the package root.
    static let root: String = {
        var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        parts = parts.dropLast()
        return parts.joined(separator: "/") + "/shared"
    }()
    static let traces = root + "/data/request-traces"
    static let runs = root + "/data/real-runs"
    static let isThere = FileManager.default.fileExists(atPath: traces)
}

/// A folder for a test's files, removed by `remove()`.
struct TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/workload-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func write(_ text: String, as name: String) throws -> String {
        try write(Array(text.utf8), as: name)
    }

    func write(_ bytes: [UInt8], as name: String) throws -> String {
        let file = path + "/" + name
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}

/// Runs `body` with a file of this text.
func withFile<Result>(
    _ text: String, name: String = "input", _ body: (String) throws -> Result
) throws -> Result {
    let folder = try TemporaryFolder()
    defer { folder.remove() }
    return try body(folder.write(text, as: name))
}

/// All requests of a stream, later turns left out.
func drain(_ stream: RequestStream, limit: Int = .max) throws -> [IncomingRequest] {
    var stream = stream
    var request = IncomingRequest()
    var all: [IncomingRequest] = []
    while all.count < limit, try stream.next(&request) { all.append(request) }
    return all
}

/// A specification from YAML text.
func specification(_ yaml: String, source: String = "w.yaml") throws -> WorkloadSpecification {
    var warnings: [String] = []
    return try WorkloadSpecification(yaml: yaml, source: source, warnings: &warnings)
}

/// The message of the `InvalidInput` that `body` throws.
func complaint(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "nothing was thrown"
    } catch let error as InvalidInput {
        return error.description
    } catch {
        return "another error: \(error)"
    }
}

func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

/// Standard deviation over mean.
func variation(_ values: [Double]) -> Double {
    let m = mean(values)
    return mean(values.map { ($0 - m) * ($0 - m) }).squareRoot() / m
}

/// Gaps between arrivals, the first one from time 0, in seconds.
func gaps(_ requests: [IncomingRequest]) -> [Double] {
    var last: Ticks = 0
    return requests.map { request in
        defer { last = request.arrival }
        return (request.arrival - last).seconds
    }
}
