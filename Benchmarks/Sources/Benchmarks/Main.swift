#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Every benchmark; a new one is a file of its own and a line here.
let benchmarks: [Benchmark] = [
    replayBenchmark, simulationBenchmark, prefixBenchmark, steadyDecodeBenchmark, exactStepsBenchmark,
    metricsBenchmark,
    stepTraceBenchmark, trainingBenchmark, oracleBenchmark, sweepBenchmark,
]

@main struct Main {
    static func main() throws {
        let wanted = CommandLine.arguments.dropFirst()
        if let unknown = wanted.first(where: { name in !benchmarks.contains { $0.name == name } }) {
            print(
                "no benchmark is named \(unknown); there are: \(benchmarks.map(\.name).joined(separator: ", "))"
            )
            exit(64)
        }
        var missed = 0
        for benchmark in benchmarks where wanted.isEmpty || wanted.contains(benchmark.name) {
            print("\(benchmark.name): \(benchmark.subject)")
            for measurement in try benchmark.run() {
                let figure = (measurement.value * 1000).rounded() / 1000
                let goal = measurement.target.map { target in
                    " (\(measurement.higherIsBetter ? "at least" : "at most") \(target))"
                        + (measurement.meetsTarget ? "" : " MISSED")
                }
                print("  \(measurement.subject): \(figure) \(measurement.unit)\(goal ?? "")")
                if !measurement.meetsTarget { missed += 1 }
            }
        }
        if missed > 0 { exit(1) }
    }
}
