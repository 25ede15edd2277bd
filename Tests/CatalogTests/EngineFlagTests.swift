import Foundation
import ServingCore
import Testing

@testable import Catalog

struct `vLLM's command line` {
    private func parse(_ line: String) throws -> EngineConfiguration {
        try EngineConfiguration(serveCommand: line)
    }

    @Test func `A pasted line is read with quotes, continuations and environment`() throws {
        let configuration = try parse(
            """
            CUDA_VISIBLE_DEVICES=0,1 VLLM_USE_V1=1 vllm serve "meta-llama/Llama-3.1-8B" \\
                --tensor-parallel-size=2 --max-model-len 32k \\
                --gpu-memory-utilization 0.85 --no-enable-prefix-caching --enable-expert-parallel \\
                --host 0.0.0.0 --port 8000 --served-model-name a b --trust-remote-code \\
                --kv-transfer-config '{"kv_connector":"OffloadingConnector","kv_role":"kv_both","kv_connector_extra_config":{"cpu_bytes_to_use":1000}}' \\
                --cudagraph-capture-sizes 1 2 4 -dp 2  # a comment
            """)
        #expect(configuration.model == "meta-llama/Llama-3.1-8B")
        #expect(configuration.tensorParallelSize == 2 && configuration.dataParallelSize == 2)
        #expect(configuration.maxModelLen == .tokens(32000))
        #expect(configuration.gpuMemoryUtilization == 0.85)
        #expect(configuration.enablePrefixCaching == false && configuration.enableExpertParallel == true)
        #expect(configuration.cudagraphCaptureSizes == [1, 2, 4])
        #expect(configuration.kvTransferConfig != nil)
        #expect(
            configuration.withoutEffect == [
                "CUDA_VISIBLE_DEVICES", "VLLM_USE_V1", "--host", "--port", "--served-model-name",
                "--trust-remote-code",
            ])
    }

    @Test(arguments: [
        "python -m vllm.entrypoints.openai.api_server --model m -tp 4",
        "VLLM_LOGGING_LEVEL=DEBUG python3 -m vllm.entrypoints.openai.api_server --model=m --tensor_parallel_size 4 &",
        "docker run --gpus all -p 8000:8000 vllm/vllm-openai:latest --model m -tp 4",
        "uv run vllm serve m -tp=4 > server.log 2>&1", "/usr/bin/vllm serve m --tensor-parallel-size '4'",
        "vllm serve --tensor-parallel-size 4 m", "$ vllm serve m -tp 4 | tee log",
    ])
    func `Every way to start the server is understood`(line: String) throws {
        let configuration = try parse(line)
        #expect(configuration.model == "m" && configuration.tensorParallelSize == 4)
    }

    @Test(arguments: [
        ("32k", 32_000), ("32K", 32_768), ("1m", 1_000_000), ("1M", 1_048_576), ("4096", 4096),
        ("25.6k", 25_600),
    ])
    func `Lengths are human-readable as vLLM reads them`(text: String, tokens: Int) throws {
        #expect(try parse("vllm serve m --max-model-len \(text)").maxModelLen == .tokens(tokens))
    }

    @Test func `The longest length that fits may be asked for`() throws {
        #expect(try parse("vllm serve m --max-model-len auto").maxModelLen == .auto)
        #expect(try parse("vllm serve m --max-model-len -1").maxModelLen == .auto)
    }

    @Test func `JSON arguments may be given key by key`() throws {
        let configuration = try parse(
            "vllm serve m --kv-transfer-config.kv_connector OffloadingConnector --compilation-config.cudagraph_mode NONE"
        )
        #expect(configuration.kvTransferConfig == .object(["kv_connector": .string("OffloadingConnector")]))
        #expect(configuration.enforceEager == true)
        let sizes = try parse(
            #"vllm serve m --compilation-config '{"cudagraph_capture_sizes":[4,8],"level":3}'"#)
        #expect(sizes.cudagraphCaptureSizes == [4, 8])
        #expect(try parse("vllm serve m -O0").enforceEager == true)
        #expect(try parse("vllm serve m -O3").enforceEager == nil)
    }

    @Test(arguments: [
        "--speculative-config '{\"method\":\"ngram\"}'", "--pipeline-parallel-size 2", "-pp 2",
        "--enable-lora",
        "--decode-context-parallel-size 2", "--enable-dbo", "--enable-eplb", "--stream-interval 10",
        "--kv-offloading-backend lmcache",
    ])
    func `A flag that changes behaviour and isn't modelled is refused by name`(flag: String) throws {
        let name = flag.hasPrefix("-pp") ? "--pipeline-parallel-size" : String(flag.split(separator: " ")[0])
        let text = message { _ = try parse("vllm serve m \(flag)") }
        #expect(text.contains(name) && text.contains("not modelled"), "\(text)")
    }

    @Test func `Neutral values of such flags are accepted`() throws {
        _ = try parse(
            "vllm serve m -pp 1 --no-enable-lora --kv-offloading-backend native --stream-interval 1")
    }

    @Test(arguments: [
        ("--max-num-sequences 3", "did you mean --max-num-seqs?"), ("--max-model-len", "has no value"),
        ("--max-model-len many", "--max-model-len"), ("--gpu-memory-utilization 1.5", "at most 1"),
        ("--gpu-memory-utilization nan", "--gpu-memory-utilization"),
        ("--tensor-parallel-size 0", "too small"),
        ("--max-num-seqs -5", "too small"), ("--max-num-seqs 99999999999999999999", "--max-num-seqs"),
        ("extra", "one word too many"),
        ("--scheduling-policy lifo", "fcfs, priority"), ("--enforce-eager=maybe", "takes no value"),
        ("--hf-overrides '{oops'", "is not a JSON object"), ("--model-typo 1", "is not an argument of vLLM"),
        ("'unclosed", "isn't closed"),
    ])
    func `A wrong flag says what is wrong`(flag: String, part: String) throws {
        let text = message { _ = try parse("vllm serve m \(flag)") }
        #expect(text.contains(part), "\(text)")
    }

    @Test func `Something else than a vLLM command is refused`() {
        #expect(message { _ = try parse("ls -l") }.contains("is not a vLLM command line"))
        #expect(message { _ = try parse("") }.contains("is not a vLLM command line"))
        #expect(message { _ = try parse("vllm bench serve") }.contains("serve"))
    }

    @Test func `vLLM's YAML uses the same names, and flags override it`() throws {
        let value = try ConfigValue.parse(
            yaml:
                "model: m\ntensor-parallel-size: 2\nmax_num_seqs: 64\nenable-prefix-caching: false\nport: 8000\nmax-model-len: 32k",
            source: "vllm.yaml")
        var configuration = try EngineConfiguration(yaml: value, source: "vllm.yaml")
        #expect(configuration.tensorParallelSize == 2 && configuration.maxNumSeqs == 64)
        #expect(configuration.enablePrefixCaching == false && configuration.maxModelLen == .tokens(32000))
        #expect(configuration.withoutEffect == ["--port"])
        configuration.override(with: try EngineConfiguration(arguments: ["--max-num-seqs", "8"]))
        #expect(configuration.maxNumSeqs == 8 && configuration.tensorParallelSize == 2)
        let text = message {
            _ = try EngineConfiguration(yaml: .object(["max-num-sqs": .integer(1)]), source: "vllm.yaml")
        }
        #expect(text.contains("vllm.yaml") && text.contains("did you mean --max-num-seqs?"), "\(text)")
    }

    @Test func `Mutated lines are read or refused, never a trap`() {
        let line = Array(
            #"A=1 vllm serve m -tp 2 --max-model-len=32k --kv-transfer-config '{"kv_connector":"X"}' --no-enable-prefix-caching -O3 --cudagraph-capture-sizes 1 2 --hf-overrides.a.b "c d" \"#
        )
        let pieces: [Character] = Array(#"-='"\{}. #&0k"#) + ["\n", "\r\n", "é", "\u{0}"]
        var random = RandomStream(seed: 3, purpose: "lines")
        var accepted = 0
        for _ in 0..<600 {
            var text = line
            for _ in 0...Int.random(in: 0...3, using: &random) {
                if text.isEmpty { break }
                let position = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text.remove(at: position)
                case 1: text.insert(pieces[Int.random(in: 0..<pieces.count, using: &random)], at: position)
                default: text = Array(text[..<max(1, position)])
                }
            }
            do {
                _ = try EngineConfiguration(serveCommand: String(text))
                accepted += 1
            } catch {
                #expect(error is InvalidInput)
            }
        }
        #expect(accepted > 20 && accepted < 580)
    }
}
