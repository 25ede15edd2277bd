import Foundation
import ServingCore
import Testing

@testable import Catalog

struct `Names of models and accelerators` {
    @Test(arguments: [
        ("llama-3.1-8b", "llama-3.1-8b"), ("meta-llama/Llama-3.1-8B", "llama-3.1-8b"),
        ("META-LLAMA/llama-3.1-8b-instruct", "llama-3.1-8b"), ("meta-llama/Llama-2-7b-hf", "llama-2-7b"),
        ("codellama/CodeLlama-34b-Instruct-hf", "codellama-34b"), ("Mixtral-8x7B-v0.1", "mixtral-8x7b"),
        ("qwen/qwen3-14b", "qwen3-14b"), ("deepseek-ai/DeepSeek-R1", "deepseek-r1"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("llama_3.1_8b", "llama-3.1-8b"), ("mistral-nemo", "mistral-nemo"),
        ("llama-4-scout", "llama-4-scout"),
    ])
    func `A model answers to friendly names and Hugging Face ids`(name: String, expected: String) throws {
        #expect(try SharedData.catalogs().models.architecture(name).name == expected)
    }

    @Test(arguments: [
        ("h100", "h100-sxm"), ("H100-SXM", "h100-sxm"), ("h100_sxm", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"), ("RTXPRO6000", "rtx-pro-6000"), ("rtx4090", "rtx-4090"),
        ("a100", "a100-sxm-80gb"), ("A100-40GB", "a100-sxm-40gb"), ("L40S", "l40s"), ("gb200", "gb200"),
    ])
    func `An accelerator answers in any spelling`(name: String, expected: String) throws {
        #expect(try SharedData.catalogs().gpus.accelerator(name).name == expected)
    }

    @Test func `No two entries answer to one name`() throws {
        let (models, gpus) = try SharedData.catalogs()
        var seen: [String: String] = [:]
        for entry in try models.entries() {
            for name in Set(([entry.name] + entry.aliases + entry.repositories).map(ModelCatalog.normalised))
            {
                #expect(seen.updateValue(entry.name, forKey: name) == nil, "\(name)")
            }
            // Every shipped file must be usable.
            #expect(try models.architecture(entry.name).totalParameters > 1e8)
        }
        var spellings: [String: String] = [:]
        for gpu in gpus.accelerators {
            for name in Set(([gpu.name] + gpu.aliases).map(AcceleratorCatalog.normalised)) {
                #expect(spellings.updateValue(gpu.name, forKey: name) == nil, "\(name)")
            }
        }
    }

    @Test(.enabled(if: SharedData.exists, "needs ../shared"))
    func `Models and accelerators of the recorded runs resolve`() throws {
        let (models, gpus) = try SharedData.catalogs()
        for folder in ["real-runs", "bench-runs"] {
            guard
                case .array(let runs) = try ConfigValue.read(
                    file: SharedData.folder + "/\(folder)/index.json")
            else { continue }
            #expect(!runs.isEmpty)
            for run in runs {
                let reader = try ConfigReader(run, source: folder)
                let names = try (reader.string("model"), reader.string("gpu"), reader.string("engine"))
                _ = try models.architecture(#require(names.0))
                _ = try gpus.accelerator(#require(names.1))
                _ = try EngineVersion(parsing: #require(names.2))
            }
        }
    }

    @Test func `An unknown name names the nearest and counts as no such input`() throws {
        let (models, gpus) = try SharedData.catalogs()
        do {
            _ = try models.architecture("lama-3.1-8b")
            Issue.record("resolved")
        } catch let error as InvalidInput {
            #expect(error.kind == .noSuchInput && error.description.contains("did you mean llama-3.1-8b?"))
        }
        do {
            _ = try gpus.accelerator("h1000")
            Issue.record("resolved")
        } catch let error as InvalidInput {
            #expect(error.kind == .noSuchInput && error.description.contains("did you mean h100"))
        }
    }

    @Test func `A path to a config or its folder works, and so does an accelerator of one's own`() throws {
        let folder =
            FileManager.default.temporaryDirectory.path
            + "/catalog-\(ProcessInfo.processInfo.processIdentifier)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let config =
            #"{"hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"intermediate_size":128,"vocab_size":1000}"#
        try Data(config.utf8).write(to: URL(filePath: folder + "/config.json"))
        try Data(#"{"quantization":{"quant_algo":"FP8"}}"#.utf8).write(
            to: URL(filePath: folder + "/hf_quant_config.json"))
        let (models, gpus) = try SharedData.catalogs()
        #expect(try models.architecture(folder).weightFormat.name == "fp8")
        #expect(try models.architecture(folder + "/config.json").hiddenSize == 64)
        let own = folder + "/mine.yaml"
        let text = """
            name: mine
            bf16_flops: 1.0e+15
            memory_bandwidth: 1e12
            memory_bytes: 40000000000
            host_link_bandwidth: 32000000000
            sm: 90
            price_per_hour: 2.5
            """
        try Data(text.utf8).write(to: URL(filePath: own))
        let mine = try gpus.accelerator(own)
        #expect(
            mine.pricePerHour == 2.5 && mine.memoryBandwidth == 1e12 && mine.interconnectBandwidth == 32e9)
        try Data((text + "\nmemory_bandwith: 3").utf8).write(to: URL(filePath: own))
        #expect(message { _ = try gpus.accelerator(own) }.contains("did you mean memory_bandwidth?"))
        try Data(text.replacingOccurrences(of: "40000000000", with: "-1").utf8).write(to: URL(filePath: own))
        #expect(message { _ = try gpus.accelerator(own) }.contains("memory_bytes"))
        #expect(message { _ = try gpus.accelerator(folder + "/absent.yaml") }.contains("cannot be read"))
    }

    @Test func `The shipped files are found from the environment`() throws {
        let found = try ShippedFiles.locate(environment: ["STEPCAST_HOME": SharedData.packageRoot])
        #expect(found.home == SharedData.packageRoot)
        #expect(
            message { _ = try ShippedFiles.locate(environment: ["STEPCAST_HOME": "/nowhere"]) }.contains(
                "STEPCAST_HOME"))
    }
}
