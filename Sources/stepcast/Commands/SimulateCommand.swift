import ArgumentParser
import Catalog
import Foundation
import Reports
import Scenarios
import ServingCore
import Simulation
import StepTraces
import Workload

/// `stepcast simulate`: one deployment, one load, every request.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract:
            "Say what TTFT, ITL, TPOT, E2E latency, throughput and goodput a vLLM deployment will have.",
        discussion: """
            The deployment is a model, an accelerator and vLLM's own flags; what is left out gets vLLM's defaults \
            for that accelerator and release. The load is a trace file, a workload, or the random load of \
            `vllm bench serve`. All of it may stand in a scenario file under the same names; --set and flags \
            override the file.

            TTFT is the time from sending to the first token. TPOT is (E2E - TTFT) / (output tokens - 1) per \
            request. ITL pools every gap between tokens. E2E is the time from sending to the last token.

            EXAMPLES
              stepcast simulate --model llama-3.1-8b --gpu h100-sxm --trace azure.csv
              stepcast simulate --model llama-3.3-70b --gpu h100-sxm -tp 4 --workload chat --request-rate 12 \\
                --goodput ttft:500 tpot:50 --output result.json
              stepcast simulate --gpu l40s --vllm-serve "vllm serve Qwen/Qwen3-8B --max-num-seqs 64" \\
                --request-rate 4 --num-prompts 2000
              stepcast simulate scenario.yaml --set max-num-batched-tokens=4096

            EXIT STATUS
              0 done   64 usage   65 bad data   66 no such input   74 could not write
            """)

    @OptionGroup var options: ScenarioOptions

    @Option(
        help: "What a step takes: mean, median, a percentile such as p90, or sample for a draw in every step."
    )
    var latency: String?

    @Option(
        help: ArgumentHelp(
            "Rerun this often with oracles drawn from what its training data leave open, for 90 % bands.",
            valueName: "reruns"))
    var uncertainty: Int?

    @Option(help: "Reruns at the same time. (default: all cores)")
    var jobs: Int?

    @Option(help: "Servers of this deployment behind a router, each on GPUs of its own.")
    var replicas: Int?

    @Option(
        help:
            "How the router chooses: round-robin, least-loaded, prefix-affinity or power-of-two-choices. (default: round-robin)"
    )
    var router: String?

    @Option(
        parsing: .upToNextOption, help: "Limits that make a request good, in ms: ttft:MS tpot:MS e2el:MS.")
    var goodput: [String] = []

    @Option(help: "Leave this many requests at the start out of the metrics.")
    var warmupRequests: Int?

    @Option(help: "Leave requests sent in the first seconds out of the metrics.")
    var warmupSeconds: Double?

    @Option(help: "Stop after this many simulated seconds.")
    var duration: Double?

    @Option(help: "Percentiles to report, separated by commas. (default: 50,90,95,99)")
    var metricPercentiles: String?

    @Flag(help: "Visit every request in every step; same results, slower.")
    var exactSteps = false

    @Option(
        help: ArgumentHelp(
            "Write the result as JSON, with the keys of `vllm bench serve --save-result`.", valueName: "file"),
        completion: .file())
    var output: String?

    @Option(
        help: ArgumentHelp(
            "Write a row per request as CSV; compressed if the name ends in .zst.", valueName: "file"),
        completion: .file())
    var requestsOutput: String?

    @Option(
        help: ArgumentHelp(
            "Write a row per engine step, every feature input exact: a trace that `stepcast train` reads.",
            valueName: "file"), completion: .file())
    var stepTrace: String?

    @Flag(help: "Put today's date into the JSON; without it the same inputs give the same bytes.")
    var date = false

    @Option(help: ArgumentHelp("Label of the result file.", visibility: .hidden))
    var label: String?

    func run() throws {
        let shipped = try ShippedFiles.locate()
        var shown = ReportOptions()
        shown.label = label
        if date { shown.date = Self.timestamp() }
        let scenario = try scenario()
        shown.metricPercentiles = scenario.percentiles
        let prepared = try scenario.prepare(shipped: shipped)
        for warning in prepared.requests.warnings { note("warning: \(warning)") }
        var result = try simulate(prepared)
        result.uncertainty = try RerunProgress.bands(of: prepared, jobs: jobs)
        if let output { try resultJSON(result, shown).write(to: output) }
        print(benchServeReport(result, shown), terminator: "")
        print(forecastReport(result, shown), terminator: "")
    }

    // MARK: Scenario

    private func scenario() throws -> Scenario {
        var scenario = try options.scenario()
        scenario.replicas = replicas ?? scenario.replicas
        if let router { scenario.router = try RoutingPolicy(parsing: router) }
        if let latency { scenario.latency = try LatencyMode(parsing: latency) }
        if let uncertainty { scenario.uncertaintyReruns = try RerunProgress.checked(uncertainty) }
        if !goodput.isEmpty { scenario.objectives = try ServiceLevelObjectives(parsing: goodput) }
        if let warmupRequests {
            scenario.warmUp = .requests(try atLeastZero(warmupRequests, "--warmup-requests"))
        }
        if let warmupSeconds {
            scenario.warmUp = .time(Ticks(seconds: try atLeastZero(warmupSeconds, "--warmup-seconds")))
        }
        if let duration { scenario.horizon = try atLeastZero(duration, "--duration") }
        if let metricPercentiles { scenario.percentiles = try percentiles(metricPercentiles) }
        if exactSteps { scenario.exactSteps = true }
        return scenario
    }

    private func percentiles(_ metricPercentiles: String) throws -> [Double] {
        let parts = metricPercentiles.split(separator: ",", omittingEmptySubsequences: false)
        return try parts.map { part in
            guard let value = Double(part.trimmingCharacters(in: .whitespaces)), (0...100).contains(value)
            else {
                throw InvalidInput(
                    .usage, field: "--metric-percentiles", value: metricPercentiles,
                    "is not a list of percentiles",
                    accepted: "numbers from 0 to 100 separated by commas")
            }
            return value
        }
    }

    // MARK: Run

    private func simulate(_ prepared: PreparedScenario) throws -> SimulationResult {
        var prepared = prepared
        prepared.configuration.collectsRecords = requestsOutput != nil
        prepared.configuration.collectsSteps = stepTrace != nil
        var run = try prepared.makeRun()
        var requests = try requestsOutput.map { try RequestsCSVWriter(path: $0) }
        var steps = try stepTrace.map {
            try NativeStepTraceWriter(path: $0, facts: prepared.facts, name: prepared.deployment.model.name)
        }
        var progress = ProgressLine()
        Interruption.catchInterrupts()
        while try run.advance(events: 1 << 16) {
            for record in run.takeRecords() { requests?.append(record) }
            for step in run.takeSteps() { steps?.append(step) }
            try Interruption.check()
            progress.show(
                requests: run.sentRequests, of: prepared.requests.count, simulated: run.time.seconds)
        }
        let result = run.finish()
        for record in run.takeRecords() { requests?.append(record) }
        for step in run.takeSteps() { steps?.append(step) }
        progress.clear()
        try requests?.finish()
        try steps?.finish()
        return prepared.describe(result)
    }

    private func note(_ text: String) { FileHandle.standardError.write(Data("stepcast: \(text)\n".utf8)) }

    /// `YYYYmmdd-HHMMSS`, local time, as `vllm bench serve` writes it.
    private static func timestamp() -> String {
        var now = time(nil)
        var local = tm()
        localtime_r(&now, &local)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(1900 + local.tm_year)\(two(local.tm_mon + 1))\(two(local.tm_mday))-"
            + two(local.tm_hour) + two(local.tm_min) + two(local.tm_sec)
    }
}

extension NativeStepTraceWriter {
    mutating func append(_ step: borrowing StepRecord) {
        append(start: step.start, end: step.end, state: step.state, seconds: step.seconds)
    }
}
