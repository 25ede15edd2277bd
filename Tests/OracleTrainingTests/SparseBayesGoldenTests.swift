import Foundation
import LatencyOracle
import OracleTraining
import Testing

private func near(_ a: Double, _ b: Double, _ relative: Double) -> Bool {
    abs(a - b) <= relative * max(abs(b), 1e-12)
}

/// Worst relative deviation of two lists, entries below a millionth of the largest compared against that.
private func worst(_ a: [Double], _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    let floor = 1e-6 * b.reduce(0) { max($0, abs($1)) }
    return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1) / max(abs($1.1), floor)) }
}

private func rows(_ fixture: GoldenCase, _ chosen: [Int], target: String) -> DesignRows {
    let columns = fixture.columns.count - (fixture.columns.contains("split") ? 2 : 1)
    let y = fixture.column(target)
    return DesignRows(
        columns: columns, features: fixture.matrix(without: [target, "split"], rows: chosen),
        targets: chosen.map { y[$0] })
}

@Suite(.enabled(if: GoldenFixtures.present, "needs ../shared/training/golden"))
struct `Golden sparse Bayesian regression` {
    private func split(_ fixture: GoldenCase) -> (train: [Int], test: [Int]) {
        let split = fixture.column("split")
        return (split.indices.filter { split[$0] == 0 }, split.indices.filter { split[$0] == 1 })
    }

    private func check(
        _ fixture: GoldenCase, _ expected: [String: Any], _ updates: MacKayUpdates, sparing: Bool
    ) throws {
        let (train, test) = split(fixture)
        let block = GramBlock(rows(fixture, train, target: "y"))
        let estimate = try #require(ARDRegression.fit(block, updates))
        if let kept = numbers(expected, "kept"), !sparing { #expect(estimate.kept == kept.map { Int($0) }) }
        if let tolerance = number(fixture.tolerance, "coef_rel"),
            let coefficients = numbers(expected, "coef_raw")
        {
            #expect(worst(estimate.coefficients, coefficients) <= tolerance)
            let intercept = try #require(number(expected, "intercept_raw"))
            #expect(near(estimate.intercept, intercept, tolerance))
        }
        let testRows = rows(fixture, test, target: "y")
        if let tolerance = number(fixture.tolerance, "pred_rel"), let means = numbers(expected, "test_mean") {
            #expect(worst(estimate.predict(testRows), means) <= tolerance)
        }
        if let tolerance = number(fixture.tolerance, "std_rel"),
            let stds = numbers(expected, "test_std_with_intercept_var")
        {
            let own = (0..<testRows.count).map {
                (estimate.noiseVariance + estimate.coefficientVariance(testRows.row($0))).squareRoot()
            }
            #expect(worst(own, stds) <= tolerance)
        }
    }

    @Test(arguments: GoldenFixtures.cases(kind: "ard"))
    func `MacKay updates repeat scikit-learn`(_ name: String) throws {
        let fixture = try GoldenCase(name)
        let expected = try #require(fixture.expected["sklearn_default"] as? [String: Any])
        // A weight whose precision is within 1 % of the threshold may fall either way.
        let precisions = (expected["lambda_kept"] as? [String: NSNumber])?.values.map(\.doubleValue) ?? []
        let border = precisions.contains { abs($0 / 1e4 - 1) < 0.01 }
        try check(fixture, expected, MacKayUpdates(), sparing: border)
        if let converged = fixture.expected["converged"] as? [String: Any] {
            try check(fixture, converged, .converged, sparing: border)
        }
    }

    @Test(arguments: GoldenFixtures.cases(kind: "ard"))
    func `Tipping-Faul updates reach the required evidence`(_ name: String) throws {
        let fixture = try GoldenCase(name)
        let block = GramBlock(rows(fixture, split(fixture).train, target: "y"))
        let estimate = try #require(ARDRegression.fit(block))
        let required = try #require(number(fixture.expected, "flat_required_log_evidence_std"))
        let tolerance = try #require(number(fixture.tolerance, "log_evidence_abs"))
        let evidence = try #require(estimate.logEvidence)
        #expect(evidence >= required - tolerance, "\(evidence) against \(required)")
        let constant = (0..<block.columns).filter { block.isConstant($0) }
        #expect(constant.allSatisfy { estimate.coefficients[$0] == 0 })
        #expect(estimate.coefficients.allSatisfy { $0.isFinite })
    }

    @Test(arguments: GoldenFixtures.cases(kind: "ard_lognormal"))
    func `log latency is transformed back`(_ name: String) throws {
        let fixture = try GoldenCase(name)
        let (train, test) = split(fixture)
        let expected = fixture.expected
        let tolerance = try #require(number(fixture.tolerance, "rel"))
        let raw = rows(fixture, train, target: "y_ms")
        let trainRows = raw.withTargets(raw.targets.map { log($0) })
        let testRows = rows(fixture, test, target: "y_ms")
        let estimate = try #require(ARDRegression.fit(GramBlock(trainRows), .converged))
        #expect(estimate.kept == (numbers(expected, "kept") ?? []).map { Int($0) })
        #expect(worst(estimate.coefficients, numbers(expected, "coef_raw") ?? []) <= tolerance)
        let sigma = try #require(number(expected, "sigma_log"))
        #expect(near(estimate.noiseVariance.squareRoot(), sigma, tolerance))
        let means = estimate.predict(testRows)
        let forecasts = (0..<testRows.count).map {
            LogNormalForecast(
                logMean: means[$0],
                logVariance: estimate.noiseVariance + estimate.coefficientVariance(testRows.row($0)))
        }
        #expect(worst(forecasts.map(\.logVariance), numbers(expected, "test_log_var") ?? []) <= tolerance)
        #expect(worst(forecasts.map(\.median), numbers(expected, "test_median") ?? []) <= tolerance)
        #expect(worst(forecasts.map(\.mean), numbers(expected, "test_mean") ?? []) <= tolerance)
        #expect(worst(forecasts.map { $0.quantile(0.1) }, numbers(expected, "test_p10") ?? []) <= tolerance)
        #expect(worst(forecasts.map { $0.quantile(0.9) }, numbers(expected, "test_p90") ?? []) <= tolerance)
        let residuals = zip(trainRows.targets, estimate.predict(trainRows)).map { $0 - $1 }
        let duan = try #require(number(expected, "duan_smearing_factor"))
        #expect(near(LogNormalForecast.smearingFactor(logResiduals: residuals), duan, tolerance))
        let scores = zip(forecasts, testRows.targets).map {
            RankedProbabilityScore.logNormal(
                observed: $1, mean: $0.logMean, deviation: $0.logVariance.squareRoot())
        }
        let crps = try #require(number(expected, "mean_crps_lognormal"))
        #expect(near(scores.reduce(0, +) / Double(scores.count), crps, tolerance))
        let covered = zip(forecasts, testRows.targets).count {
            $0.quantile(0.1) <= $1 && $1 <= $0.quantile(0.9)
        }
        let coverage = try #require(number(expected, "coverage_p10_p90"))
        #expect(near(Double(covered) / Double(testRows.count), coverage, tolerance))
    }

    @Test(arguments: GoldenFixtures.cases(kind: "student_t_mle"))
    func `Student-t maximum likelihood`(_ name: String) throws {
        let fixture = try GoldenCase(name)
        let data = rows(fixture, Array(fixture.rows.indices), target: "y")
        for (key, value) in fixture.expected {
            let expected = try #require(value as? [String: Any])
            let learned = key == "nu_learned"
            let fit = try #require(
                StudentTRegression.fit(data, degreesOfFreedom: learned ? nil : Double(key.dropFirst(2))))
            let tolerance = try #require(
                number(fixture.tolerance, learned ? "coef_rel_learned" : "coef_rel"))
            #expect(worst(fit.coefficients, numbers(expected, "coef") ?? []) <= tolerance)
            #expect(near(fit.intercept, try #require(number(expected, "intercept")), tolerance))
            let scaleTolerance = learned ? tolerance : try #require(number(fixture.tolerance, "scale_rel"))
            #expect(near(fit.scale, try #require(number(expected, "scale")), scaleTolerance))
            let logLikelihood = try #require(number(expected, "loglik"))
            #expect(
                near(fit.logLikelihood, logLikelihood, try #require(number(fixture.tolerance, "loglik_rel"))))
            if let nu = number(expected, "nu") {
                #expect(
                    near(fit.degreesOfFreedom, nu, try #require(number(fixture.tolerance, "nu_learned_rel"))))
            }
        }
    }

    @Test(arguments: GoldenFixtures.cases(kind: "nnls"))
    func `non-negative least squares`(_ name: String) throws {
        let fixture = try GoldenCase(name)
        let data = rows(fixture, Array(fixture.rows.indices), target: "y")
        let x = NonNegativeLeastSquares.solve(data)
        let coefficients = try #require(numbers(fixture.expected, "coef"))
        let duplicates = (numbers(fixture.expected, "duplicated_columns") ?? []).map { Int($0) }
        let tolerance = try #require(number(fixture.tolerance, "coef_rel"))
        for j in coefficients.indices where !duplicates.contains(j) {
            #expect(abs(x[j] - coefficients[j]) <= tolerance * abs(coefficients[j]) + 1e-12)
        }
        if duplicates.count == 2 {
            // The second is twice the first.
            let own = x[duplicates[0]] + 2 * x[duplicates[1]]
            let theirs = coefficients[duplicates[0]] + 2 * coefficients[duplicates[1]]
            #expect(abs(own - theirs) <= tolerance * abs(theirs) + 1e-12)
        }
        let squares = (0..<data.count).reduce(0.0) { sum, i in
            let fitted = zip(data.row(i), x).reduce(0) { $0 + $1.0 * $1.1 }
            return sum + (data.targets[i] - fitted) * (data.targets[i] - fitted)
        }
        let norm = try #require(number(fixture.expected, "residual_norm"))
        #expect(near(squares.squareRoot(), norm, try #require(number(fixture.tolerance, "residual_rel"))))
    }

    @Test(arguments: GoldenFixtures.cases(kind: "leave_one_group_out"))
    func `leave one group out`(_ name: String) throws {
        let fixture = try GoldenCase(name)
        let groups = fixture.column("group")
        let y = fixture.column("y_ms")
        let columns = fixture.columns.count - 2
        func rows(_ chosen: [Int]) -> DesignRows {
            DesignRows(
                columns: columns, features: fixture.matrix(without: ["y_ms", "group"], rows: chosen),
                targets: chosen.map { y[$0] })
        }
        let labels = Set(groups).sorted()
        let parts = labels.map { label in rows(groups.indices.filter { groups[$0] == label }) }
        let folds = LeaveOneGroupOut(parts.map { GramBlock($0) })
        let tolerance = try #require(number(fixture.tolerance, "rel"))
        for (index, label) in labels.enumerated() {
            let estimate = try #require(RidgeRegression.fit(folds.without(index), penaltyPerRow: 1e-3))
            let errors = zip(estimate.predict(parts[index]), parts[index].targets).map { $0 - $1 }
            let n = Double(errors.count)
            let expected = try #require(fixture.expected["\(Int(label))"] as? [String: Any])
            #expect(number(expected, "n") == n)
            let rmse = (errors.reduce(0) { $0 + $1 * $1 } / n).squareRoot()
            #expect(near(rmse, try #require(number(expected, "rmse")), tolerance))
            let mae = errors.reduce(0) { $0 + abs($1) } / n
            #expect(near(mae, try #require(number(expected, "mae")), tolerance))
            let bias = errors.reduce(0, +) / n
            #expect(near(abs(bias), abs(try #require(number(expected, "bias"))), tolerance))
        }
    }

    @Test(arguments: GoldenFixtures.cases(kind: "metrics"))
    func `continuous ranked probability scores`(_ name: String) throws {
        let fixture = try GoldenCase(name)
        let tolerance = try #require(number(fixture.tolerance, "rel"))
        let forecasts = zip(zip(fixture.column("mu"), fixture.column("sigma")), fixture.column("y")).filter {
            $0.1.isFinite
        }
        let gaussian = forecasts.map {
            RankedProbabilityScore.gaussian(observed: $0.1, mean: $0.0.0, deviation: $0.0.1)
        }
        let count = Double(forecasts.count)
        let expected = try #require(number(fixture.expected, "mean_crps_gaussian"))
        #expect(near(gaussian.reduce(0, +) / count, expected, tolerance))
        let nu = number(fixture.params, "nu") ?? 5
        let t = StudentTDistribution(degreesOfFreedom: nu)
        let scores = forecasts.map {
            RankedProbabilityScore.studentT(observed: $0.1, location: $0.0.0, scale: $0.0.1, distribution: t)
        }
        let expectedT = try #require(number(fixture.expected, "mean_crps_student_t5"))
        #expect(near(scores.reduce(0, +) / count, expectedT, tolerance))
    }
}
