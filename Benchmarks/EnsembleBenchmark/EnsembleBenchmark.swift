import ByteStreams
import Catalog
import LatencyOracle
import OracleTraining
import ServingCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Leave-one-configuration-out over tables of measured steps, form by form.
///
///     ensemble-benchmark HOME TABLE.csv.zst... [--folds N]
@main
enum EnsembleBenchmark {
    static func main() throws {
        var paths = Array(CommandLine.arguments.dropFirst())
        var folds = 20
        if let k = paths.firstIndex(of: "--folds") {
            folds = Int(paths[k + 1]) ?? 20
            paths.removeSubrange(k...(k + 1))
        }
        let nested = paths.contains("--nested")
        let short = paths.contains("--short")
        paths.removeAll { $0 == "--nested" || $0 == "--short" }
        let home = paths.removeFirst()
        let data = try load(paths, shipped: ShippedFiles(home: home))
        let trainer = try EnsembleTrainer(data)
        print("rows \(data.rows.count), configurations \(data.facts.count), columns \(data.features.count)")
        let forms: [EnsembleTrainer.Form] =
            short
            ? [.split] : [.pooled, .embeddingAsFeatures, .similarity, .nearest, .learned, .split, .asWritten]
        for form in forms {
            let start = cpuSeconds()
            let score = try trainer.compare([form], among: trainer.present, folds: folds)[0]
            print(
                "\(form.rawValue): pinball \(score.pinball) median error \(score.medianError) cpu \(cpuSeconds() - start)"
            )
            let worst = trainer.present.sorted {
                score.pinballByConfiguration[$0] > score.pinballByConfiguration[$1]
            }
            print(
                "    worst:",
                worst.prefix(8).map {
                    "\(data.names[$0]) \((score.pinballByConfiguration[$0] * 1000).rounded() / 1000)"
                })
            var groups: [String: [Double]] = [:]
            for (c, value) in score.byConfiguration.enumerated() {
                let facts = data.facts[c]
                groups[
                    facts.acceleratorName + " " + facts.weightFormat + (facts.experts > 0 ? " moe" : ""),
                    default: []
                ].append(value)
            }
            let list = groups.keys.sorted().map { key -> String in
                let v = groups[key]!.sorted()
                return "\(key) \((v[v.count / 2] * 1000).rounded() / 10)"
            }
            print("   ", list.joined(separator: ", "))
        }
        let standard = PointCloud.standardising(data.facts.map { ConfigurationEmbedding.logarithmic($0) })
        let search = StructureSearch(data, configurations: trainer.present, vectors: standard.cloud.points)
        let start = cpuSeconds()
        let structure = search.searchSplits()
        print(
            "structure \(structure.entries.map { ConfigurationEmbedding.names[$0] }) groups \((structure.labels.max() ?? 0) + 1) error \(structure.heldOutError) cpu \(cpuSeconds() - start)"
        )
        if nested {
            let present = trainer.present
            var total = 0.0
            var counts: [String: Int] = [:]
            for f in 0..<folds {
                let inside = present.filter { $0 % folds != f }
                let choice = try trainer.choose(among: inside)
                counts[choice.form.rawValue, default: 0] += 1
                let model = try trainer.train(choice.form, on: inside, joint: false)
                for c in present where c % folds == f { total += trainer.losses(model, on: c).pinball }
            }
            print(
                "automatic choice: pinball \(total / Double(present.count)), chosen \(counts.sorted { $0.key < $1.key })"
            )
        }
    }

    static func cpuSeconds() -> Double {
        var t = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t)
        return Double(t.tv_sec) + Double(t.tv_nsec) * 1e-9
    }

    static func load(_ paths: [String], shipped: ShippedFiles) throws -> ConfiguredRows {
        let features = try FeatureSet.named("physics").step
        var names: [String] = []
        var facts: [DeploymentFacts] = []
        var evaluators: [StepFeatureEvaluator] = []
        var index: [String: Int] = [:]
        var rows = DesignRows(columns: features.count - 1)
        var configuration: [Int] = []
        for path in paths {
            var reader = try CSVReader(path: path)
            let time = try reader.columnIfPresent("step_ms", "step_cycle_ms") ?? reader.column("step_ms")
            let suspect = reader.columnIfPresent("suspect")
            let context = reader.columnIfPresent("prefill_context")
            let decode =
                try reader.columnIfPresent("decode_context_tokens_total", "decode_context_est")
                ?? reader.column("decode_context_tokens_total")
            let columns = try [
                "gpu", "model", "tp", "ep", "dtype", "num_prefill_reqs", "prefill_tokens", "num_decode_reqs",
            ]
            .map { try reader.column($0) }
            while try reader.next() {
                if let suspect, reader.string(suspect) == "1" { continue }
                let key = columns.prefix(5).map { reader.string($0) }
                let name = key.joined(separator: " ")
                let c: Int
                if let known = index[name] {
                    c = known
                } else {
                    c =
                        try deployment(of: key, shipped).map { made in
                            facts.append(made)
                            names.append(name)
                            evaluators.append(StepFeatureEvaluator(features: features, facts: made))
                            return facts.count - 1
                        } ?? -1
                    index[name] = c
                }
                guard c >= 0 else { continue }
                var state = StepState()
                state.prefillRequests = Int(reader.string(columns[5])) ?? 0
                state.prefillTokens = Int(reader.string(columns[6])) ?? 0
                state.prefillContextTokens = context.flatMap { Int(reader.string($0)) } ?? 0
                let n = Double(max(1, state.prefillRequests))
                let each = Double(state.prefillTokens) / n
                state.prefillAttentionPairs =
                    each * Double(state.prefillContextTokens) + n * each * (each + 1) / 2
                state.decodeRequests = Int(reader.string(columns[7])) ?? 0
                state.decodeContextTokens = Int(Double(reader.string(decode)) ?? 0)
                state.runningRequests = state.prefillRequests + state.decodeRequests
                rows.append(
                    evaluators[c].values(of: state).dropFirst(),
                    target: (Double(reader.string(time)) ?? 0) / 1000)
                configuration.append(c)
            }
        }
        return try ConfiguredRows(
            features: features.dropFirst().map(\.name), rows: rows, configuration: configuration,
            facts: facts,
            names: names)
    }

    static func deployment(of key: [String], _ shipped: ShippedFiles) throws -> DeploymentFacts? {
        var engine = EngineConfiguration()
        engine.model = key[1]
        engine.tensorParallelSize = Int(key[2]) ?? 1
        engine.enableExpertParallel = (Int(key[3]) ?? 1) > 1
        engine.maxModelLen = .tokens(2048)
        if key[4] == "fp8" { engine.quantization = "fp8" }
        engine.numGPUBlocksOverride = 1000
        do {
            return try Deployment(engine, gpu: key[0], shipped: shipped).facts()
        } catch {
            print("skipped \(key): \(error)")
            return nil
        }
    }
}
