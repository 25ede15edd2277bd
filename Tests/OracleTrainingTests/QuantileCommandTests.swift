import Foundation
import ServingCore
import Testing

/// The quantile methods from the command line, against the release build.
private enum Program {
    static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
    static let path = package + "/.build-stepcast/release/stepcast"
    static let isBuilt = FileManager.default.isExecutableFile(atPath: path)

    struct Outcome {
        var status: Int32
        var output: String
        var errors: String
    }

    /// Runs the program in a folder.
    static func run(_ arguments: [String], in folder: String) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        process.currentDirectoryURL = URL(filePath: folder)
        // Files, not pipes: neither fills up.
        let names = ["output", "errors"].map { folder + "/" + $0 }
        for name in names { _ = FileManager.default.createFile(atPath: name, contents: nil) }
        process.standardOutput = try FileHandle(forWritingTo: URL(filePath: names[0]))
        process.standardError = try FileHandle(forWritingTo: URL(filePath: names[1]))
        try process.run()
        process.waitUntilExit()
        let texts = try names.map { String(decoding: try Data(contentsOf: URL(filePath: $0)), as: UTF8.self) }
        return Outcome(status: process.terminationStatus, output: texts[0], errors: texts[1])
    }

    /// A folder of its own that links to what the program needs.
    static func folder() throws -> String {
        let path = FileManager.default.temporaryDirectory.path + "/stepcast-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    /// A table of step times: a linear law per accelerator with noise.
    static func table(
        _ configurations: [(gpu: String, model: String, tp: Int)], rows: Int, seed: UInt64 = 1
    ) -> String {
        var stream = RandomStream(seed: seed, purpose: "step table")
        var text =
            "gpu,model,tp,ep,dtype,num_prefill_reqs,prefill_tokens,prefill_context,num_decode_reqs,decode_context_tokens_total,step_ms\n"
        for (gpu, model, tp) in configurations {
            let law = gpu == "H100" ? (0.02, 6.0) : (0.05, 9.0)
            for _ in 0..<rows {
                let prefill = stream.uniform() < 0.4 ? 16 + Int(stream.uniform() * 1000) : 0
                let decodes = 1 + Int(stream.uniform() * 60)
                let time = (law.1 + law.0 * Double(prefill) + 0.03 * Double(decodes)) / Double(tp)
                let noise = 1 + 0.2 * (stream.uniform() - 0.4)
                text +=
                    "\(gpu),\(model),\(tp),1,bf16,\(prefill > 0 ? 1 : 0),\(prefill),0,\(decodes),\(decodes * 500),\(time * noise)\n"
            }
        }
        return text
    }
}

@Suite(.enabled(if: Program.isBuilt, "needs the release build that ./test makes"))
struct `The quantile methods from the command line` {
    private static let configurations = [
        (gpu: "H100", model: "Llama-3.1-8B", tp: 1), (gpu: "H100", model: "Llama-2-7B", tp: 1),
        (gpu: "H100", model: "Llama-2-70B", tp: 4), (gpu: "A100", model: "Llama-3.1-8B", tp: 1),
        (gpu: "A100", model: "Llama-2-7B", tp: 1), (gpu: "A100", model: "Llama-2-70B", tp: 4),
    ]

    @Test(arguments: [
        ["quantile"], ["ensemble"], ["quantile", "--l1-penalty", "choose"], ["ensemble", "--as-written"],
    ])
    func `train, evaluate, predict, transfer and drift go together`(method: [String]) throws {
        let folder = try Program.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Program.table(Self.configurations, rows: 420).write(
            toFile: folder + "/steps.csv", atomically: true, encoding: .utf8)
        let train = try Program.run(
            ["train", "--traces", "steps.csv", "--method"] + method
                + ["-o", "oracle.json", "--report", "report.json"], in: folder)
        #expect(train.status == 0, "\(train.errors)")
        #expect(train.output.contains("intervals on the rows held out"))
        #expect(train.output.contains("BSR-ARD"))
        for part in method where part == "--l1-penalty" {
            #expect(train.output.contains("(chosen)"), "\(part)")
        }
        if method.contains("--as-written") {
            #expect(train.output.contains("what each correction of the design buys"))
            #expect(train.output.contains("intervals calibrated on later blocks"))
        }
        let map = try String(contentsOfFile: folder + "/report-clusters.svg", encoding: .utf8)
        #expect(map.components(separatedBy: "<circle").count == Self.configurations.count + 1)
        let evaluate = try Program.run(
            ["evaluate", "--oracle", "oracle.json", "--traces", "steps.csv", "--after", "0.7", "--adaptive"],
            in: folder)
        #expect(evaluate.status == 0, "\(evaluate.errors)")
        #expect(evaluate.output.contains("adaptive, knowing the steps before"))
        let predict = try Program.run(
            [
                "predict", "--oracle", "oracle.json", "--model", "llama-3.1-8b", "--gpu", "h100", "--steps",
                "steps.csv",
            ],
            in: folder)
        #expect(predict.status == 0, "\(predict.errors)")
        let lines = predict.output.split(separator: "\n")
        #expect(lines.count == 420 * Self.configurations.count + 1)
        for line in lines.dropFirst() {
            let values = line.split(separator: ",", omittingEmptySubsequences: false).prefix(5).compactMap {
                Double($0)
            }
            #expect(values.count == 5 && values[2] <= values[3] && values[3] <= values[4], "\(line)")
        }
        let transfer = try Program.run(
            ["transfer", "--oracle", "oracle.json", "--traces", "steps.csv", "-o", "target.json"], in: folder)
        #expect([0, 1].contains(transfer.status), "\(transfer.errors)")
        #expect(transfer.output.contains("decision"))
        let drift = try Program.run(
            ["drift", "--oracle", "oracle.json", "--traces", "steps.csv", "--reference", "200"], in: folder)
        #expect([0, 1].contains(drift.status), "\(drift.errors)")
        let donors = try Program.run(["donors", "--candidates", "steps.csv", "-n", "3"], in: folder)
        #expect(donors.status == 0 && donors.output.contains("covering radius"), "\(donors.errors)")
    }

    @Test func `a group too small to calibrate shares, and configurations alike are one`() throws {
        let folder = try Program.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let text = Program.table(Array(Self.configurations.prefix(2)), rows: 400)
        let few = Program.table([Self.configurations[3]], rows: 40, seed: 2).split(separator: "\n")
            .dropFirst()
        try (text + few.joined(separator: "\n") + "\n").write(
            toFile: folder + "/steps.csv", atomically: true, encoding: .utf8)
        let train = try Program.run(
            [
                "train", "--traces", "steps.csv", "steps.csv", "--method", "ensemble", "-o", "o.json",
                "--report", "r.json",
            ],
            in: folder)
        #expect(train.status == 0, "\(train.errors)")
        let report = try String(contentsOfFile: folder + "/r.json", encoding: .utf8)
        #expect(report.contains("\"pooled_calibration\" : [\n      \"llama-3.1-8b/a100"))
    }

    @Test(
        arguments: [
            (["--method", "ensemble", "--specialists", "9"], "1 to 2", 64),
            (["--method", "ensemble", "--specialists", "0"], "1 to 2", 64),
            (["--method", "ensemble", "--top-specialists", "0"], "at least 1", 64),
            (["--method", "quantil"], "quantile", 64),
            (["--method", "quantile", "--l1-penalty", "lots"], "choose", 64),
            (["--method", "quantile", "--l1-penalty=-1"], "at least 0", 64),
            (["--method", "quantile", "--l1-penalty", "nan"], "at least 0", 64),
            (["--method", "ard", "--l1-penalty", "1"], "quantile or ensemble", 64),
            (["--method", "quantile", "--features", "fysics"], "physics", 65),
            (["--method", "quantile", "--holdout", "1"], "below 1", 64),
        ] as [([String], String, Int32)])
    func `bad settings end in one line that says what is accepted`(
        flags: [String], accepted: String, status: Int32
    ) throws {
        let folder = try Program.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Program.table(Array(Self.configurations.prefix(2)), rows: 40).write(
            toFile: folder + "/steps.csv", atomically: true, encoding: .utf8)
        let train = try Program.run(["train", "--traces", "steps.csv", "-o", "o.json"] + flags, in: folder)
        #expect(train.status == status, "\(train.errors)")
        #expect(train.errors.contains(accepted), "\(train.errors)")
        #expect(train.errors.split(separator: "\n").count == 1, "\(train.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder + "/o.json"))
    }

    @Test(arguments: ["nan", "-1", "inf", "1e999", "", "fast"])
    func `a step time that is none ends in one line or is left out and counted`(value: String) throws {
        let folder = try Program.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let good = Program.table([Self.configurations[0]], rows: 60)
        try (good + "H100,Llama-3.1-8B,1,1,bf16,0,0,0,4,400,\(value)\n").write(
            toFile: folder + "/steps.csv", atomically: true, encoding: .utf8)
        let train = try Program.run(
            ["train", "--traces", "steps.csv", "--method", "quantile", "-o", "o.json"], in: folder)
        if train.status == 0 {
            #expect(train.output.contains("left out: 1 x"), "\(train.output)")
        } else {
            #expect(train.status == 65 && train.errors.split(separator: "\n").count == 1, "\(train.errors)")
            #expect(!FileManager.default.fileExists(atPath: folder + "/o.json"))
        }
    }
}
