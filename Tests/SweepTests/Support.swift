import Catalog
import Foundation
import ServingCore

@testable import Sweep

let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path()
let shipped = ShippedFiles(home: packageRoot)

/// A folder that is removed when the test ends.
final class TemporaryFolder {
    let path = FileManager.default.temporaryDirectory.path + "/sweep-\(UUID().uuidString)"

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path + "/" + name)), as: UTF8.self)
    }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(filePath: path + "/" + name))
    }

    /// Every file in a folder inside, by name.
    func contents(of folder: String) throws -> [String: Data] {
        let names = try FileManager.default.contentsOfDirectory(atPath: path + "/" + folder)
        return try names.reduce(into: [:]) {
            $0[$1] = try Data(contentsOf: URL(filePath: "\(path)/\(folder)/\($1)"))
        }
    }
}

/// A sweep of a small model under a random load.
func sweepText(_ rest: String, requests: Int = 60, rate: Double = 8, uncertainty: Int = 0) -> String {
    """
    name: test
    base:
      model: llama-3.1-8b
      gpu: h100-sxm
      request-rate: \(rate)
      num-prompts: \(requests)
      random-input-len: 200
      random-output-len: 20
      uncertainty: \(uncertainty)
    \(rest)
    """
}

func specification(_ rest: String, requests: Int = 60, rate: Double = 8, uncertainty: Int = 0) throws
    -> SweepSpecification
{
    try SweepSpecification(
        yaml: sweepText(rest, requests: requests, rate: rate, uncertainty: uncertainty), source: "sweep.yaml")
}

/// What is said about a specification that cannot be used.
func complaint(_ rest: String) -> String {
    do {
        _ = try SweepRun(specification(rest), shipped: shipped)
        return "nothing"
    } catch {
        return "\(error)"
    }
}
