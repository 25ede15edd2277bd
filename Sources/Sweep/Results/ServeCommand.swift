import Catalog
import Scenarios
import ServingCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension SweepResults {
    /// The `vllm serve` line of an outcome: flags as the scenario has them, the model by its name on Hugging Face.
    public func serveCommand(of outcome: SweepOutcome) throws -> String {
        let file = try run.scenarioFile(configuration(outcome))
        var words: [String] = []
        let model: String?
        if case .string(let line)? = file.value(at: "vllm-serve") {
            // The line that was pasted, with what differs behind: the last of two equal flags counts.
            words = [line.trimmingTrailingSpace()]
            model = nil
        } else {
            words = ["vllm", "serve"]
            if case .string(let name)? = file.value(at: "model") { model = name } else { model = nil }
        }
        if let model { words.append(EngineConfiguration.shellQuoted(run.repository(of: model))) }
        if case .string(let path)? = file.value(at: "vllm-config") {
            words += ["--config", EngineConfiguration.shellQuoted(absolutePath(file.path(relative: path)))]
        }
        for name in file.fieldNames {
            guard let flag = EngineConfiguration.argumentName(name), name != "model",
                !ownFields.contains(name)
            else {
                continue
            }
            words += EngineConfiguration.commandLine(flag, file.value(at: name) ?? .null)
        }
        return words.joined(separator: " ")
    }

    /// Fields that vLLM knows under the same name but with another meaning in a scenario.
    private var ownFields: Set<String> { ["seed"] }

    /// A shell script that starts one replica of an outcome.
    func serveScript(of outcome: SweepOutcome) throws -> String {
        let scenario = try run.scenarioFile(configuration(outcome)).scenario()
        var lines = ["#!/bin/sh", "# The best configuration of the sweep \(specification.name)."]
        let gpu = scenario.gpu ?? "?"
        let all = Int(outcome.values["gpus"] ?? 0)
        if scenario.replicas > 1 {
            lines.append(
                "# One of \(scenario.replicas) replicas behind a \(scenario.router.rawValue) router, "
                    + "\(all / scenario.replicas) x \(gpu) each.")
        } else {
            lines.append("# On \(all) x \(gpu).")
        }
        return lines.joined(separator: "\n") + "\nexec " + (try serveCommand(of: outcome)) + " \"$@\"\n"
    }
}

extension SweepRun {
    var workloadFolder: String { shippedFiles.path("workloads") }

    /// A model's name on Hugging Face; the name itself when it is none that ships.
    func repository(of model: String) -> String {
        if model.contains("/") { return model }
        let entry = (try? ModelCatalog(shippedFiles).entry(named: model)) ?? nil
        return entry?.repositories.first ?? model
    }
}

extension String {
    fileprivate func trimmingTrailingSpace() -> String {
        var text = self
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}

/// A path that holds from every folder, its `.` and `..` taken out.
func absolutePath(_ path: String) -> String {
    let whole = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
    var parts: [Substring] = []
    for part in whole.split(separator: "/") where part != "." {
        if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
}
