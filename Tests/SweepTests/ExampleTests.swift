import Catalog
import Foundation
import Testing

@testable import Sweep

/// A Python that has Ray: the one that STEPCAST_RAY_PYTHON names, else `python3`; nil without Ray.
private let rayPython: String? = {
    let python = ProcessInfo.processInfo.environment["STEPCAST_RAY_PYTHON"] ?? "python3"
    return (try? shell("\(python) -c 'import ray'"))?.status == 0 ? python : nil
}()

private let binary = packageRoot + ".build-stepcast/release/stepcast"
private let isBuilt = FileManager.default.isExecutableFile(atPath: binary)

private func shell(_ command: String) throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(filePath: "/bin/bash")
    process.arguments = ["-c", command + " 2>&1"]
    let file = FileManager.default.temporaryDirectory.path + "/sweep-output-\(UUID().uuidString)"
    _ = FileManager.default.createFile(atPath: file, contents: nil)
    defer { try? FileManager.default.removeItem(atPath: file) }
    process.standardOutput = try FileHandle(forWritingTo: URL(filePath: file))
    try process.run()
    process.waitUntilExit()
    return (
        process.terminationStatus, String(decoding: try Data(contentsOf: URL(filePath: file)), as: UTF8.self)
    )
}

@Suite struct ExampleTests {
    @Test(arguments: ["llama-70b-8xh100", "chat-highest-rate", "shared-prefix-routers"])
    func `the sweeps that ship can be read, and all of their configurations run`(name: String) throws {
        let sweep = try SweepRun(
            SweepSpecification(contentsOf: shipped.path("sweeps/\(name).yaml")), shipped: shipped)
        #expect(sweep.specification.name == name)
        #expect(!sweep.specification.description.isEmpty)
        let runner = ConfigurationRunner(
            specification: sweep.specification, inputs: SharedInputs(shipped: shipped), shouldStop: { false })
        for configuration in sweep.configurations { _ = try runner.prepare(configuration) }
    }

    @Test(.enabled(if: isBuilt, "needs the release build that ./test makes"))
    func `killed in the middle and started again, the folder is that of a run that was not`() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            "sweep.yaml",
            """
            name: killed
            base: {model: llama-3.1-8b, gpu: h100-sxm, workload: chat, num-prompts: 3000}
            axes: {max-num-seqs: [32, 64, 128, 256], request-rate: [2, 4, 8]}
            """)
        let sweep = "\(binary) sweep \(folder.path)/sweep.yaml --jobs 1 --output \(folder.path)"
        #expect(try shell("\(sweep)/whole").status == 0)
        let killed = try shell(
            """
            \(sweep)/killed & pid=$!
            for _ in $(seq 2000); do
                (($(cat \(folder.path)/killed/journal.jsonl 2> /dev/null | wc -l) >= 3)) && break
                sleep 0.005
            done
            kill -9 $pid; wait $pid
            """)
        #expect(killed.status == 137)
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/killed/results.csv"))
        #expect(try shell("\(sweep)/killed").status == 0)
        #expect(try folder.contents(of: "killed") == folder.contents(of: "whole"))
    }

    @Test(.enabled(if: isBuilt, "needs the release build that ./test makes"))
    func `exit statuses are those of the contract`() throws {
        let folder = try TemporaryFolder()
        try folder.write("a.yaml", sweepText("axes: {max-num-seqs: [8, 16]}"))
        try folder.write("b.yaml", sweepText("axes: {max-num-seqs: [8, 32]}"))
        try folder.write("typo.yaml", sweepText("axes: {max-num-sqs: [8, 32]}"))
        try folder.write(
            "none.yaml", sweepText("axes: {max-num-seqs: [8]}\nconstraints: [p99_ttft_ms <= 0.001]"))
        func status(_ arguments: String) throws -> Int32 {
            try shell("cd \(folder.path) && \(binary) sweep \(arguments)").status
        }
        #expect(try status("a.yaml --output a") == 0)
        #expect(try status("b.yaml --output a") == 65)
        #expect(try status("typo.yaml --output t") == 65)
        #expect(try status("nowhere.yaml --output t") == 66)
        #expect(try status("none.yaml --output none") == 1)
        #expect(try status("a.yaml --output s --shard 3/2") == 64)
        #expect(try status("a.yaml --output /proc/x") == 74)
        #expect(try status("merge a nowhere") == 66)
        #expect(try status("merge a") == 0)
        #expect(try status("a.yaml --output p1 --shard 1/2") == 0)
        #expect(try status("merge p1 --output m") == 65)
        // A disk that is full after a block.
        #expect(
            try shell("ulimit -f 1; cd \(folder.path) && \(binary) sweep a.yaml --output full").status == 74)
    }

    @Test(
        .enabled(if: isBuilt, "needs the release build that ./test makes"),
        .enabled(if: rayPython != nil, "needs Ray: pip install ray, or STEPCAST_RAY_PYTHON"))
    func `parts on Ray, a worker killed half-way, are one process byte for byte`() throws {
        let folder = try TemporaryFolder()
        let outcome = try shell(
            "STEPCAST=\(binary) PYTHON=\(rayPython!) timeout 120 \(packageRoot)Examples/ray/rehearse.sh \(folder.path)"
        )
        #expect(outcome.status == 0, "\(outcome.output)")
        #expect(outcome.output.contains("killed worker"))
    }
}
