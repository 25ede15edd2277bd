import Catalog
import Foundation
import Sweep

/// A whole sweep, from reading its specification to the last file written.
let sweepBenchmark = Benchmark(
    name: "sweep",
    subject: "300 configurations of Llama-3.1-70B on 8 x H100, 1,000 requests of the Azure trace each"
) {
    let trace =
        FileManager.default.currentDirectoryPath + "/../../shared/data/request-traces/azure2023_conv.csv"
    guard FileManager.default.fileExists(atPath: trace) else {
        print("  left out, needs \(trace)")
        return []
    }
    let shipped = try ShippedFiles.locate()
    func measure(_ oracle: String) throws -> Double {
        try leastProcessorSeconds {
            let folder = FileManager.default.temporaryDirectory.path + "/sweep-benchmark-\(UUID().uuidString)"
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let specification = try SweepSpecification(
                yaml: """
                    base:
                      model: llama-3.1-70b
                      gpu: h100-sxm
                      max-model-len: 16384
                      trace: \(trace)
                      limit: 1000
                      oracle: \(oracle)
                      goodput: {ttft: 1000, tpot: 60}
                    axes:
                      placement:
                        - {tensor-parallel-size: 8, replicas: 1}
                        - {tensor-parallel-size: 4, replicas: 1}
                        - {tensor-parallel-size: 4, replicas: 2}
                        - {tensor-parallel-size: 2, replicas: 2}
                        - {tensor-parallel-size: 2, replicas: 4}
                      max-num-seqs: [32, 64, 128, 256]
                      max-num-batched-tokens: [2048, 4096, 8192]
                      request-rate: [4, 6, 8, 12, 16]
                    conditions: [gpus <= 8]
                    objective: maximize request_goodput_per_gpu
                    """, source: "benchmark")
            let results = try SweepRun(specification, shipped: shipped).run(into: folder, jobs: 2)
            precondition(results?.outcomes.count { $0.status == .completed } == 300)
            precondition(results?.report().contains("vllm serve") == true)
        }
    }
    return [
        Measurement(
            subject: "the oracle for the accelerator", value: try measure("auto"), unit: "s", target: 3),
        Measurement(subject: "roofline", value: try measure("roofline"), unit: "s", target: 3),
    ]
}
