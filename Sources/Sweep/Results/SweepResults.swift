import ByteStreams
import Catalog
import Scenarios
import ServingCore
import Workload

/// What a sweep came to: every configuration's outcome, their ranking, the best and the frontier.
public struct SweepResults: Sendable {
    /// What was swept.
    public let specification: SweepSpecification
    /// An outcome for each configuration, by number.
    public let outcomes: [SweepOutcome]
    /// From the best to the worst.
    public let ranking: [SweepOutcome]
    /// Numbers of the configurations that nothing beats in both tokens/s/user and tokens/s/GPU.
    public let frontier: [Int]
    /// The best one that holds its constraints, or may; nil when none does.
    public let best: SweepOutcome?
    /// Numbers of configurations that are as good as the best within the noise of the runs.
    public let tied: [Int]
    /// How the leaders fare under other oracles; nil if the specification asks for none or nothing leads.
    public let uncertainty: LeaderUncertainty?
    let run: SweepRun

    init(_ run: SweepRun, outcomes: [SweepOutcome], reruns: [SweepOutcome]) throws {
        self.run = run
        specification = run.specification
        self.outcomes = outcomes.sorted { $0.index < $1.index }
        let standing = Standing(specification: run.specification)
        ranking = standing.ranked(outcomes)
        let candidates = standing.candidates(ranking)
        uncertainty = LeaderUncertainty(candidates.prefix(SweepRun.leaders), reruns, standing)
        frontier = Self.frontier(candidates)
        best = candidates.first
        if let best = candidates.first {
            tied = candidates.dropFirst().filter {
                (standing.lead(of: best, over: $0) ?? .infinity) <= standing.noise(between: best, and: $0)
            }.map(\.index)
        } else {
            tied = []
        }
    }

    /// Whether a configuration that holds its constraints for certain was found.
    public var hasAnswer: Bool {
        best.map { Standing(specification: specification).verdict($0).verdict == .holds } ?? false
    }

    /// The points that no other is at least as good as in both figures and better in one, by tokens/s/user ascending.
    static func frontier(_ outcomes: [SweepOutcome]) -> [Int] {
        let points = outcomes.compactMap { outcome -> (index: Int, user: Double, gpu: Double)? in
            guard let user = outcome.values["output_throughput_per_user"],
                let gpu = outcome.values["output_throughput_per_gpu"]
            else { return nil }
            return (outcome.index, user, gpu)
        }
        // From the fastest for a user; a point counts when its GPU does more than all faster ones.
        let sorted = points.sorted { a, b in
            a.user != b.user ? a.user > b.user : a.gpu != b.gpu ? a.gpu > b.gpu : a.index < b.index
        }
        var most = -Double.infinity
        var frontier: [Int] = []
        for point in sorted where point.gpu > most {
            frontier.append(point.index)
            most = point.gpu
        }
        return frontier.reversed()
    }

    /// Writes every file of the results into a folder, each whole or not at all.
    /// - Throws: `InvalidInput` of kind `cannotWrite`.
    public func write(to folder: String) throws {
        func write(_ name: String, _ text: String) throws {
            var file = try WholeFileWriter(path: folder + "/" + name)
            file.append(text: text)
            try file.finish()
        }
        try write("results.csv", csv)
        try write("results.json", json.text)
        try write("frontier.svg", frontierSVG)
        guard let best else { return }
        try write("best.yaml", try scenario(of: best).yaml)
        try write("best.sh", try serveScript(of: best))
    }

    /// The configuration of an outcome.
    func configuration(_ outcome: SweepOutcome) -> SweepConfiguration {
        run.space.configurations[outcome.index]
    }

    /// An outcome's scenario, complete, with the rate that was found, which `stepcast simulate` runs to the same figures.
    func scenario(of outcome: SweepOutcome) throws -> ScenarioFile {
        var rate: (field: String, value: Double)?
        if case .highestRate(let settings) = specification.search,
            let value = outcome.values["max_request_rate"],
            value > 0
        {
            rate = (settings.field, value)
        }
        var file = try run.scenarioFile(configuration(outcome), rate: rate)
        try file.set(
            "percentiles",
            to: .array(specification.percentiles.map { .number($0) }))
        // Paths hold from wherever it is run.
        for field in ["trace", "vllm-config"] {
            if case .string(let path)? = file.value(at: field) {
                try file.set(field, to: .string(absolutePath(file.path(relative: path))))
            }
        }
        for field in ["workload", "oracle", "gpu", "model"] {
            if case .string(let path)? = file.value(at: field), SweepFolder.isFile(path) {
                if field == "workload", WorkloadCatalog(folder: run.workloadFolder).names.contains(path) {
                    continue
                }
                try file.set(field, to: .string(absolutePath(path)))
            }
        }
        return file
    }
}
