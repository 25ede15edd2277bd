import ArgumentParser
import StepTraces

/// What a person may say about the deployment that wrote a trace; a trace that says otherwise is an error.
struct TraceFlags: ParsableArguments {
    @Option(help: "Model that was served.")
    var model: String?

    @Option(help: "Accelerator that it was served on.")
    var gpu: String?

    @Option(
        name: [.customLong("tensor-parallel-size"), .customLong("tp", withSingleDash: true)],
        help: "Tensor-parallel ranks.")
    var tensorParallelSize: Int?

    @Option(help: "Tokens per KV block.")
    var blockSize: Int?

    @Option(help: "Token budget of a step.")
    var maxNumBatchedTokens: Int?

    @Option(help: "Limit of running requests.")
    var maxNumSeqs: Int?

    @Flag(inversion: .prefixedNo, help: "Whether steps were scheduled asynchronously.")
    var asyncScheduling: Bool?

    @Flag(help: "Rebuild context lengths from snapshots and journeys even where the trace states them.")
    var ignoreRecordedContext = false

    /// The options that readers take.
    var options: TraceOptions {
        var options = TraceOptions()
        options.flags.model = model
        options.flags.accelerator = gpu
        options.flags.tensorParallelSize = tensorParallelSize
        options.flags.blockSize = blockSize
        options.flags.maxNumBatchedTokens = maxNumBatchedTokens
        options.flags.maxNumSeqs = maxNumSeqs
        options.flags.asyncScheduling = asyncScheduling
        options.useRecordedContext = !ignoreRecordedContext
        return options
    }

    func validate() throws {
        for (name, value) in [
            ("--tensor-parallel-size", tensorParallelSize), ("--block-size", blockSize),
            ("--max-num-batched-tokens", maxNumBatchedTokens), ("--max-num-seqs", maxNumSeqs),
        ] {
            if let value, value < 1 { throw ValidationError("\(name) must be at least 1, not \(value)") }
        }
    }
}
