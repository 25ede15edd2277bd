import Catalog
import Foundation
import LatencyOracle
import OracleTraining
import Scenarios
import ServingCore
import Testing

@testable import Validation

@Suite struct `Runs with a queue` {
    @Test func `show batch and queue as the requests do`() throws {
        // 128 requests run at a time, a token every 20 ms, and twelve times as many come in half the time.
        var csv = "arrival_s,prompt_tokens,output_tokens_recorded,succeeded,ttft_s,e2e_s\n"
        for index in 0..<1536 {
            let sent = Double(index) * 0.04
            let wave = Double(index / 128)
            let first = max(sent, wave * 10) + 0.1
            csv += "\(sent),100,501,1,\(first - sent),\(first - sent + 10)\n"
        }
        func run(_ flags: String) throws -> QueueCost.Run? {
            let folder = try TemporaryFolder()
            try folder.write("a.csv", csv)
            try folder.write(
                "index.json",
                """
                [{"name": "a", "model": "llama-2-70b", "gpu": "h100-sxm", "engine": "vllm 0.15.1",
                  "overloaded": true, "num_gpu_blocks": 30000, "client_timeout_s": 300\(flags)}]
                """)
            let entry = try #require(MeasuredRunEntry.read(folder: folder.path).first)
            return try QueueCost.Run(
                MeasuredRun(entry, folder: folder.path), base: Scenario(), oracle: .roofline, shipped: shipped
            )
        }
        let found = try #require(try run(#", "tensor_parallel_size": 4, "max_num_seqs": 128"#))
        // 70B in 16 bits on four GPUs of 3.35 TB/s: about 10 ms to read, for each of 256.
        let most = try #require(found.queue.max())
        #expect(most > 256 * 0.0098 && most < 256 * 0.0105)
        #expect(found.steps.allSatisfy { $0 > 0.005 && $0 < 0.05 })
        #expect(found.requests.allSatisfy { abs($0.last - $0.first - 10) < 1e-6 && $0.tokens == 500 })
        // At 30 s 750 requests have come and 384 have begun.
        #expect(found.queue[Int(30 * QueueCost.Run.pointsPerSecond)] == most)
        let early = found.queue[Int(12 * QueueCost.Run.pointsPerSecond)] / most * 256
        #expect(abs(early - (300 - 256)) < 10)
        // Half of --max-num-seqs never run: something else holds requests back.
        #expect(try run(#", "tensor_parallel_size": 4, "max_num_seqs": 256"#) == nil)
    }

    @Test(
        .enabled(if: FileManager.default.fileExists(atPath: realRuns), "needs ../shared"),
        arguments: [
            ("llama-2-70b-tp4-reasoning", true), ("codellama-34b-tp2-reasoning", true),
            ("llama-2-7b-tp1-reasoning", false),
        ])
    func `tell what waiting costs over several GPUs`(_ name: String, _ says: Bool) throws {
        let entry = try #require(MeasuredRunEntry.read(folder: realRuns).first { $0.name == name })
        let run = try QueueCost.Run(
            MeasuredRun(entry, folder: realRuns), base: Scenario(),
            oracle: OracleCatalog(shipped).oracle("h100"), shipped: shipped)
        #expect((run != nil) == says)
        guard let run else { return }
        let cost = try #require(QueueCost.fit([run]))
        #expect(cost > 3e-4 && cost < 3e-3)
    }
}
