import ServingCore
import Workload

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// CPU time and memory of drawing requests: `swift run -c release workload-benchmark [requests]` in this folder's parent.
///
/// Prints nanoseconds of CPU time per request and the largest memory so far, which must not grow with the number of
/// requests. Exit status 1 when a plain synthetic load costs 100 ns or more per request.
@main
struct WorkloadBenchmark {
    static let specifications: [(name: String, yaml: String)] = [
        ("random, Poisson 20/s, 512 in, 128 out", "request_rate: 20\ninput_len: 512\noutput_len: 128"),
        (
            "gamma gaps, lognormal in, exponential out",
            """
            load: {type: gamma, request_rate: 20, burstiness: 0.5}
            input_len: {type: lognormal, median: 800, sigma: 1, max: 32000}
            output_len: {type: exponential, mean: 200, max: 4000}
            """
        ),
        (
            "uniform lengths, Zipf prefixes, priorities",
            """
            request_rate: 20
            input_len: {type: uniform, min: 10, max: 2000}
            output_len: {type: quantiles, quantiles: {0: 1, 0.5: 100, 0.9: 400, 1: 1000}}
            shared_prefix: {num_groups: 1000, prefix_len: 512, popularity: zipf}
            priority: {0: 0.9, 1: 0.1}
            """
        ),
        (
            "Weibull gaps, empirical lengths, three classes",
            """
            load: {type: weibull, request_rate: 20, shape: 0.6}
            classes:
            - {weight: 5, input_len: {type: empirical, values: [100, 200, 4000], weights: [1, 2, 3]}, output_len: 100}
            - {weight: 2, input_len: 2000, output_len: {type: normal, mean: 300, std_dev: 100}}
            - {weight: 1, input_len: {type: pareto, scale: 50, shape: 1.5, max: 50000}, output_len: 5}
            """
        ),
        (
            "diurnal rate",
            "load: {request_rate: 20, diurnal: {amplitude: 0.8, period: 86400}}\ninput_len: 512\noutput_len: 128"
        ),
        (
            "conversations of 8 turns on average",
            """
            request_rate: 20
            input_len: {type: lognormal, median: 80, sigma: 1}
            output_len: {type: exponential, mean: 200}
            shared_prefix: {num_groups: 10, prefix_len: 512}
            multi_turn: {turns: {type: uniform, min: 1, max: 15}, think_time: {type: exponential, mean: 10}}
            """
        ),
    ]

    static func main() throws {
        let wanted = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 10_000_000
        var tooSlow = false
        print("ns/request  peak MiB  \(wanted) requests each")
        for (name, yaml) in specifications {
            var warnings: [String] = []
            var specification = try WorkloadSpecification(yaml: yaml, source: name, warnings: &warnings)
            specification.numPrompts = wanted
            let start = cpuSeconds()
            let (requests, checksum) = try drain(specification, wanted: wanted)
            let cost = (cpuSeconds() - start) * 1e9 / Double(requests)
            if name.hasPrefix("random"), cost >= 100 { tooSlow = true }
            print("\(padded(cost))  \(padded(peakMebibytes()))  \(name)  [\(checksum)]")
        }
        if tooSlow { exit(1) }
    }

    /// Draws all requests, conversations to their end.
    private static func drain(_ specification: WorkloadSpecification, wanted: Int) throws -> (Int, UInt64) {
        var stream = RequestStream(specification, seed: 1)
        var request = IncomingRequest()
        var requests = 0
        var checksum: UInt64 = 0
        while requests < wanted, try stream.next(&request) {
            requests += 1
            checksum = mix(checksum, request)
            while request.session >= 0,
                stream.followUp(session: request.session, finishedAt: request.arrival, &request)
            {
                requests += 1
                checksum = mix(checksum, request)
            }
        }
        return (requests, checksum)
    }

    private static func mix(_ sum: UInt64, _ request: IncomingRequest) -> UInt64 {
        var sum = sum
        sum = sum &* 31 &+ UInt64(bitPattern: request.arrival)
        sum = sum &* 31 &+ UInt64(request.promptTokens)
        return sum &* 31 &+ UInt64(request.outputTokens)
    }

    private static func padded(_ value: Double) -> String {
        let text = String((value * 10).rounded() / 10)
        return String(repeating: " ", count: max(0, 9 - text.count)) + text
    }

    /// What this process has used; `RUSAGE_SELF` is 0 everywhere but not of the same type.
    private static var usage: rusage {
        var usage = rusage()
        getrusage(0, &usage)
        return usage
    }

    private static func cpuSeconds() -> Double {
        let used = usage
        return Double(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
            + Double(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6
    }

    private static func peakMebibytes() -> Double { Double(usage.ru_maxrss) / 1024 }
}
