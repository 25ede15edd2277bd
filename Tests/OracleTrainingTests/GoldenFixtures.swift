import Foundation

/// Finds the numeric fixtures: `STEPCAST_GOLDEN`, else `../shared/training/golden` beside the package.
enum GoldenFixtures {
    static let folder: URL = {
        if let path = ProcessInfo.processInfo.environment["STEPCAST_GOLDEN"] {
            return URL(fileURLWithPath: path, isDirectory: true)
        }
        return URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("shared/training/golden", isDirectory: true)
    }()

    /// Whether there are any.
    static let present = FileManager.default.fileExists(atPath: folder.path)

    /// Cases of a kind, in order of name.
    static func cases(kind: String) -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }.sorted().filter {
            (try? GoldenCase($0))?.kind == kind
        }
    }
}

/// One fixture: its table and what is expected of it.
struct GoldenCase {
    var kind: String
    var columns: [String]
    /// Row-major; NaN where a field is empty.
    var rows: [[Double]]
    var json: [String: Any]

    init(_ name: String) throws {
        let data = try Data(contentsOf: GoldenFixtures.folder.appendingPathComponent(name + ".json"))
        json = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
        kind = json["kind"] as? String ?? ""
        let text = try String(
            contentsOf: GoldenFixtures.folder.appendingPathComponent(name + ".csv"), encoding: .utf8)
        let lines = text.split(separator: "\n")
        columns = lines.first.map { $0.split(separator: ",").map(String.init) } ?? []
        rows = lines.dropFirst().map { line in
            line.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) ?? .nan }
        }
    }

    /// A column by name.
    func column(_ name: String) -> [Double] {
        guard let j = columns.firstIndex(of: name) else { return [] }
        return rows.map { $0[j] }
    }

    /// The columns but those named, row-major, of the rows chosen.
    func matrix(without names: [String], rows chosen: [Int]? = nil) -> [Double] {
        let kept = columns.indices.filter { !names.contains(columns[$0]) }
        return (chosen ?? Array(rows.indices)).flatMap { i in kept.map { rows[i][$0] } }
    }

    var expected: [String: Any] { json["expected"] as? [String: Any] ?? [:] }
    var tolerance: [String: Any] { json["tolerance"] as? [String: Any] ?? [:] }
    var params: [String: Any] { json["params"] as? [String: Any] ?? [:] }
}

/// A number of a JSON object, nil when absent or null.
func number(_ object: [String: Any], _ key: String) -> Double? { (object[key] as? NSNumber)?.doubleValue }
/// Numbers of a JSON object; nil when absent or null.
func numbers(_ object: [String: Any], _ key: String) -> [Double]? {
    (object[key] as? [NSNumber])?.map(\.doubleValue)
}
