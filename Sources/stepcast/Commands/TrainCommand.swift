import ArgumentParser
import ByteStreams
import Catalog
import Foundation
import LatencyOracle
import OracleTraining
import Scenarios
import ServingCore
import Validation

/// `stepcast train`: an oracle from traces.
struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Fit a latency oracle to step traces, validate it on time it has not seen, and save both.",
        discussion: """
            ard gives every step a distribution around one prediction; quantile gives P10, P50 and P90 without \
            assuming one; ensemble does so for specialists of similar configurations, as far as they predict \
            configurations left out better than one model does. The quantile methods widen P10-P90 until it holds \
            on later blocks of time; the report says what it covers then, and what it would cover if it were adapted \
            to a live stream of measured steps.

            Examples:
              stepcast train --traces runs --method ensemble -o oracle.json --report report.json
              stepcast train --traces runs --method quantile --l1-penalty choose -o oracle.json
              stepcast train --traces runs --method ensemble --as-written -o written.json --report report.json
            """)

    @OptionGroup var input: TraceInputOptions

    @Option(
        help:
            "ard: sparse Bayesian regression; quantile: P10, P50 and P90 without a distribution; ensemble: quantiles of specialists; hierarchical: non-negative efficiency factors of kernels by accelerator and weight format."
    )
    var method = "ard"

    @Option(help: "Specialists of an ensemble; chosen when absent.")
    var specialists: Int?

    @Option(help: "How many of the nearest specialists answer; all of them: a large number.")
    var topSpecialists: Int?

    @Option(
        help: "Distribution of single steps: gaussian, student-t, lognormal, or auto (best held-out score).")
    var likelihood = "auto"

    @Option(help: "Degrees of freedom of student-t: a number above 2, or learn.")
    var df = "4"

    @Option(help: "How the evidence is climbed: tipping-faul or mackay.")
    var updates = "tipping-faul"

    @Option(
        help:
            "L1 penalty of the quantile methods on standardised coefficients, per unit of mean loss: a number (0 none, at 1 all coefficients are 0), or choose (by configurations left out)."
    )
    var l1Penalty = "0"

    @Option(
        help: "Candidate features: physics, bsr-ard or rece; physics, or rece for an ensemble as written.")
    var features: String?

    @Option(parsing: .upToNextOption, help: "Candidate features to leave out.")
    var without: [String] = []

    @Flag(
        inversion: .prefixedNo,
        help: ArgumentHelp(
            "Coefficients of at least 0: more work never takes less time.",
            discussion: "The default for physics features; without it other deployments may be far off."))
    var nonnegative: Bool?

    @Flag(
        help:
            "Everything as the design writes it, for comparison; of an ensemble the report says what each correction buys."
    )
    var asWritten = false

    @Flag(help: "Minimise absolute instead of relative errors.")
    var absolute = false

    @Option(
        help:
            "Models of their own per accelerator or per configuration, beside the one of all rows: none, accelerator, configuration."
    )
    var specialise = "none"

    @Option(
        parsing: .upToNextOption,
        help:
            "Of hierarchical: steps measured on real engines, where --traces holds times of kernels alone. What they take beyond is the host's."
    )
    var measured: [String] = []

    @Option(
        help:
            "Of hierarchical: the accelerator that the oracle is for; rows of others inform it only. (default: all)"
    )
    var accelerator: String?

    @Option(
        help: ArgumentHelp(
            "Folder of measured runs (index.json and a row per request) to learn the API server's time from.",
            valueName: "dir"))
    var runs: String?

    @Option(help: "Of --runs: only those whose name contains this.")
    var runsMatching: String?

    @Option(help: "Oracle to take the API server's time from instead.", completion: .file())
    var servingTimeOf: String?

    @Option(help: "Share of each run's time, at its end, that is held out for validation.")
    var holdout = 0.3

    @Option(parsing: .upToNextOption, help: "Leave one out, repeatedly: model, hardware, configuration.")
    var leaveOut: [String] = []

    @Option(help: "Forward-chained time blocks to validate on besides.")
    var timeBlocks = 0

    @Option(help: "Name in the artifact; the output file's name by default.")
    var name: String?

    @Option(name: .shortAndLong, help: "Artifact to write.")
    var output: String

    @Option(help: "Report to write (JSON); plots are written beside it.")
    var report: String?

    func run() throws {
        var options = TrainingOptions()
        options.method = try choice(method, "--method")
        options.specialists = specialists
        if let topSpecialists, topSpecialists < 1 {
            throw InvalidInput(
                .usage, field: "--top-specialists", value: "\(topSpecialists)", "is too few",
                accepted: "at least 1")
        }
        options.topSpecialists = topSpecialists
        options.likelihood = try choice(likelihood, "--likelihood")
        options.updates = try choice(updates, "--updates")
        options.specialisation = try choice(specialise, "--specialise")
        let written = asWritten && options.method == .ensemble
        options.features = try FeatureSet.named(features ?? (written ? "rece" : "physics"))
        options.penalty = try penalty(options.method)
        for name in without { _ = try FeatureSet.stepFeature(named: name, in: options.features) }
        options.without = without
        options.nonnegative =
            nonnegative ?? (options.features.name == FeatureSet.physics.name && !asWritten)
        options.relative = !absolute
        options.asWritten = asWritten
        options.degreesOfFreedom = try degreesOfFreedom()
        guard holdout >= 0, holdout < 1 else {
            throw InvalidInput(
                .usage, field: "--holdout", value: "\(holdout)", "is out of range",
                accepted: "0 up to below 1")
        }
        var run = TrainingRun(options)
        run.holdout = holdout
        run.timeBlocks = max(0, timeBlocks)
        run.leaveOneOut = try leaveOut.map { try choice($0, "--leave-out") }
        let shipped = try ShippedFiles.locate()
        var data = try input.read(shipped)
        if options.method == .hierarchical { try addEvidence(&options, &data, shipped) }
        run.options = options
        var outcome = try run.run(data)
        let alpha = try input.readJourneys(shipped).map { AlphaTrainer().fit($0.rows, facts: $0.facts) }
        outcome.report.alpha = alpha?.notes
        var artifact = OracleArtifact(
            name: name ?? fileStem(output),
            summary: summary(options, data, outcome), step: outcome.model)
        artifact.arrival = alpha?.arrival
        artifact.queue = alpha?.queue
        artifact.post = alpha?.post
        if options.method == .hierarchical { artifact.host = HostTime.prior }
        if let servingTimeOf {
            let other = try OracleCatalog(shipped).oracle(servingTimeOf).artifact
            (artifact.arrival, artifact.post) = (other.arrival, other.post)
            artifact.setQueueCost(other.queueCost)
            outcome.report.alpha =
                (outcome.report.alpha ?? []) + ["API server and requests waiting: as in \(other.name)"]
        }
        if let runs {
            let notes = try learn(&artifact, fromRunsIn: runs, shipped)
            if !notes.isEmpty { outcome.report.alpha = (outcome.report.alpha ?? []) + notes }
        }
        artifact.provenance = .init(
            dataHash: outcome.report.data.hash, rows: data.count,
            configurations: outcome.report.data.configurations.map(\.name), method: outcome.report.method,
            sources: (input.traces + measured + (runs.map { [$0] } ?? [])).map(fileName))
        try writeFile(output, try artifact.json())
        try writeFile(stem(output) + ".md", Array(ModelCard.markdown(artifact, outcome.report).utf8))
        if let report {
            try writeFile(report, try outcome.report.json())
            let base = stem(report)
            try writeFile(base + "-predicted.svg", Array(ScatterPlot.svg(outcome.scatter).utf8))
            try writeFile(base + "-calibration.svg", Array(CalibrationPlot.svg(outcome.scatter).utf8))
            if let ensemble = outcome.report.ensemble {
                try writeFile(base + "-clusters.svg", Array(ClusterMap.svg(ensemble.map).utf8))
            }
        }
        print(ReportTables.text(outcome.report))
    }

    /// What the oracle was trained on and for, in a sentence.
    private func summary(_ options: TrainingOptions, _ data: StepDataSet, _ outcome: TrainingRun.Outcome)
        -> String
    {
        let configurations = outcome.report.data.configurations.count
        guard options.method == .hierarchical else {
            return "\(outcome.report.method); \(data.count) rows of \(configurations) configurations"
        }
        let models = Set(data.groups.map(\.facts.modelName)).count
        let accelerators = Set(data.groups.map(\.facts.acceleratorName)).sorted().joined(separator: ", ")
        let measured = (outcome.model.specialised ?? []).count {
            $0.scope.model != nil && $0.model.restsOnKernelTimes != true
        }
        return "kernel times of \(models) models in \(configurations) configurations on \(accelerators)"
            + (measured > 0 ? ", measured steps of \(measured) of them" : "")
    }

    /// Sets apart what the hierarchical method learns from besides the rows it is for.
    private func addEvidence(
        _ options: inout TrainingOptions, _ data: inout StepDataSet, _ shipped: ShippedFiles
    ) throws {
        if !measured.isEmpty {
            options.evidence.measured = try TraceInputOptions.read(
                measured, shipped, model: input.model, gpu: input.gpu,
                tensorParallelSize: input.tensorParallelSize, includeExcluded: true
            ).leavingOut(input.exclude)
        }
        guard let accelerator else { return }
        let names = data.groups.map(\.facts.acceleratorName)
        let own = (0..<data.count).filter { names[data.group[$0]] == accelerator }
        guard !own.isEmpty else {
            throw InvalidInput(
                .usage, field: "--accelerator", value: accelerator, "has no rows",
                accepted: Set(names).sorted().joined(separator: ", "))
        }
        options.evidence.others = data.selecting(
            (0..<data.count).filter { names[data.group[$0]] != accelerator })
        data = data.selecting(own)
    }

    private func penalty(_ method: TrainingOptions.Method) throws -> TrainingOptions.Penalty {
        let isQuantile = method == .quantile || method == .ensemble
        if l1Penalty == "choose", isQuantile { return .chosen }
        guard l1Penalty == "choose" || Double(l1Penalty).map({ $0 >= 0 && $0.isFinite }) == true else {
            throw InvalidInput(
                .usage, field: "--l1-penalty", value: l1Penalty, "is not usable",
                accepted: "a number of at least 0, or choose")
        }
        let value = Double(l1Penalty) ?? 0
        if !isQuantile, l1Penalty == "choose" || value > 0 {
            throw InvalidInput(
                .usage, field: "--l1-penalty", value: l1Penalty, "has no effect on \(method.rawValue)",
                accepted: "--method quantile or ensemble")
        }
        return value > 0 ? .fixed(value) : .none
    }

    private func degreesOfFreedom() throws -> Double? {
        if df == "learn" { return nil }
        guard let value = Double(df), value > 2, value.isFinite else {
            throw InvalidInput(
                .usage, field: "--df", value: df, "is not usable", accepted: "a number above 2, or learn")
        }
        return value
    }
}

/// The case of an enumeration that a flag names.
/// - Throws: `InvalidInput` naming what is accepted.
func choice<Choice: RawRepresentable<String> & CaseIterable>(_ text: String, _ flag: String) throws -> Choice
{
    if let found = Choice(rawValue: text) { return found }
    let known = Choice.allCases.map(\.rawValue)
    throw InvalidInput(
        .usage, field: flag, value: text, "is not known",
        accepted: nearestName(to: text, among: known).map { "did you mean \($0)?" }
            ?? known.joined(separator: ", "))
}

/// Writes a file whole or not at all.
func writeFile(_ path: String, _ bytes: [UInt8]) throws {
    var file = try WholeFileWriter(path: path)
    file.append(bytes)
    try file.finish()
}

/// A path without its extension.
func stem(_ path: String) -> String {
    let name = fileName(path)
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return path }
    return String(path.dropLast(name.distance(from: dot, to: name.endIndex)))
}

/// Last component of a path.
func fileName(_ path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
}

/// Last component of a path without its extension.
func fileStem(_ path: String) -> String { fileName(stem(path)) }
