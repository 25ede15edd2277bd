import ArgumentParser
import Scenarios
import ServingCore
import Workload

/// The load: a workload, a trace, or the flags of `vllm bench serve`. Shared by every command that sends requests.
struct WorkloadOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Workload: a name that `stepcast workloads` lists, or a path to a YAML specification or an inference-perf profile.",
            valueName: "name|file"), completion: .file(extensions: ["yaml", "yml", "json"]))
    var workload: String?

    @Option(
        help: ArgumentHelp(
            "Request trace, CSV or JSON lines, plain or zstd; its format is recognised.", valueName: "file"),
        completion: .file())
    var trace: String?

    @Option(
        help:
            "Requests per second, or inf for all at once; replaces the arrival times of a workload or trace.")
    var requestRate: Double?

    @Option(help: "Shape of the gamma distribution of gaps: 1 is Poisson, below 1 is more bursty.")
    var burstiness: Double?

    @Option(help: "Requests that the client keeps in flight at most.")
    var maxConcurrency: Int?

    @Option(help: "Requests to send; of a trace the first ones. 1000 without a workload or trace.")
    var numPrompts: Int?

    @Option(help: "Prompt tokens of the random load. (default: 1024)")
    var randomInputLen: Int?

    @Option(help: "Output tokens of the random load. (default: 128)")
    var randomOutputLen: Int?

    @Option(
        help: "Lengths of the random load vary uniformly by this share, at least 0 and below 1. (default: 0)")
    var randomRangeRatio: Double?

    @Option(help: "Tokens that all prompts of the random load begin with, on top of the others. (default: 0)")
    var randomPrefixLen: Int?

    @Option(help: "Send the first requests only: this many.")
    var limit: Int?

    @Option(help: "Multiply the rate of a workload or trace.")
    var rateScale: Double?

    private var hasRandomFlags: Bool {
        randomInputLen != nil || randomOutputLen != nil || randomRangeRatio != nil || randomPrefixLen != nil
    }

    /// Overrides the load of a scenario with what was given here.
    /// - Throws: `InvalidInput` for flags that contradict each other.
    func apply(to scenario: inout Scenario) throws {
        scenario.loadRequest.requestRate = requestRate ?? scenario.loadRequest.requestRate
        scenario.loadRequest.burstiness = burstiness ?? scenario.loadRequest.burstiness
        scenario.loadRequest.maxConcurrency = maxConcurrency ?? scenario.loadRequest.maxConcurrency
        scenario.loadRequest.numPrompts = numPrompts ?? scenario.loadRequest.numPrompts
        scenario.loadRequest.limit = limit ?? scenario.loadRequest.limit
        scenario.loadRequest.rateScale = rateScale ?? scenario.loadRequest.rateScale
        if workload != nil || trace != nil {
            guard workload == nil || trace == nil else {
                throw InvalidInput(
                    .usage, field: "--trace", "doesn't go with --workload", accepted: "one of the two")
            }
            guard !hasRandomFlags else {
                throw InvalidInput(
                    .usage, field: "--random-…", "doesn't go with --workload or --trace",
                    accepted: "the random load's flags without a workload or trace")
            }
        }
        if let workload { scenario.load = .workload(workload) }
        if let trace { scenario.load = .trace(path: trace, options: TraceOptions()) }
        guard hasRandomFlags else { return }
        var lengths = Scenario.RandomLengths()
        if case .random(let given) = scenario.load { lengths = given }
        lengths.inputLength = randomInputLen ?? lengths.inputLength
        lengths.outputLength = randomOutputLen ?? lengths.outputLength
        lengths.rangeRatio = randomRangeRatio ?? lengths.rangeRatio
        lengths.prefixLength = randomPrefixLen ?? lengths.prefixLength
        scenario.load = .random(lengths)
    }
}
