import Foundation
import ServingCore
import Testing

@testable import Catalog

/// A config.json of a small dense model, with some fields replaced.
func denseConfig(_ changes: [String: ConfigValue] = [:]) -> ConfigValue {
    var fields: [String: ConfigValue] = [
        "architectures": .array([.string("LlamaForCausalLM")]), "model_type": .string("llama"),
        "hidden_size": .integer(64), "num_hidden_layers": .integer(2), "num_attention_heads": .integer(4),
        "num_key_value_heads": .integer(2), "intermediate_size": .integer(128), "vocab_size": .integer(1000),
        "max_position_embeddings": .integer(2048), "torch_dtype": .string("bfloat16"),
    ]
    for (name, value) in changes { fields[name] = value }
    return .object(fields)
}

func architecture(_ changes: [String: ConfigValue] = [:]) throws -> ModelArchitecture {
    try ModelArchitecture(config: denseConfig(changes), source: "config.json", name: "test")
}

func json(_ text: String) throws -> ConfigValue {
    try ConfigValue.parse(json: Array(text.utf8), source: "test")
}

/// The message of the error that `body` throws; empty when it throws none.
func message(_ body: () throws -> Void) -> String {
    do { try body() } catch { return "\(error)" }
    return ""
}

struct `Model architectures` {
    @Test func `A small dense model is counted by hand`() throws {
        let model = try architecture()
        // Per layer: q and o 64*64, k and v 64*32, MLP 3*64*128, two norms; then embeddings and the last norm.
        let attention: Double = 2 * 64 * 64 + 2 * 64 * 32
        let perceptron: Double = 3 * 64 * 128
        let layer = attention + perceptron + 128
        #expect(model.totalParameters == 2 * layer + 2 * 64_000 + 64)
        #expect(model.activeParameters == 2 * layer + 64_000 + 64)
        let ranked = RankedModel(model, layout: ParallelLayout(), cacheElementBytes: 2)
        #expect(ranked.keyValueBytesPerToken == 2 * 2 * 2 * 16 * 2)
        #expect(ranked.attentionFlopsPerPair == 2 * 4 * 16 * 4)
    }

    @Test(arguments: [
        ("llama-2-7b", 6.738e9, 6.607e9), ("llama-2-70b", 68.977e9, 68.715e9),
        ("llama-3.1-8b", 8.030e9, 7.505e9),
        ("llama-3.1-405b", 405.85e9, 403.75e9), ("mixtral-8x7b", 46.70e9, 12.75e9),
        ("mixtral-8x22b", 140.6e9, 38.96e9),
        ("qwen2.5-7b", 7.616e9, 7.07e9), ("qwen2.5-72b", 72.7e9, 71.46e9), ("qwen3-14b", 14.77e9, 13.99e9),
        // Model cards of mixtures count the embedding as active; here it is looked up, not multiplied.
        ("qwen3-30b-a3b", 30.53e9, 3.35e9 - 0.31e9), ("qwen3-235b-a22b", 235.1e9, 22.19e9 - 0.62e9),
        ("qwen3-coder-480b", 480.2e9, 35.5e9 - 0.93e9), ("deepseek-v3", 671.0e9, 37.55e9 - 0.93e9),
        ("deepseek-v2-lite", 15.71e9, 2.66e9 - 0.21e9), ("gpt-oss-20b", 20.91e9, 3.61e9),
        ("gpt-oss-120b", 116.83e9, 5.13e9), ("llama-4-scout", 108.6e9, 17.17e9 - 1.03e9),
        ("llama-4-maverick", 401.6e9, 17.17e9 - 1.03e9), ("kimi-k2", 1026.4e9, 32.86e9 - 1.17e9),
        ("glm-4.5-air", 106.85e9, 12.8e9), ("gemma-4-26b-a4b", 25.23e9, 3.82e9),
        ("gemma-2-9b", 9.24e9, 9.24e9),
        ("nemotron-3-nano-30b-a3b", 31.58e9, 3.23e9), ("falcon-7b", 6.92e9, 6.92e9),
        ("gpt2", 0.1244e9, 0.1236e9),
        ("opt-125m", 0.1252e9, 0.1236e9), ("phi-4", 14.66e9, 14.15e9),
    ])
    func `Parameters agree with the published totals`(name: String, total: Double, active: Double) throws {
        let model = try SharedData.catalogs().models.architecture(name)
        #expect(abs(model.totalParameters / total - 1) < 0.005, "\(model.totalParameters)")
        #expect(abs(model.activeParameters / active - 1) < 0.01, "\(model.activeParameters)")
    }

    @Test(.enabled(if: SharedData.exists, "needs ../shared"))
    func `Every collected config loads or is refused by the field`() throws {
        let files = SharedData.modelConfigs
        #expect(files.count >= 68)
        var refused: [String] = []
        for file in files {
            do {
                let model = try SharedData.config(file)
                #expect(model.totalParameters > 1e8)
                #expect(model.maxPositionEmbeddings >= 2048)
            } catch let error as InvalidInput {
                #expect(error.field != nil, "\(file): \(error)")
                refused.append(file)
            }
        }
        // DeepSeek-V4 (four files) and MiniMax-M3: sparse attention of kinds that aren't modelled.
        #expect(refused.count == 5, "\(refused)")
    }

    @Test(
        .enabled(if: SharedData.exists, "needs ../shared"),
        arguments: [
            ("openai--gpt-oss-120b_config.json", "gpt-oss-120b"),
            ("deepseek-ai--DeepSeek-V3_config.json", "deepseek-v3"),
            ("Qwen--Qwen3-235B-A22B-FP8_config.json", "qwen3-235b-a22b-fp8"),
            ("meta-llama--Meta-Llama-3.1-70B_config.json", "llama-3.1-70b"),
            ("moonshotai--Kimi-K2.5_config.json", "kimi-k2.5"),
            ("zai-org--GLM-5-FP8_config.json", "glm-5-fp8"),
            ("google--gemma-4-26B-A4B_config.json", "gemma-4-26b-a4b"),
            ("Qwen--Qwen3.5-27B_config.json", "qwen3.5-27b"),
            ("qwen2.5-7b-instruct_config.json", "qwen2.5-7b"),
            ("mistral-nemo-instruct-2407_config.json", "mistral-nemo"),
        ])
    func `Shipped facts mean the same as the model's own config`(file: String, name: String) throws {
        let own = try SharedData.config(file)
        let shipped = try SharedData.catalogs().models.architecture(name)
        #expect(own.parameters == shipped.parameters)
        #expect(own.maxPositionEmbeddings == shipped.maxPositionEmbeddings)
        let layout = ParallelLayout(tensorParallelSize: 2)
        let a = RankedModel(own, layout: layout, cacheElementBytes: 2)
        let b = RankedModel(shipped, layout: layout, cacheElementBytes: 2)
        #expect(a.cacheLayers == b.cacheLayers)
        #expect(abs(a.denseBytes / b.denseBytes - 1) < 0.01)
        #expect(abs(a.expertBytes - b.expertBytes) <= 0.01 * a.expertBytes)
    }

    @Test func `Key-value heads come from every generation of field names`() throws {
        func heads(_ changes: [String: ConfigValue]) throws -> Int { try architecture(changes).keyValueHeads }
        #expect(try heads(["num_key_value_heads": .null]) == 4)
        #expect(try heads(["num_key_value_heads": .null, "multi_query": .bool(true)]) == 1)
        #expect(try heads(["num_key_value_heads": .null, "model_type": .string("falcon")]) == 1)
        let newFalcon: [String: ConfigValue] = [
            "num_key_value_heads": .null, "model_type": .string("falcon"),
            "new_decoder_architecture": .bool(true),
            "num_kv_heads": .integer(2),
        ]
        #expect(try heads(newFalcon) == 2)
        let old = try ModelArchitecture(
            config: json(
                #"{"model_type":"gpt2","n_embd":64,"n_layer":2,"n_head":4,"n_positions":128,"vocab_size":100}"#
            ),
            source: "config.json", name: "old")
        #expect(
            old.keyValueHeads == 4 && old.headSize == 16 && old.tiedEmbeddings
                && old.maxPositionEmbeddings == 128)
    }

    @Test func `Nested text configs are found at any depth`() throws {
        for path in [
            ["text_config"], ["llm_config"], ["language_config"], ["thinker_config", "text_config"],
        ] {
            var value = denseConfig()
            for name in path.reversed() { value = .object([name: value, "model_type": .string("outer")]) }
            let model = try ModelArchitecture(config: value, source: "config.json", name: "nested")
            #expect(model.hiddenSize == 64 && model.modelType == "llama")
        }
    }

    @Test func `Windows are read from every kind of field`() throws {
        func windows(_ changes: [String: ConfigValue]) throws -> [Int?] {
            var changes = changes
            changes["num_hidden_layers"] = .integer(6)
            return try architecture(changes).layers.map {
                if case .attention(let attention) = $0.mixer { attention.span.window } else { nil }
            }
        }
        let window = ConfigValue.integer(100)
        let none: [Int?] = Array(repeating: nil, count: 6)
        #expect(try windows([:]) == none)
        #expect(try windows(["sliding_window": window]) == Array(repeating: 100, count: 6))
        #expect(try windows(["sliding_window": window, "use_sliding_window": .bool(false)]) == none)
        #expect(
            try windows(["sliding_window": window, "sliding_window_pattern": .integer(3)]) == [
                100, 100, nil, 100, 100, nil,
            ])
        #expect(
            try windows([
                "sliding_window": window, "model_type": .string("qwen2"), "use_sliding_window": .bool(true),
                "max_window_layers": .integer(4),
            ]) == [nil, nil, nil, nil, 100, 100])
        #expect(
            try windows(["model_type": .string("llama4_text"), "attention_chunk_size": window])
                == [100, 100, 100, nil, 100, 100])
        let types = ["sliding_attention", "full_attention", "chunked_attention"].flatMap { [$0, $0] }
        #expect(
            try windows([
                "sliding_window": window, "attention_chunk_size": .integer(50),
                "layer_types": .array(types.map { .string($0) }),
            ]) == [100, 100, nil, nil, 50, 50])
    }

    @Test func `Quantised checkpoints weigh what their format says`() throws {
        func bytes(_ quantization: String) throws -> Double {
            let model = try architecture([
                "quantization_config": json(quantization), "intermediate_size": .integer(4096),
            ])
            return RankedModel(model, layout: ParallelLayout(), cacheElementBytes: 2).weightBytes
        }
        let plain = RankedModel(
            try architecture(["intermediate_size": .integer(4096)]), layout: ParallelLayout(),
            cacheElementBytes: 2
        ).weightBytes
        let mlp: Double = 2 * 3 * 64 * 4096
        let attention: Double = 2 * (2 * 64 * 64 + 2 * 64 * 32)
        #expect(try bytes(#"{"quant_method":"fp8"}"#) == plain - mlp - attention)
        #expect(
            try bytes(#"{"quant_method":"fp8","modules_to_not_convert":["self_attn"]}"#) == plain - mlp)
        #expect(
            try bytes(#"{"quant_method":"fp8","modules_to_not_convert":["model.layers.0.mlp.gate_proj"]}"#)
                == plain - mlp / 2 - attention)
        #expect(
            try bytes(#"{"quant_method":"fp8","modules_to_not_convert":["model.layers.*.mlp*"]}"#)
                == plain - attention)
        #expect(
            try bytes(
                #"{"quant_method":"compressed-tensors","config_groups":{"g":{"weights":{"num_bits":8,"type":"float"}}},"ignore":["re:.*self_attn.*"]}"#
            )
                == plain - mlp)
        // AWQ: 4 bits, a 16-bit scale and a 4-bit zero point per 128.
        let awq = (4 + 20.0 / 128) / 8
        #expect(
            abs(
                try bytes(#"{"quant_method":"awq","bits":4,"group_size":128}"#)
                    - (plain - (2 - awq) * (mlp + attention)))
                < 1)
        let nvfp4 = #"{"quant_method":"modelopt","quant_algo":"NVFP4","ignore":["lm_head"]}"#
        #expect(abs(try bytes(nvfp4) - (plain - (2 - 0.5625) * (mlp + attention))) < 1)
    }

    @Test func `Overrides replace fields, nested ones too`() throws {
        let model = try ModelArchitecture(
            config: .object(["text_config": denseConfig()]), source: "config.json", name: "x",
            overrides: json(#"{"text_config":{"num_hidden_layers":5}}"#))
        #expect(model.layers.count == 5)
        #expect(
            message {
                _ = try ModelArchitecture(
                    config: denseConfig(), source: "c", name: "x", overrides: .integer(3))
            }.contains("--hf-overrides"))
    }

    @Test func `What Python writes beyond JSON is read`() throws {
        let value = try json(#"{"time_step_limit": [0.0, Infinity], "x": NaN, "big": 1e999}"#)
        guard case .object(let fields) = value else { throw InvalidInput(.badData, "is not an object") }
        #expect(fields["time_step_limit"] == .array([.number(0), .number(.infinity)]))
        #expect(fields["big"] == .number(.infinity))
    }

    @Test(arguments: [
        ("hidden_size", "-64"), ("hidden_size", "0"), ("hidden_size", "\"64\""), ("hidden_size", "1e300"),
        ("num_attention_heads", "0"), ("num_attention_heads", "3"), ("num_hidden_layers", "99999999"),
        ("num_key_value_heads", "3"), ("vocab_size", "[]"), ("vocab_size", "null"),
        ("intermediate_size", "1.5"),
        ("torch_dtype", "\"int3\""), ("head_dim", "-1"), ("layer_types", "[\"full_attention\"]"),
        ("layer_types", "\"x\""), ("quantization_config", "{\"quant_method\":\"gguf\"}"),
        ("kv_lora_rank", "16"),
        ("num_local_experts", "8"), ("is_encoder_decoder", "true"), ("compress_ratios", "[1]"),
        ("attn_type_list", "[0, 1]"), ("block_configs", "[]"), ("linear_attn_config", "{}"),
    ])
    func `A damaged field is named`(field: String, value: String) throws {
        let value = try json("{\"v\": \(value)}")
        guard case .object(let fields) = value else { return }
        let text = message { _ = try architecture([field: fields["v"]!]) }
        #expect(text.contains("config.json"), "\(text)")
        // Some damage shows at the field that depends on it.
        let dependents = [
            "kv_lora_rank": "qk_nope_head_dim", "num_local_experts": "num_experts_per_tok",
            "num_attention_heads": "head", "quantization_config": "quant_method",
        ]
        #expect(text.contains(dependents[field] ?? field), "\(text)")
    }

    @Test func `A broken file is named with the place`() throws {
        let broken = [
            ("{\"a\": 1,\n  \"b\": }", "test:2:"), ("{\n\"a\": [1,\n2\n", "test:4:"),
            ("{\"a\" 1}", "test:1:"),
            ("{\"a\": 1 \"b\": 2}", "comma"), ("[1, tru]", "tru is not a value"), ("{} x", "after its end"),
            ("\"open", "inside a text"), (String(repeating: "[", count: 100_000), "too deeply"),
            ("", "ends early"),
        ]
        for (text, part) in broken {
            let said = message { _ = try json(text) }
            #expect(said.contains("is not readable JSON") && said.contains(part), "\(said)")
        }
        #expect(try json(#"["\u00e9\ud83d\ude00\n\/"]"#) == .array([.string("\u{e9}\u{1f600}\n/")]))
        let yaml = message { _ = try ConfigValue.parse(yaml: "a: [1,\nb: {", source: "x.yaml") }
        #expect(yaml.hasPrefix("x.yaml:"), "\(yaml)")
    }
}

struct `Damaged configs` {
    static let nasty: [ConfigValue] = [
        .null, .bool(true), .bool(false), .integer(0), .integer(1), .integer(-1), .integer(3), .integer(.max),
        .integer(.min),
        .integer(1 << 31), .integer(4096), .integer(65536), .number(0.5), .number(.nan), .number(.infinity),
        .number(-1e300), .number(1e18),
        .string(""), .string("x"), .string("auto"), .array([]), .array([.integer(-1)]),
        .array([.integer(1), .integer(0)]),
        .array([.string("full_attention")]), .object([:]),
        .object([
            "factor": .number(1e6), "rope_type": .string("yarn"),
            "original_max_position_embeddings": .integer(1 << 31),
        ]),
    ]

    /// Replaces one field at random, in the nested text config if there is one.
    static func damaged(_ value: ConfigValue, _ random: inout RandomStream) -> ConfigValue {
        guard case .object(var fields) = value, !fields.isEmpty else { return value }
        let names = fields.keys.sorted()
        let name = names[Int.random(in: 0..<names.count, using: &random)]
        if case .object = fields[name]!, Int.random(in: 0..<4, using: &random) > 0 {
            fields[name] = damaged(fields[name]!, &random)
        } else {
            fields[name] = nasty[Int.random(in: 0..<nasty.count, using: &random)]
        }
        return .object(fields)
    }

    @Test(.enabled(if: SharedData.exists, "needs ../shared"))
    func `Random damage is reported or harmless, never a trap`() throws {
        let h100 = try SharedData.catalogs().gpus.accelerator("h100")
        var random = RandomStream(seed: 7, purpose: "damage")
        var loaded = 0
        var refused = 0
        // The long lists of the largest files would only cost time.
        let files = SharedData.modelConfigs.filter {
            ((try? Data(contentsOf: URL(filePath: SharedData.folder + "/model-configs/" + $0)).count) ?? 0)
                < 6000
        }
        for file in files {
            let value = try ConfigValue.read(file: SharedData.folder + "/model-configs/" + file)
            for _ in 0..<12 {
                var changed = value
                for _ in 0...Int.random(in: 0...2, using: &random) {
                    changed = Self.damaged(changed, &random)
                }
                do {
                    let model = try ModelArchitecture(config: changed, source: file, name: file)
                    var configuration = EngineConfiguration()
                    configuration.tensorParallelSize = [1, 2, 8][Int.random(in: 0..<3, using: &random)]
                    configuration.maxModelLen = .auto
                    let deployment = try Deployment(configuration, model: model, accelerator: h100)
                    #expect(deployment.facts().kvBlocks >= 0)
                    loaded += 1
                } catch let error as InvalidInput {
                    #expect(!error.description.contains("\n"))
                    refused += 1
                }
            }
        }
        #expect(loaded > 100 && refused > 100, "\(loaded) loaded, \(refused) refused")
    }
}
