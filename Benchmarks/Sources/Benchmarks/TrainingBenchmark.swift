import LatencyOracle
import OracleTraining
import ServingCore

/// Sparse Bayesian regression, from rows in memory to a posterior.
let trainingBenchmark = Benchmark(
    name: "training", subject: "ARD on 22 features"
) {
    let small = rows(50_000)
    let large = rows(500_000)
    let fit = leastProcessorSeconds(repeats: 5) {
        precondition(ARDRegression.fit(GramBlock(small)) != nil)
    }
    let mackay = leastProcessorSeconds(repeats: 5) {
        precondition(ARDRegression.fit(GramBlock(small), updates: .mackay) != nil)
    }
    let studentT = leastProcessorSeconds {
        precondition(StudentTARD.fit(small, degreesOfFreedom: 4) != nil)
    }
    let many = leastProcessorSeconds {
        precondition(ARDRegression.fit(GramBlock(large)) != nil)
    }
    return [
        Measurement(subject: "50,000 rows", value: fit * 1000, unit: "ms", target: 10),
        Measurement(subject: "50,000 rows, MacKay updates", value: mackay * 1000, unit: "ms", target: 10),
        Measurement(subject: "50,000 rows, Student-t", value: studentT * 1000, unit: "ms", target: 100),
        Measurement(subject: "500,000 rows", value: many * 1000, unit: "ms", target: 150),
    ]
}

/// What the oracle costs per simulated step.
let oracleBenchmark = Benchmark(name: "oracle", subject: "step times of the roofline prior, 10,000,000 steps")
{
    var facts = DeploymentFacts()
    facts.layers = 32
    facts.hiddenSize = 4096
    facts.denseWeightBytesPerRank = 15e9
    facts.flopsPerTokenPerRank = 14e9
    facts.attentionFlopsPerPairPerRank = 524_288
    facts.kvBytesPerTokenPerRank = 131_072
    facts.peakFlops = 989e12
    facts.memoryBandwidth = 3.35e12
    let oracle = try StepTimeOracle.roofline.compile(for: facts)
    let steps = 10_000_000
    var total = 0.0
    func run(sampled: Bool) -> Double {
        leastProcessorSeconds {
            var random = RandomStream(seed: 1, purpose: "oracle benchmark")
            var state = StepState()
            for _ in 0..<steps {
                let word = random.next()
                state.decodeRequests = 1 + Int(word & 127)
                state.decodeContextTokens = Int(word >> 48)
                state.prefillTokens = word & 1024 == 0 ? 0 : 512
                total +=
                    sampled
                    ? oracle.stepSeconds(state, uniform: Double(word >> 11) * 0x1p-53)
                    : oracle.stepSeconds(state)
            }
        }
    }
    let mean = run(sampled: false)
    let sample = run(sampled: true)
    precondition(total > 0)
    return [
        Measurement(subject: "mean, per step", value: mean / Double(steps) * 1e9, unit: "ns", target: 30),
        Measurement(
            subject: "sampled, per step", value: sample / Double(steps) * 1e9, unit: "ns", target: 50),
    ]
}

/// Rows like a step trace's: 22 correlated features of which 9 matter, heavy-tailed noise.
private func rows(_ count: Int) -> DesignRows {
    let columns = 22
    var random = RandomStream(seed: 1, purpose: "training benchmark")
    var features = [Double](repeating: 0, count: count * columns)
    var targets = [Double](repeating: 0, count: count)
    for i in 0..<count {
        let load = random.uniform()
        var target = 5.0
        for j in 0..<columns {
            let value = 0.5 * load + random.uniform() * Double(1 + j % 4)
            features[i * columns + j] = value
            if j % 5 < 2 { target += value * Double(j % 7 + 1) * 0.3 }
        }
        let score = StudentTDistribution(degreesOfFreedom: 4).quantile(random.positiveUniform() * 0.999_999)
        targets[i] = target + 0.2 * score
    }
    return DesignRows(columns: columns, features: features, targets: targets)
}
