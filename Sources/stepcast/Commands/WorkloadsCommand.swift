import ArgumentParser
import Catalog
import Reports
import ServingCore
import Workload

/// `stepcast workloads`: the workloads that ship, or what one amounts to.
struct WorkloadsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workloads",
        abstract: "List the workloads that ship, or sum up one workload or request trace.",
        discussion: """
            A workload is named, or given by a path to a YAML specification, an inference-perf profile or a request \
            trace (Azure, Mooncake, Qwen-Bailian, BurstGPT, Vidur, a ServeGen folder, or any CSV with columns for \
            arrival, prompt and output length; plain or zstd).

            The shared share is that of prompt tokens which an earlier prompt or answer began with: what a prefix \
            cache without limits would hit.

            EXAMPLES
              stepcast workloads
              stepcast workloads rag --limit 1000
              stepcast workloads trace.jsonl.zst --json
            """)

    @Argument(help: "Name or path of one workload or trace.", completion: .file())
    var name: String?

    @Flag(help: "Print JSON.")
    var json = false

    @Option(help: "Look at this many requests at most.")
    var limit: Int?

    @Option(help: "Seed of the random draws.")
    var seed: UInt64 = 0

    func run() throws {
        if let limit, limit < 1 {
            throw InvalidInput(
                .usage, field: "--limit", value: "\(limit)", "is out of range",
                accepted: "a whole number of at least 1")
        }
        let catalog = WorkloadCatalog(folder: try Self.folder(optional: name != nil))
        if let name {
            let stream = try RequestStream(contentsOf: catalog.path(of: name), seed: seed)
            let summary = try WorkloadSummary(stream, limit: limit ?? 100_000)
            print(json ? try CatalogJSON.text(summary) : text(summary))
            return
        }
        let all = try catalog.names.map { name in
            var warnings: [String] = []
            let path = try catalog.path(of: name)
            let specification = try WorkloadSpecification(contentsOf: path, warnings: &warnings)
            let summary = try WorkloadSummary(RequestStream(specification, seed: seed), limit: limit ?? 2000)
            return Entry(name: name, description: specification.description, path: path, summary: summary)
        }
        if json {
            print(try CatalogJSON.text(all))
            return
        }
        var table = TextTable(
            ["name", "req/s", "mean in", "p99 in", "mean out", "p99 out", "shared", "description"],
            rightAligned: [1, 2, 3, 4, 5, 6])
        for entry in all {
            let summary = entry.summary
            table.add([
                entry.name, Readable.fixed(summary.requestRate, digits: 2),
                Readable.fixed(summary.inputLengths.mean, digits: 0), "\(summary.inputLengths.p99)",
                Readable.fixed(summary.outputLengths.mean, digits: 0), "\(summary.outputLengths.p99)",
                percent(summary.sharedPrefixShare), entry.description,
            ])
        }
        print(table.text, terminator: "")
    }

    /// Folder of the workloads that ship; when a path may be meant, it need not exist.
    static func folder(optional: Bool = true) throws -> String {
        do {
            return try ShippedFiles.locate().path("workloads")
        } catch {
            guard optional else { throw error }
            return "workloads"
        }
    }

    private func text(_ summary: WorkloadSummary) -> String {
        var table = TextTable(
            ["", "mean", "min", "p50", "p90", "p99", "max"], rightAligned: [1, 2, 3, 4, 5, 6])
        for (name, lengths) in [
            ("input tokens", summary.inputLengths), ("output tokens", summary.outputLengths),
        ] {
            table.add([
                name, Readable.fixed(lengths.mean, digits: 1), "\(lengths.min)", "\(lengths.p50)",
                "\(lengths.p90)",
                "\(lengths.p99)", "\(lengths.max)",
            ])
        }
        var lines = summary.warnings.map { "warning: \($0)" }
        let more = summary.isPartial ? " (the first; there are more)" : ""
        let turns = summary.requests > summary.arrivals ? ", \(summary.requests) with later turns" : ""
        lines.append("requests         \(summary.arrivals)\(turns)\(more)")
        if summary.duration > 0 {
            lines.append("duration         \(Readable.fixed(summary.duration, digits: 1)) s")
            lines.append(
                "arrivals         \(Readable.fixed(summary.requestRate, digits: 3)) /s, at most "
                    + "\(summary.peakRequestsPerSecond) in a second, gaps with CV "
                    + Readable.fixed(summary.gapVariation, digits: 2))
        } else {
            lines.append("arrivals         all at once")
        }
        if let limit = summary.maxConcurrency { lines.append("max concurrency  \(limit)") }
        if let timeout = summary.clientTimeout {
            lines.append("client timeout   \(Readable.fixed(timeout, digits: 1)) s")
        }
        lines.append("shared prefix    \(percent(summary.sharedPrefixShare)) of input tokens")
        if summary.priorities.count > 1 {
            let shares = summary.priorities.sorted { $0.key < $1.key }.map {
                "\($0.key): \(percent(Double($0.value) / Double(summary.requests)))"
            }
            lines.append("priorities       " + shares.joined(separator: ", "))
        }
        lines.append(String(table.text.dropLast()))
        return lines.joined(separator: "\n")
    }

    private func percent(_ share: Double) -> String { Readable.fixed(share * 100, digits: 1) + " %" }
}

/// One line of the list, as JSON has it.
private struct Entry: Encodable {
    let name: String
    let description: String
    let path: String
    let summary: WorkloadSummary
}
