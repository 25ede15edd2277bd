import ArgumentParser
import Catalog
import Foundation
import Reports
import ServingCore

/// `stepcast models`: the architectures that ship, or the facts of one.
struct ModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models",
        abstract: "List the models that ship, show one model's dimensions, or how it fits a GPU.",
        discussion: """
            A model is named by a friendly name, by its Hugging Face id, or by a path to a config.json or to a folder \
            that holds one.

            EXAMPLES
              stepcast models
              stepcast models llama-3.1-8b
              stepcast models ./my-model/config.json --json
              stepcast models mixtral-8x7b --gpu h100 -tp 2          the memory plan too
            """)

    @Argument(help: "Name or path of one model.", completion: .file())
    var name: String?

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup(title: "Deployment (with --gpu)")
    var engine: EngineOptions

    func run() throws {
        let shipped = try ShippedFiles.locate()
        let catalog = ModelCatalog(shipped)
        var configuration = try engine.configuration()
        if let name { configuration.model = name }
        let name = configuration.model
        if let gpu = engine.gpu {
            let deployment = try Deployment(
                configuration, gpu: gpu, version: engine.version(), shipped: shipped)
            let facts = ModelFacts(
                deployment.model, aliases: try name.flatMap { try catalog.entry(named: $0)?.aliases } ?? [])
            print(json ? try CatalogJSON.text(DeploymentSummary(facts, deployment)) : facts.text)
            if !json {
                print(
                    (["", "on one of \(deployment.engine.layout.gpus) \(deployment.accelerator.name)"]
                        + deployment.memory.lines).joined(separator: "\n"))
            }
            return
        }
        if let name {
            let facts = ModelFacts(
                try catalog.architecture(name), aliases: try catalog.entry(named: name)?.aliases ?? [])
            print(json ? try CatalogJSON.text(facts) : facts.text)
            return
        }
        let all = try catalog.entries().map { entry in
            ModelFacts(try catalog.architecture(entry.name), aliases: entry.aliases)
        }
        if json {
            print(try CatalogJSON.text(all))
            return
        }
        var table = TextTable(
            [
                "name", "parameters", "active", "layers", "context", "weights", "KV/token", "format",
                "Hugging Face",
            ],
            rightAligned: [1, 2, 3, 4, 5, 6])
        for model in all {
            table.add([
                model.name, Readable.parameters(model.parameters),
                Readable.parameters(model.activeParameters),
                "\(model.layers)", "\(model.maxPositionEmbeddings)", Readable.gibibytes(model.weightBytes),
                Readable.fixed(model.kvBytesPerToken / 1024, digits: 1) + " KiB", model.weightFormat,
                model.repository ?? "",
            ])
        }
        print(table.text, terminator: "")
    }
}

/// What is printed about a model; sizes are those of one GPU that holds all of it.
private struct ModelFacts: Encodable {
    let name: String
    let aliases: [String]
    let repository: String?
    let architecture: String
    let modelType: String
    let parameters: Double
    let activeParameters: Double
    let layers: Int
    let attentionLayers: Int
    let hiddenSize: Int
    let attentionHeads: Int
    let keyValueHeads: Int
    let headSize: Int
    let vocabularySize: Int
    let experts: Int
    let expertsPerToken: Int
    let expertLayers: Int
    let slidingWindow: Int?
    let latentAttention: Bool
    let maxPositionEmbeddings: Int
    let dtype: String
    let quantization: String?
    let weightFormat: String
    let weightBytes: Double
    let kvBytesPerToken: Double
    let stateBytesPerSequence: Double
    let flopsPerToken: Double

    enum CodingKeys: String, CodingKey {
        case name, aliases, repository, architecture, parameters, layers, experts, dtype, quantization
        case modelType = "model_type"
        case activeParameters = "active_parameters"
        case attentionLayers = "attention_layers"
        case hiddenSize = "hidden_size"
        case attentionHeads = "num_attention_heads"
        case keyValueHeads = "num_key_value_heads"
        case headSize = "head_dim"
        case vocabularySize = "vocab_size"
        case expertsPerToken = "num_experts_per_tok"
        case expertLayers = "expert_layers"
        case slidingWindow = "sliding_window"
        case latentAttention = "latent_attention"
        case maxPositionEmbeddings = "max_position_embeddings"
        case weightFormat = "weight_format"
        case weightBytes = "weight_bytes"
        case kvBytesPerToken = "kv_bytes_per_token"
        case stateBytesPerSequence = "state_bytes_per_sequence"
        case flopsPerToken = "flops_per_token"
    }

    init(_ model: ModelArchitecture, aliases: [String]) {
        let ranked = RankedModel(model, layout: ParallelLayout(), cacheElementBytes: 2)
        name = model.name
        self.aliases = aliases
        repository = model.repository
        architecture = model.architectureClass
        modelType = model.modelType
        parameters = model.totalParameters
        activeParameters = model.activeParameters
        layers = model.layers.count
        attentionLayers = model.attentionLayers
        hiddenSize = model.hiddenSize
        attentionHeads = model.attentionHeads
        keyValueHeads = model.keyValueHeads
        headSize = model.headSize
        vocabularySize = model.vocabularySize
        experts = model.mixtureOfExperts?.experts ?? 0
        expertsPerToken = model.mixtureOfExperts?.expertsPerToken ?? 0
        expertLayers = model.expertLayers
        slidingWindow = ranked.cacheLayers.compactMap { $0.span.window }.max()
        latentAttention = model.usesLatentAttention
        maxPositionEmbeddings = model.maxPositionEmbeddings
        dtype = model.dtype
        quantization = model.quantization?.method
        weightFormat = model.weightFormat.name
        weightBytes = ranked.weightBytes
        kvBytesPerToken = ranked.keyValueBytesPerToken
        stateBytesPerSequence = ranked.stateBytesPerSequence
        flopsPerToken = ranked.flopsPerToken + ranked.outputFlopsPerToken
    }

    var text: String {
        var lines: [(String, String)] = [("name", name)]
        if !aliases.isEmpty { lines.append(("also called", aliases.joined(separator: ", "))) }
        if let repository { lines.append(("Hugging Face", repository)) }
        lines.append(("architecture", architecture.isEmpty ? modelType : architecture))
        lines.append(("parameters", Readable.parameters(parameters)))
        lines.append(("  of which a token meets", Readable.parameters(activeParameters)))
        lines.append(
            (
                "layers",
                "\(layers)" + (attentionLayers == layers ? "" : ", \(attentionLayers) of them attention")
            ))
        lines.append(("hidden size", "\(hiddenSize)"))
        lines.append(("heads", "\(attentionHeads) query, \(keyValueHeads) key-value, of \(headSize)"))
        if latentAttention { lines.append(("attention", "multi-head latent")) }
        if let slidingWindow { lines.append(("window", "\(slidingWindow) tokens in some layers")) }
        if experts > 0 {
            lines.append(("experts", "\(experts), \(expertsPerToken) per token, in \(expertLayers) layers"))
        }
        lines.append(("vocabulary", "\(vocabularySize)"))
        lines.append(("context", "\(maxPositionEmbeddings) tokens"))
        lines.append(("weights", "\(Readable.gibibytes(weightBytes)), \(weightFormat)"))
        lines.append(
            ("KV cache", Readable.fixed(kvBytesPerToken / 1024, digits: 2) + " KiB per token (16-bit)"))
        if stateBytesPerSequence > 0 {
            lines.append(
                (
                    "recurrent state",
                    Readable.fixed(stateBytesPerSequence / 1_048_576, digits: 2) + " MiB per sequence"
                ))
        }
        lines.append(
            (
                "work",
                Readable.fixed(flopsPerToken / 1e9, digits: 2) + " GFLOP per token, attention scores left out"
            ))
        let width = lines.map(\.0.count).max() ?? 0
        return lines.map { $0.0 + String(repeating: " ", count: width - $0.0.count + 2) + $0.1 }.joined(
            separator: "\n")
    }
}

/// A model and how it fits an accelerator.
private struct DeploymentSummary: Encodable {
    let model: ModelFacts
    let gpu: String
    let gpus: Int
    let maxModelLen: Int
    let maxNumBatchedTokens: Int
    let maxNumSeqs: Int
    let blockSize: Int
    let numGPUBlocks: Int
    let availableBytes: Double
    let terms: [String: Double]

    enum CodingKeys: String, CodingKey {
        case model, gpu, gpus
        case maxModelLen = "max_model_len"
        case maxNumBatchedTokens = "max_num_batched_tokens"
        case maxNumSeqs = "max_num_seqs"
        case blockSize = "block_size"
        case numGPUBlocks = "num_gpu_blocks"
        case availableBytes = "available_kv_cache_bytes"
        case terms = "memory_bytes"
    }

    init(_ facts: ModelFacts, _ deployment: Deployment) {
        model = facts
        gpu = deployment.accelerator.name
        gpus = deployment.engine.layout.gpus
        maxModelLen = deployment.engine.maxModelLen
        maxNumBatchedTokens = deployment.engine.maxNumBatchedTokens
        maxNumSeqs = deployment.engine.maxNumSeqs
        blockSize = deployment.engine.blockSize
        numGPUBlocks = deployment.memory.numGPUBlocks
        availableBytes = deployment.memory.availableBytes
        terms = Dictionary(deployment.memory.terms.map { ($0.name, $0.bytes) }) { first, _ in first }
    }
}

/// JSON for standard output: keys sorted, so that the same facts give the same bytes.
enum CatalogJSON {
    static func text(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
