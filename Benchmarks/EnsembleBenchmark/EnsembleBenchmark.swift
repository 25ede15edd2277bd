import Catalog
import LatencyOracle
import OracleTraining
import ServingCore
import StepTraces

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What training an ensemble costs, and how its forms do on configurations left out.
///
///     ensemble-benchmark HOME TRACES... [--rows 80000]     CPU seconds of the whole training
///     ensemble-benchmark HOME TRACES... --compare [--folds 20]   one table of forms on configurations left out
@main
enum EnsembleBenchmark {
    static func main() throws {
        var arguments = Array(CommandLine.arguments.dropFirst())
        func option(_ name: String) -> Int? {
            guard let k = arguments.firstIndex(of: name), k + 1 < arguments.count else { return nil }
            let value = Int(arguments[k + 1])
            arguments.removeSubrange(k...(k + 1))
            return value
        }
        let folds = option("--folds") ?? 20
        let rows = option("--rows") ?? 80_000
        let comparing = arguments.contains("--compare")
        arguments.removeAll { $0 == "--compare" }
        guard arguments.count > 1 else {
            print("usage: ensemble-benchmark HOME TRACES... [--rows N | --compare [--folds N]]")
            exit(64)
        }
        let shipped = ShippedFiles(home: arguments[0])
        let data = try StepDataSet(
            reading: StepTraceReader(paths: Array(arguments[1...])),
            resolution: DeploymentResolution(shipped))
        if comparing { try FormComparison.run(data, folds: folds) } else { try time(data, rows: rows) }
    }

    /// Trains on `rows` rows: the data's, over and over with 2 % of noise.
    static func time(_ data: StepDataSet, rows: Int) throws {
        var all = data
        var stream = RandomStream(seed: 5, purpose: "copies")
        while all.count < rows { all.add(data.mapSeconds { $1 * (0.98 + 0.04 * stream.uniform()) }) }
        let chosen = Array((0..<all.count).prefix(rows))
        all = all.selecting(chosen)
        var options = TrainingOptions()
        options.method = .ensemble
        let start = cpuSeconds()
        let outcome = try QuantileStepTrainer(options).fit(all, rows: Array(0..<all.count))
        let spent = cpuSeconds() - start
        print(
            "ensemble of \(all.count) rows, \(all.groups.count) configurations: \(spent) CPU s "
                + "(\(outcome.report.form), certified \(outcome.report.certified)), target 5")
        for form in outcome.report.screened ?? [] { print("  screened \(form.form) \(form.pinball)") }
        for form in outcome.report.compared { print("  compared \(form.form) \(form.pinball)") }
        if spent > 5 { exit(1) }
    }

    static func cpuSeconds() -> Double {
        var t = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t)
        return Double(t.tv_sec) + Double(t.tv_nsec) * 1e-9
    }
}
