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
