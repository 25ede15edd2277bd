import ServingCore

extension OracleArtifact {
    /// Checks everything that the type system does not: names, sizes, finite numbers.
    /// - Throws: `InvalidInput` naming the first part at fault.
    public func validate(source: String? = nil) throws {
        let check = ArtifactCheck(source: source)
        try step.validate(check, source: source)
        for scoped in step.specialised ?? [] {
            guard scoped.model.specialised == nil else {
                throw check.problem("beta.step.specialised", "holds specialised models itself")
            }
            try scoped.model.validate(check, source: source)
        }
        for (name, latency) in [("alpha.arrival", arrival), ("post", post), ("beta.host", host)] {
            guard let latency else { continue }
            try check.nonnegative(latency.constant, "\(name).constant")
            try check.finite([latency.perToken], "\(name).per_token")
            try check.nonnegative(latency.perRunningRequest ?? 0, "\(name).per_running_request")
            try check.noise(latency.noise, "\(name).noise")
            try check.nonnegative(latency.discrepancy ?? 0, "\(name).discrepancy")
        }
        if let queue { try check.queue(queue) }
    }
}

extension StepModel {
    /// - Throws: `InvalidInput` naming the first part at fault.
    fileprivate func validate(_ check: ArtifactCheck, source: String?) throws {
        let features = try FeatureSet.named(featureSet, source: source)
        func checkCoefficients(_ list: [Coefficient], _ field: String) throws {
            var seen: Set<String> = []
            for coefficient in list {
                _ = try FeatureSet.stepFeature(named: coefficient.feature, in: features, source: source)
                try check.finite([coefficient.value], "\(field).\(coefficient.feature)")
                guard seen.insert(coefficient.feature).inserted else {
                    throw check.problem("\(field).\(coefficient.feature)", "occurs twice")
                }
            }
        }
        func checkQuantiles(_ list: [QuantileModel], _ field: String) throws {
            guard !list.isEmpty else { throw check.problem(field, "is empty") }
            var last = 0.0
            for model in list {
                guard model.tau > last, model.tau < 1 else {
                    throw check.problem(
                        "\(field).tau", "is out of order", "probabilities between 0 and 1, ascending")
                }
                last = model.tau
                try checkCoefficients(model.coefficients, field)
            }
        }
        switch kind {
        case .linear, .ard, .roofline:
            guard !coefficients.isEmpty else {
                throw check.problem("beta.step.coefficients", "is empty")
            }
            try checkCoefficients(coefficients, "beta.step.coefficients")
        case .quantile: try checkQuantiles(quantiles ?? [], "beta.step.quantiles")
        case .ensemble: try check.ensemble(ensemble) { try checkQuantiles($0, $1) }
        }
        if let posterior {
            try check.names(posterior.features, features, "beta.step.posterior.features")
            try check.vector(posterior.means, posterior.features.count, "beta.step.posterior.means")
            try check.square(posterior.covariance, posterior.features.count, "beta.step.posterior.covariance")
            try check.nonnegative(posterior.interceptVariance, "beta.step.posterior.intercept_variance")
        }
        if let domain {
            let field = "beta.step.domain"
            try check.names(domain.features, features, "\(field).features")
            for (name, vector) in [
                ("means", domain.means), ("minimum", domain.minimum), ("maximum", domain.maximum),
            ] { try check.vector(vector, domain.features.count, "\(field).\(name)") }
            try check.square(domain.precision, domain.features.count, "\(field).precision")
            try check.nonnegative(domain.limit, "\(field).limit")
        }
        if let calibration {
            try check.finite([calibration.slope, calibration.bias], "beta.step.calibration")
            try check.nonnegative(calibration.varianceScale, "beta.step.calibration.variance_scale")
        }
        if let discrepancy {
            try check.nonnegative(discrepancy.scaleStd, "beta.step.discrepancy.scale_std")
            try check.nonnegative(discrepancy.offsetStd, "beta.step.discrepancy.offset_std")
        }
        if let minimum = minimumSeconds { try check.nonnegative(minimum, "beta.step.minimum_seconds") }
        try check.noise(noise, "beta.step.noise")
    }
}

/// The checks, each throwing one line that names the field.
fileprivate struct ArtifactCheck {
    let source: String?

    func problem(_ field: String, _ problem: String, _ accepted: String? = nil) -> InvalidInput {
        InvalidInput(source: source, field: field, problem, accepted: accepted)
    }

    func finite(_ values: [Double], _ field: String) throws {
        guard values.allSatisfy(\.isFinite) else {
            throw problem(field, "is not finite", "finite numbers")
        }
    }

    func nonnegative(_ value: Double, _ field: String) throws {
        guard value >= 0, value.isFinite else {
            throw InvalidInput(
                source: source, field: field, value: "\(value)", "is out of range",
                accepted: "a number of at least 0")
        }
    }

    func vector(_ values: [Double], _ count: Int, _ field: String) throws {
        guard values.count == count else {
            throw problem(field, "has \(values.count) entries", "\(count), one per feature")
        }
        try finite(values, field)
    }

    func square(_ rows: [[Double]], _ count: Int, _ field: String) throws {
        guard rows.count == count else { throw problem(field, "has \(rows.count) rows", "\(count)") }
        for row in rows { try vector(row, count, field) }
    }

    func names(_ names: [String], _ features: FeatureSet, _ field: String) throws {
        for name in names { _ = try FeatureSet.stepFeature(named: name, in: features, source: source) }
        guard Set(names).count == names.count else { throw problem(field, "names a feature twice") }
    }

    func noise(_ noise: NoiseModel?, _ field: String) throws {
        guard let noise else { return }
        try nonnegative(noise.scale, "\(field).scale")
        guard noise.family == .studentT else { return }
        guard let df = noise.degreesOfFreedom, df > 0, df.isFinite else {
            throw problem("\(field).degrees_of_freedom", "is missing or not above 0", "a number above 0")
        }
    }

    func ensemble(_ ensemble: SpecialistEnsemble?, quantiles: ([QuantileModel], String) throws -> Void) throws
    {
        let field = "beta.step.ensemble"
        guard let ensemble, let first = ensemble.specialists.first else {
            throw problem("\(field).specialists", "is empty")
        }
        let entries = ConfigurationEmbedding.names.count
        try vector(ensemble.embedding.means, entries, "\(field).embedding.means")
        try vector(ensemble.embedding.scales, entries, "\(field).embedding.scales")
        guard ensemble.temperature > 0, ensemble.temperature.isFinite else {
            throw problem("\(field).temperature", "is not above 0", "a number above 0")
        }
        guard ensemble.topSpecialists >= 1 else {
            throw problem("\(field).top_specialists", "is below 1", "a whole number of at least 1")
        }
        for specialist in ensemble.specialists {
            try vector(specialist.centroid, entries, "\(field).specialists.\(specialist.name).centroid")
            try quantiles(specialist.quantiles, "\(field).specialists.\(specialist.name).quantiles")
            guard specialist.quantiles.map(\.tau) == first.quantiles.map(\.tau) else {
                throw problem(
                    "\(field).specialists.\(specialist.name)",
                    "has other probabilities than the first specialist")
            }
        }
        if let weights = ensemble.fixedWeights {
            try vector(weights, ensemble.specialists.count, "\(field).fixed_weights")
            guard weights.allSatisfy({ $0 >= 0 }), abs(weights.reduce(0, +) - 1) < 1e-6 else {
                throw problem("\(field).fixed_weights", "are not shares", "numbers of at least 0 with sum 1")
            }
        }
    }

    func queue(_ queue: QueueModel) throws {
        let set = try FeatureSet.named(queue.featureSet, source: source)
        for coefficient in queue.waits + queue.logWait {
            _ = try FeatureSet.queueFeature(named: coefficient.feature, in: set, source: source)
            try finite([coefficient.value], "alpha.queue.\(coefficient.feature)")
        }
        try nonnegative(queue.logScale, "alpha.queue.log_scale")
        try nonnegative(queue.zeroBelow, "alpha.queue.zero_below")
    }
}
