import Testing

@testable import OracleTraining

@Suite(.enabled(if: GoldenFixtures.present, "needs ../shared/training/golden"))
struct QuantileGoldenTests {
    @Test(arguments: GoldenFixtures.cases(kind: "quantile_regression"))
    func `reaches the optimum`(name: String) throws {
        let golden = try GoldenCase(name)
        let x = golden.matrix(without: ["y"])
        let columns = golden.columns.count - 1
        let y = golden.column("y")
        let design = try x.withUnsafeBufferPointer {
            try QuantileDesign($0, count: y.count, columns: columns)
        }
        let regression = try QuantileRegression(design: design, y: y)
        let relative = number(golden.tolerance, "objective_rel") ?? 1e-9
        let absolute = number(golden.tolerance, "objective_abs") ?? 0
        for tau in try #require(numbers(golden.params, "taus")) {
            let expected = try #require(golden.expected["\(tau)"] as? [String: Any])
            let fit = regression.fit(tau: tau)
            #expect(fit.certified, "tau \(tau)")
            let best = try #require(number(expected, "objective_sum"))
            #expect(fit.objective <= best * (1 + relative) + absolute, "tau \(tau)")
            #expect(fit.objective >= best * (1 - relative) - absolute, "tau \(tau)")
            #expect(abs(fit.dualObjective - fit.objective) <= 1e-9 * fit.objective + absolute, "tau \(tau)")
            // By the coefficients that are handed out, too.
            var loss = 0.0
            for i in y.indices {
                let r = y[i] - fit(x[i * columns..<(i + 1) * columns])
                loss += max(tau * r, (tau - 1) * r)
            }
            #expect(loss <= best * (1 + relative) + absolute, "tau \(tau)")
            if let coefficients = numbers(expected, "coef_raw"),
                let near = number(golden.tolerance, "coef_rel")
            {
                let size = coefficients.map(abs).max() ?? 0
                for (a, b) in zip(fit.coefficients, coefficients) {
                    #expect(abs(a - b) <= near * max(abs(b), 1e-9 * size), "tau \(tau)")
                }
                let intercept = try #require(number(expected, "intercept_raw"))
                #expect(abs(fit.intercept - intercept) <= near * abs(intercept), "tau \(tau)")
                #expect(fit.rowsOn == Int(number(expected, "n_zero") ?? -1))
                #expect(fit.rowsBelow == Int(number(expected, "n_below") ?? -1))
            }
        }
    }

    @Test(arguments: GoldenFixtures.cases(kind: "noncrossing"))
    func `quantiles don't cross`(name: String) throws {
        let golden = try GoldenCase(name)
        let taus = try #require(numbers(golden.params, "taus"))
        let split = golden.column("split")
        let train = split.indices.filter { split[$0] == 0 }
        let x = golden.matrix(without: ["y", "split"], rows: train)
        let columns = golden.columns.count - 2
        let all = golden.column("y")
        let design = try x.withUnsafeBufferPointer {
            try QuantileDesign($0, count: train.count, columns: columns)
        }
        let regression = try QuantileRegression(design: design, y: train.map { all[$0] })
        let relative = number(golden.tolerance, "objective_rel") ?? 1e-8
        let near = number(golden.tolerance, "eval_abs") ?? 1e-6
        let slack = number(golden.tolerance, "crossing_slack") ?? 1e-9
        let alone = taus.map { regression.fit(tau: $0) }
        let separate = try #require(numbers(golden.expected, "independent_objectives"))
        for (fit, best) in zip(alone, separate) { #expect(abs(fit.objective - best) <= relative * best) }
        let points = split.indices.filter { split[$0] == 1 }.map { Array(golden.rows[$0].prefix(columns)) }
        let sorted = try #require(golden.expected["eval_rearranged"] as? [[Double]])
        for (point, row) in zip(points, sorted) {
            for (a, b) in zip(alone.map { $0(point) }.sorted(), row) { #expect(abs(a - b) <= near) }
        }
        for (region, key) in [
            (NonCrossing.Region.trainingRows, "joint_train_objective"), (.trainingBox, "joint_box_objective"),
        ] {
            let best = try #require(number(golden.expected, key))
            let joint = try NonCrossing.fit(regression, taus: taus, region: region)
            let objective = joint.fits.map(\.objective).reduce(0, +)
            #expect(joint.certified && joint.constraints > 0)
            #expect(abs(objective - best) <= relative * best, "\(key)")
            if key == "joint_box_objective" {
                for point in points {
                    let values = joint.fits.map { $0(point) }
                    for k in 1..<values.count { #expect(values[k] >= values[k - 1] - slack) }
                }
            }
        }
    }
}
