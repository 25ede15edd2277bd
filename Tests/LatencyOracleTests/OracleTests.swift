import Foundation
import LatencyOracle
import ServingCore
import Testing

private let constant = Coefficient(feature: "constant", value: 0.01)

private func artifact(_ change: (inout StepModel) -> Void = { _ in }) -> OracleArtifact {
    var model = StepModel(
        kind: .ard, featureSet: "physics",
        coefficients: [constant, Coefficient(feature: "dense_weight_read", value: 1.25, std: 0.1)])
    change(&model)
    return OracleArtifact(name: "test", summary: "for tests", step: model)
}

@Suite struct `Oracle artifacts` {
    @Test func `survive a round trip byte for byte`() throws {
        var original = artifact {
            $0.posterior = Posterior(
                features: ["dense_weight_read"], means: [0.1], covariance: [[0.01]], interceptVariance: 1e-8)
            $0.noise = NoiseModel(family: .studentT, scale: 0.1 + 0.2, relative: true, degreesOfFreedom: 4)
            $0.domain = TrainingDomain(
                features: ["matrix_flops"], means: [1], minimum: [0], maximum: [2], precision: [[0.5]],
                limit: 0.3)
            $0.discrepancy = Discrepancy(scaleStd: 0.05, offsetStd: 1e-4)
            $0.calibration = Calibration(slope: 1.02, bias: -1e-4, varianceScale: 1.5)
            $0.dropped = [DroppedFeature(feature: "expert_flops", reason: "constant")]
        }
        original.arrival = AffineLatency(constant: 1e-3, perToken: 1e-6)
        let bytes = try original.json()
        let read = try OracleArtifact(json: bytes, source: "test.json")
        #expect(read == original)
        #expect(try read.json() == bytes)
    }

    @Test func `pack the domain's matrix and read it whole as well`() throws {
        let whole = TrainingDomain(
            features: ["matrix_flops", "expert_flops", "decode_kv_read"], means: [1, 0, 2],
            minimum: [0, 0, 1], maximum: [2, 0, 3], precision: [[0.5, 0, 0.1], [0, 0, 0], [0.1, 0, 0.7]],
            limit: 0.3)
        let bytes = try artifact { $0.domain = whole }.json()
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.contains(#""precision_features" : ["matrix_flops", "decode_kv_read"]"#))
        #expect(text.contains(#""precision_triangle" : [0.5, 0.1, 0.7]"#))
        #expect(try OracleArtifact(json: bytes, source: "t").step.domain == whole)

        func read(_ features: String, _ triangle: String) throws -> OracleArtifact {
            let changed = text.replacing(#"["matrix_flops", "decode_kv_read"]"#, with: features)
                .replacing("[0.5, 0.1, 0.7]", with: triangle)
            return try OracleArtifact(json: Array(changed.utf8), source: "t")
        }
        for (features, triangle) in [
            (#"["matrix_flops", "matrix_flops"]"#, "[0.5, 0.1, 0.7]"), (#"["matrix_flops"]"#, "[0.5, 0.1]"),
            (#"["matrix_flops", "nothing"]"#, "[0.5, 0.1, 0.7]"), (#"[]"#, "[1]"),
        ] {
            #expect(throws: InvalidInput.self) { try read(features, triangle) }
        }
        let old = text.replacing(
            #""precision_features" : ["matrix_flops", "decode_kv_read"],"#,
            with: #""precision" : [[0.5, 0, 0.1], [0, 0, 0], [0.1, 0, 0.7]],"#
        ).replacing(
            /\n *"precision_triangle" : \[0.5, 0.1, 0.7\]/, with: #""unused" : 0"#)
        #expect(try OracleArtifact(json: Array(old.utf8), source: "t").step.domain == whole)
    }

    @Test(arguments: [
        ("", "is not an oracle"), ("{}", "is not an oracle"),
        (#"{"format":"x","version":1}"#, "is not an oracle"),
        (#"{"format":"stepcast-oracle","version":2}"#, "newer"),
        (#"{"format":"stepcast-oracle","version":1,"name":"a"}"#, "missing"),
    ])
    func `are refused with the reason`(_ text: String, _ reason: String) {
        let error = #expect(throws: InvalidInput.self) {
            try OracleArtifact(json: Array(text.utf8), source: "o.json")
        }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
        #expect(error?.source == "o.json")
    }

    @Test func `cut short anywhere are refused without a trap`() throws {
        let bytes = try artifact().json()
        for length in stride(from: 0, to: bytes.count - 2, by: 7) {
            #expect(throws: InvalidInput.self) {
                try OracleArtifact(json: Array(bytes.prefix(length)), source: "o.json")
            }
        }
    }

    @Test func `with impossible contents are refused by field`() {
        func field(_ change: (inout StepModel) -> Void) -> String? {
            let error = #expect(throws: InvalidInput.self) { try StepTimeOracle(artifact: artifact(change)) }
            return error?.field
        }
        #expect(field { $0.coefficients.append(Coefficient(feature: "nonsense", value: 1)) } == "feature")
        #expect(field { $0.coefficients[0].value = .nan } == "beta.step.coefficients.constant")
        #expect(field { $0.coefficients.append(constant) } == "beta.step.coefficients.constant")
        #expect(field { $0.coefficients = [] } == "beta.step.coefficients")
        #expect(field { $0.kind = .quantile } == "beta.step.quantiles")
        #expect(field { $0.kind = .ensemble } == "beta.step.ensemble.specialists")
        #expect(field { $0.featureSet = "x" } == "feature_set")
        #expect(
            field {
                $0.posterior = Posterior(
                    features: ["matrix_flops"], means: [], covariance: [[1]], interceptVariance: 0)
            } == "beta.step.posterior.means")
    }
}

@Suite struct `Oracles compiled for a deployment` {
    @Test func `quantiles are ordered and the median is at score 0`() throws {
        let model = artifact {
            $0.kind = .quantile
            $0.coefficients = []
            $0.quantiles = [
                QuantileModel(tau: 0.1, coefficients: [Coefficient(feature: "constant", value: 0.012)]),
                QuantileModel(tau: 0.5, coefficients: [Coefficient(feature: "constant", value: 0.010)]),
                QuantileModel(tau: 0.9, coefficients: [Coefficient(feature: "constant", value: 0.020)]),
            ]
        }
        let oracle = try StepTimeOracle(artifact: model).compile(for: Sample.dense)
        let state = StepState()
        func at(_ p: Double) -> Double {
            oracle.stepSeconds(state, noiseScore: oracle.noiseScore(probability: p))
        }
        // The fit crosses (P10 above P50): sorted.
        #expect(abs(at(0.1) - 0.010) < 1e-6 && abs(at(0.5) - 0.012) < 1e-9 && abs(at(0.9) - 0.020) < 1e-6)
        #expect(oracle.stepSeconds(state) > at(0.5))
    }

    @Test func `sampled durations have the spread of the noise`() throws {
        let model = artifact { $0.noise = NoiseModel(family: .gaussian, scale: 0.1, relative: true) }
        let oracle = try StepTimeOracle(artifact: model).compile(for: Sample.dense)
        var stream = RandomStream(seed: 5, purpose: "noise")
        let state = StepState()
        let mean = oracle.stepSeconds(state)
        let draws = (0..<20_000).map { _ in oracle.stepSeconds(state, uniform: stream.uniform()) }
        let average = draws.reduce(0, +) / 20_000
        let deviation = (draws.reduce(0) { $0 + ($1 - average) * ($1 - average) } / 20_000).squareRoot()
        #expect(abs(average / mean - 1) < 0.003)
        #expect(abs(deviation / (0.1 * mean) - 1) < 0.02)
        #expect(abs(oracle.standardDeviation(state) / (0.1 * mean) - 1) < 1e-12)
    }

    @Test func `a logarithmic model gives the mean exp(mu + s^2 / 2) and the median exp(mu)`() throws {
        let model = artifact {
            $0.link = .log
            $0.coefficients = [Coefficient(feature: "constant", value: log(0.02))]
            $0.noise = NoiseModel(family: .logNormal, scale: 0.5, relative: true)
        }
        let oracle = try StepTimeOracle(artifact: model).compile(for: Sample.dense)
        #expect(abs(oracle.stepSeconds(StepState()) - 0.02 * exp(0.125)) < 1e-15)
        #expect(abs(oracle.stepSeconds(StepState(), uniform: 0.5) - 0.02) < 1e-15)
    }

    @Test func `calibration corrects slope, bias and variance`() throws {
        let plain = try StepTimeOracle(
            artifact: artifact { $0.noise = NoiseModel(family: .gaussian, scale: 0.001, relative: false) }
        ).compile(for: Sample.dense)
        let corrected = try StepTimeOracle(
            artifact: artifact {
                $0.noise = NoiseModel(family: .gaussian, scale: 0.001, relative: false)
                $0.calibration = Calibration(slope: 2, bias: 0.005, varianceScale: 4)
            }
        ).compile(for: Sample.dense)
        let state = StepState()
        #expect(abs(corrected.stepSeconds(state) - (2 * plain.stepSeconds(state) + 0.005)) < 1e-15)
        #expect(abs(corrected.noiseScale(state) - 0.002) < 1e-15)
    }

    @Test func `draws spread as posterior and discrepancy say`() throws {
        let model = artifact {
            $0.posterior = Posterior(
                features: ["dense_weight_read"], means: [0.004], covariance: [[0.04]], interceptVariance: 1e-8
            )
            $0.discrepancy = Discrepancy(scaleStd: 0.05, offsetStd: 0.0005)
        }
        let oracle = try StepTimeOracle(artifact: model)
        let state = StepState()
        let mean = try oracle.compile(for: Sample.dense).stepSeconds(state)
        var stream = RandomStream(seed: 9, purpose: "draw")
        var squares = 0.0
        for _ in 0..<300 {
            let drawn = try oracle.compileDraw(for: Sample.dense, using: &stream).stepSeconds(state)
            squares += (drawn - mean) * (drawn - mean)
        }
        let x = 15e9 / 3.35e12 - 0.004
        let expected = (1e-8 + 0.04 * x * x + 0.05 * 0.05 * mean * mean + 0.0005 * 0.0005).squareRoot()
        #expect(abs((squares / 300).squareRoot() / expected - 1) < 0.15)
    }

    @Test(arguments: [10, 20, 37]) func `draws for bands cover each direction evenly and independently`(
        count: Int
    ) {
        func hypercube(seed: UInt64, _ facts: DeploymentFacts) -> [DiscrepancyScores] {
            DiscrepancyScores.latinHypercube(count: count, seed: seed, deployment: facts)
        }
        let draws = hypercube(seed: 4, Sample.dense)
        #expect(draws == hypercube(seed: 4, Sample.dense))
        #expect(draws != hypercube(seed: 5, Sample.dense))
        // Engine limits make no other deployment; another layout does.
        var other = Sample.dense
        other.maxNumSeqs += 1
        #expect(draws == hypercube(seed: 4, other))
        other.tensorParallelSize += 1
        #expect(draws != hypercube(seed: 4, other))
        for direction in [\DiscrepancyScores.scale, \.offset, \.arrival, \.post] {
            let sorted = draws.map { $0[keyPath: direction] }.sorted()
            for (place, score) in sorted.enumerated() {
                let probability = (Double(place) + 0.5) / Double(count)
                #expect(abs(score - NormalDistribution.quantile(probability)) < 1e-12)
            }
        }
        let product = draws.reduce(0) { $0 + $1.scale * $1.offset } / Double(count)
        #expect(abs(product) < 0.25)
    }

    @Test func `a draw moves step, arrival and departure times by their discrepancies`() throws {
        var model = artifact { $0.discrepancy = Discrepancy(scaleStd: 0.1, offsetStd: 0.001) }
        model.arrival = AffineLatency(constant: 0.002, perToken: 0, discrepancy: 0.5)
        model.post = AffineLatency(constant: 0.001, perToken: 0)
        let oracle = try StepTimeOracle(artifact: model)
        var scores = DiscrepancyScores()
        scores.scale = 1
        scores.offset = 2
        scores.arrival = -1
        scores.post = 3
        var stream = RandomStream(seed: 1, purpose: "draw")
        let drawn = try oracle.compileDraw(for: Sample.dense, scores: scores, using: &stream)
        let plain = try oracle.compile(for: Sample.dense).stepSeconds(StepState())
        #expect(
            abs(drawn.stepSeconds(StepState()) - (plain * 1.1051709180756477 + 0.002))
                < 1e-12)
        #expect(
            abs(drawn.arrivalSeconds(promptTokens: 5) - 0.002 * 0.6065306597126334) < 1e-15)
        #expect(drawn.postSeconds(outputTokens: 5) == 0.001)
    }

    @Test func `leverage and ranges mark steps outside of training`() throws {
        let model = artifact {
            $0.domain = TrainingDomain(
                features: ["running_requests"], means: [10], minimum: [1], maximum: [20], precision: [[0.01]],
                limit: 1)
        }
        let oracle = try StepTimeOracle(artifact: model).compile(for: Sample.dense)
        var state = StepState()
        state.runningRequests = 12
        #expect(oracle.isInDomain(state))
        state.runningRequests = 60
        #expect(!oracle.isInDomain(state) && oracle.relativeLeverage(state) == 25)
        #expect(oracle.outOfRange(state).first?.feature == "running_requests")
    }

    @Test func `an ensemble averages the nearest specialists into one linear model`() throws {
        let here = ConfigurationEmbedding.logarithmic(Sample.dense)
        let there = ConfigurationEmbedding.logarithmic(Sample.experts)
        let embedding = ConfigurationEmbedding(
            similarity: .euclidean, means: here.map { _ in 0 }, scales: here.map { _ in 1 })
        func specialist(_ name: String, _ centroid: [Double], _ seconds: Double)
            -> SpecialistEnsemble.Specialist
        {
            let median = QuantileModel(
                tau: 0.5, coefficients: [Coefficient(feature: "constant", value: seconds)])
            return .init(name: name, centroid: centroid, quantiles: [median])
        }
        let model = artifact {
            $0.kind = .ensemble
            $0.coefficients = []
            $0.ensemble = SpecialistEnsemble(
                embedding: embedding, temperature: 1e6, topSpecialists: 2,
                specialists: [specialist("a", here, 0.01), specialist("b", there, 0.03)])
        }
        let even = try StepTimeOracle(artifact: model).compile(for: Sample.dense)
        #expect(abs(even.stepSeconds(StepState()) - 0.02) < 1e-9)
        var near = model
        near.step.ensemble?.topSpecialists = 1
        let nearest = try StepTimeOracle(artifact: near).compile(for: Sample.experts)
        #expect(abs(nearest.stepSeconds(StepState()) - 0.03) < 1e-12)
        #expect(nearest.specialistWeights == [0, 1])
    }
}

@Suite struct `Distributions` {
    @Test func `normal quantiles invert the distribution function`() {
        #expect(abs(NormalDistribution.quantile(0.975) - 1.959963984540054) < 1e-14)
        for p in [1e-300, 1e-10, 0.01, 0.3, 0.5, 0.77, 0.999] {
            #expect(abs(NormalDistribution.cumulative(NormalDistribution.quantile(p)) / p - 1) < 1e-12)
        }
        #expect(NormalDistribution.quantile(0) == -.infinity && NormalDistribution.quantile(2).isNaN)
    }

    @Test func `Student-t has the quantiles of the tables`() {
        #expect(abs(StudentTDistribution(degreesOfFreedom: 4).quantile(0.975) - 2.7764451051977987) < 1e-12)
        #expect(abs(StudentTDistribution(degreesOfFreedom: 1).quantile(0.75) - 1) < 1e-12)
        for df in [0.5, 2.1, 4, 5, 100] {
            let t = StudentTDistribution(degreesOfFreedom: df)
            for p in [1e-6, 0.02, 0.4, 0.9] { #expect(abs(t.cumulative(t.quantile(p)) - p) < 1e-12 * 10) }
        }
    }
}

@Suite struct `Host time` {
    @Test func `hides behind the accelerator under asynchronous scheduling and is added otherwise`() throws {
        var artifact = artifact()
        let alone = try StepTimeOracle(artifact: artifact)
        artifact.host = AffineLatency(constant: 1e-3, perToken: 0, perRunningRequest: 1e-3)
        let oracle = try StepTimeOracle(artifact: artifact)
        var synchronous = Sample.dense
        synchronous.asyncScheduling = false
        for running in [1, 10, 100] {
            var state = StepState()
            for _ in 0..<running { state.addDecode(contextTokens: 100) }
            state.runningRequests = running
            let kernels = try alone.compile(for: Sample.dense).stepSeconds(state)
            let host = 1e-3 * Double(1 + running)
            #expect(try oracle.compile(for: Sample.dense).stepSeconds(state) == max(kernels, host))
            #expect(try oracle.compile(for: synchronous).stepSeconds(state) == kernels + host)
            #expect(
                try oracle.compile(for: synchronous).stepSeconds(state, noiseScore: 0) == kernels + host)
        }
    }
}
