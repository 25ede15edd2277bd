import ArgumentParser
import StepTraces

/// `stepcast inspect`: what a trace holds and what is wrong with it.
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Say what a trace holds and what is wrong with it.",
        discussion: """
            Reads OTLP traces (JSON or protobuf; plain, zstd or length-prefixed), vLLM logs, KV-cache events, step-time \
            tables, native step traces, results of vllm bench and inference-perf, and folders of them.

            EXAMPLES
              stepcast inspect traces.json.zst
              stepcast inspect 20260217-202857-llama-2-70b-tp4-general/ --json
            """)

    @Argument(help: "Trace files and folders.", completion: .file())
    var paths: [String]

    @OptionGroup var flags: TraceFlags

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let inspection = try TraceInspection(paths: paths, options: flags.options)
        print(json ? try inspection.json() : inspection.text)
    }
}
