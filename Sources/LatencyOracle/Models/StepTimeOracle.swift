import ServingCore

/// Predicts latencies of any deployment: the roofline prior or a trained artifact. Compile it once per scenario.
public struct StepTimeOracle: Sendable {
    /// The artifact behind it.
    public let artifact: OracleArtifact
    /// Noise tables by degrees of freedom of Student's t.
    private let noiseTables: [Double: NoiseTable]

    /// The oracle that needs no file: hardware facts and usual efficiencies.
    public static let roofline: StepTimeOracle = {
        do { return try StepTimeOracle(artifact: RooflinePrior.artifact) } catch {
            preconditionFailure("the built-in prior is valid: \(error)")
        }
    }()

    /// An oracle of an artifact.
    /// - Throws: `InvalidInput` for unknown features, missing parts, or numbers that aren't finite.
    public init(artifact: OracleArtifact, source: String? = nil) throws {
        try artifact.validate(source: source)
        self.artifact = artifact
        var tables: [Double: NoiseTable] = [:]
        for model in [artifact.step] + (artifact.step.specialised ?? []).map(\.model) {
            guard let noise = model.noise, noise.family == .studentT, let df = noise.degreesOfFreedom else {
                continue
            }
            if tables[df] == nil { tables[df] = .studentT(degreesOfFreedom: df) }
        }
        noiseTables = tables
    }

    private func noiseTable(_ noise: NoiseModel?) -> NoiseTable {
        guard let noise, noise.family == .studentT, let df = noise.degreesOfFreedom else { return .normal }
        return noiseTables[df] ?? .normal
    }

    /// Folds a deployment's facts into everything that a simulation asks per step or request.
    /// - Throws: `InvalidInput` when the roofline prior lacks a fact it cannot do without.
    public func compile(for facts: DeploymentFacts) throws -> CompiledOracle {
        try compile(for: facts, deviation: Deviation())
    }

    /// The same with coefficients drawn from the posterior (of an ensemble: one specialist by its weight) and a
    /// deviation of the whole configuration drawn from the discrepancy: one plausible oracle among many. Draw
    /// several to see what the oracle doesn't know.
    /// - Throws: as `compile(for:)`.
    public func compileDraw(for facts: DeploymentFacts, using stream: inout RandomStream) throws
        -> CompiledOracle
    {
        let scores = DiscrepancyScores(using: &stream)
        return try compileDraw(for: facts, scores: scores, using: &stream)
    }

    /// The same with the deviation given, such as one of a Latin hypercube.
    /// - Throws: as `compile(for:)`.
    public func compileDraw(
        for facts: DeploymentFacts, scores: DiscrepancyScores, using stream: inout RandomStream
    ) throws -> CompiledOracle {
        let model = artifact.step.specialised(for: facts).model
        var deviation = Deviation()
        // A ratio: twice as fast is as likely as twice as slow.
        deviation.scale = NormalDistribution.exponential((model.discrepancy?.scaleStd ?? 0) * scores.scale)
        deviation.offset = (model.discrepancy?.offsetStd ?? 0) * scores.offset
        deviation.coefficients = model.posterior.map { $0.draw(model.coefficients) { stream.normal() } }
        if model.kind == .ensemble, let ensemble = model.ensemble {
            var left = stream.uniform()
            let weights = ensemble.weights(for: facts)
            deviation.specialist =
                weights.firstIndex { weight in
                    left -= weight
                    return left < 0
                } ?? weights.lastIndex { $0 > 0 }
        }
        deviation.arrival = NormalDistribution.exponential(
            (artifact.arrival?.discrepancy ?? 0) * scores.arrival)
        deviation.post = NormalDistribution.exponential((artifact.post?.discrepancy ?? 0) * scores.post)
        return try compile(for: facts, deviation: deviation)
    }

    private struct Deviation {
        var scale = 1.0
        var offset = 0.0
        var coefficients: [Coefficient]?
        var specialist: Int?
        var arrival = 1.0
        var post = 1.0
    }

    private func compile(for facts: DeploymentFacts, deviation: Deviation) throws -> CompiledOracle {
        let model = artifact.step.specialised(for: facts).model
        let features = try FeatureSet.named(model.featureSet)
        if model.kind == .roofline { try facts.requireForRoofline() }
        let correction = model.calibration ?? Calibration(slope: 1, bias: 0, varianceScale: 1)
        func form(_ coefficients: [Coefficient]) throws -> LinearForm {
            var sum = LinearForm()
            for coefficient in coefficients {
                let feature = try FeatureSet.stepFeature(named: coefficient.feature, in: features)
                sum.add(feature.form(facts), times: coefficient.value)
            }
            var result = LinearForm()
            switch model.link {
            case .identity:
                result.add(sum, times: correction.slope * deviation.scale)
                result[.one] += correction.bias * deviation.scale + deviation.offset
            case .log:
                // A factor on seconds is a constant on their logarithm; an offset in seconds has no counterpart.
                result.add(sum, times: correction.slope)
                result[.one] += correction.bias + NormalDistribution.logarithm(deviation.scale)
            }
            return result
        }
        var quantiles: [(tau: Double, form: LinearForm)] = []
        var centre = LinearForm()
        var weights: [Double] = []
        switch model.kind {
        case .linear, .ard, .roofline:
            centre = try form(deviation.coefficients ?? model.coefficients)
        case .quantile:
            quantiles = try (model.quantiles ?? []).map { (tau: $0.tau, form: try form($0.coefficients)) }
        case .ensemble:
            guard let ensemble = model.ensemble else { break }
            weights = ensemble.weights(for: facts)
            if let drawn = deviation.specialist {
                weights = weights.indices.map { $0 == drawn ? 1 : 0 }
            }
            for index in ensemble.specialists[0].quantiles.indices {
                var blend = LinearForm()
                for (specialist, weight) in zip(ensemble.specialists, weights) where weight > 0 {
                    let own = specialist.quantiles[index]
                    blend.add(try form(own.coefficients), times: weight)
                    if let entries = own.embedding {
                        let place = zip(ensemble.embedding.vector(facts), entries)
                        blend[.one] +=
                            weight * correction.slope * deviation.scale * place.reduce(0) { $0 + $1.0 * $1.1 }
                    }
                }
                quantiles.append((tau: ensemble.specialists[0].quantiles[index].tau, form: blend))
            }
        }
        return CompiledOracle(
            model: model, facts: facts, centre: centre, quantiles: quantiles, noise: noiseTable(model.noise),
            varianceScale: correction.varianceScale, offset: deviation.offset,
            arrival: artifact.arrival?.scaled(by: deviation.arrival),
            post: artifact.post?.scaled(by: deviation.post), host: artifact.host, features: features,
            specialistWeights: weights)
    }
}

extension SpecialistEnsemble {
    /// Weight of every specialist for a configuration: the nearest few by softmax, or the learned ones; sum 1.
    public func weights(for facts: DeploymentFacts) -> [Double] {
        if let fixedWeights { return fixedWeights }
        let vector = embedding.vector(facts)
        let logs = specialists.map { specialist in
            (specialist.places ?? [specialist.centroid]).map {
                embedding.logWeight(vector, $0, temperature: temperature)
            }.max() ?? -.greatestFiniteMagnitude
        }
        let order = logs.indices.sorted { logs[$0] != logs[$1] ? logs[$0] > logs[$1] : $0 < $1 }
        let kept = order.prefix(max(1, topSpecialists))
        var weights = [Double](repeating: 0, count: logs.count)
        guard let first = kept.first else { return weights }
        for index in kept { weights[index] = NormalDistribution.exponential(logs[index] - logs[first]) }
        let total = weights.reduce(0, +)
        return weights.map { $0 / total }
    }
}

extension Posterior {
    /// Coefficients drawn from the posterior around fitted ones, with standard normal numbers from `normal`.
    func draw(_ fitted: [Coefficient], normal: () -> Double) -> [Coefficient] {
        let count = features.count
        let factor = choleskyFactor(covariance)
        let numbers = (0..<count).map { _ in normal() }
        var shift = [Double](repeating: 0, count: count)
        for row in 0..<count {
            for column in 0...row { shift[row] += factor[row][column] * numbers[column] }
        }
        // The posterior is centred at the features' means: what a slope gains there the intercept gives back.
        var intercept = interceptVariance.squareRoot() * normal()
        for index in 0..<count { intercept -= means[index] * shift[index] }
        var drawn = fitted
        var hasConstant = false
        for index in drawn.indices {
            if drawn[index].feature == "constant" {
                drawn[index].value += intercept
                hasConstant = true
            } else if let position = features.firstIndex(of: drawn[index].feature) {
                drawn[index].value += shift[position]
            }
        }
        if !hasConstant { drawn.append(Coefficient(feature: "constant", value: intercept)) }
        return drawn
    }
}

/// Lower Cholesky factor of a positive semi-definite matrix; directions without variance get zeros.
func choleskyFactor(_ matrix: [[Double]]) -> [[Double]] {
    let count = matrix.count
    var factor = [[Double]](repeating: [Double](repeating: 0, count: count), count: count)
    for column in 0..<count {
        var pivot = matrix[column][column]
        for k in 0..<column { pivot -= factor[column][k] * factor[column][k] }
        guard pivot > 1e-14 * abs(matrix[column][column]) else { continue }
        let root = pivot.squareRoot()
        factor[column][column] = root
        for row in (column + 1)..<max(column + 1, count) {
            var sum = matrix[row][column]
            for k in 0..<column { sum -= factor[row][k] * factor[column][k] }
            factor[row][column] = sum / root
        }
    }
    return factor
}

extension DeploymentFacts {
    /// - Throws: `InvalidInput` naming the first fact that the roofline prior cannot do without.
    func requireForRoofline() throws {
        let needed: [(String, Double)] = [
            ("peakFlops", peakFlops), ("memoryBandwidth", memoryBandwidth), ("layers", Double(layers)),
            ("denseWeightBytesPerRank", denseWeightBytesPerRank),
            ("flopsPerTokenPerRank", flopsPerTokenPerRank),
        ]
        for (name, value) in needed where !(value > 0 && value.isFinite) {
            throw InvalidInput(
                field: name, value: "\(value)", "is not known for \(modelName) on \(acceleratorName)",
                accepted: "a number above 0")
        }
    }
}
