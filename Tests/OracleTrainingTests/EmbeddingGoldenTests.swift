import Testing

@testable import OracleTraining

@Suite(.enabled(if: GoldenFixtures.present, "needs ../shared/training/golden"))
struct EmbeddingGoldenTests {
    @Test(arguments: GoldenFixtures.cases(kind: "clustering"))
    func `clusters, heights and donors`(name: String) throws {
        let golden = try GoldenCase(name)
        let cloud = PointCloud.standardising(golden.rows).cloud
        let near = number(golden.tolerance, "silhouette_abs") ?? 1e-9
        let relative = number(golden.tolerance, "heights_rel") ?? 1e-9
        let kmeans = try #require(golden.expected["kmeans"] as? [String: Any])
        for (key, value) in kmeans {
            let expected = try #require(value as? [String: Any])
            let k = try #require(Int(key.dropFirst()))
            let found = try KMeans.cluster(cloud, k: k).best
            let best = try #require(number(expected, "inertia"))
            #expect(found.inertia <= best * (1 + 1e-6), "k \(k)")
            if abs(found.inertia - best) <= 1e-9 * best {
                let labels = try #require(numbers(expected, "labels")).map { Int($0) }
                #expect(found == Clustering(points: cloud.points, labels: labels))
                let silhouette = try #require(number(expected, "silhouette"))
                #expect(abs(try #require(found.silhouette(cloud)) - silhouette) <= near)
            }
        }
        let ward = WardClustering(cloud)
        let heights = try #require(numbers(golden.expected, "ward_last10_heights"))
        for (a, b) in zip(ward.heights.suffix(heights.count), heights) { #expect(abs(a - b) <= relative * b) }
        if let labels = numbers(golden.expected, "ward_labels_k4") {
            let cut = ward.cut(4)
            #expect(cut.labels == Clustering(points: cloud.points, labels: labels.map { Int($0) }).labels)
            let silhouette = try #require(number(golden.expected, "ward_k4_silhouette"))
            #expect(abs(try #require(cut.silhouette(cloud)) - silhouette) <= near)
        }
        let order = try #require(numbers(golden.expected, "kcenter_order")).map { Int($0) }
        let donors = try DonorSelection(cloud, count: order.count)
        #expect(donors.order == order)
        let radii = try #require(numbers(golden.expected, "kcenter_radius_before_each_pick"))
        for (a, b) in zip(donors.radii, radii) { #expect(abs(a - b) <= relative * b) }
        let final = try #require(number(golden.expected, "kcenter_final_radius"))
        #expect(abs(try #require(donors.radii.last) - final) <= relative * final)
    }

    @Test(arguments: GoldenFixtures.cases(kind: "conformal"))
    func `conformal offsets and scores`(name: String) throws {
        let golden = try GoldenCase(name)
        let alpha = try #require(number(golden.params, "alpha"))
        let split = golden.column("split")
        func part(_ column: String, _ which: Double) -> [Double] {
            zip(golden.column(column), split).filter { $0.1 == which }.map(\.0)
        }
        let relative = number(golden.tolerance, "rel") ?? 1e-12
        func near(_ a: Double, _ b: Double?) -> Bool {
            b.map { abs(a - $0) <= relative * max(1, abs($0)) } ?? true
        }
        let symmetric = try ConformalInterval(
            lower: part("lo", 0), upper: part("hi", 0), y: part("y", 0), alpha: alpha)
        #expect(symmetric.rank == Int(number(golden.expected, "rank_k") ?? -1))
        #expect(near(symmetric.above, number(golden.expected, "Q")))
        let y = part("y", 1)
        let raw = (part("lo", 1), part("hi", 1))
        let wide = zip(raw.0, raw.1).map { symmetric(lower: $0, upper: $1) }
        let (lower, upper) = (wide.map(\.lower), wide.map(\.upper))
        #expect(IntervalScores.coverage(lower: lower, upper: upper, y) == number(golden.expected, "coverage"))
        #expect(
            IntervalScores.coverage(lower: raw.0, upper: raw.1, y)
                == number(golden.expected, "uncalibrated_coverage"))
        #expect(near(IntervalScores.width(lower: lower, upper: upper), number(golden.expected, "mean_width")))
        #expect(
            near(
                IntervalScores.winkler(lower: lower, upper: upper, y, alpha: alpha),
                number(golden.expected, "winkler")))
        let expected = try #require(golden.expected["asymmetric"] as? [String: Any])
        let asymmetric = try ConformalInterval(
            lower: part("lo", 0), upper: part("hi", 0), y: part("y", 0), alpha: alpha, form: .asymmetric)
        #expect(asymmetric.rank == Int(number(expected, "rank") ?? -1))
        #expect(near(asymmetric.below, number(expected, "Q_lo")))
        #expect(near(asymmetric.above, number(expected, "Q_hi")))
        let sides = zip(raw.0, raw.1).map { asymmetric(lower: $0, upper: $1) }
        #expect(
            IntervalScores.coverage(lower: sides.map(\.lower), upper: sides.map(\.upper), y)
                == number(expected, "coverage"))
        let pinball = try #require(golden.expected["pinball"] as? [String: Any])
        for (column, tau) in [("lo", 0.1), ("med", 0.5), ("hi", 0.9)] {
            #expect(near(IntervalScores.pinball(part(column, 1), y, tau: tau), number(pinball, "\(tau)")))
        }
    }

    @Test(arguments: GoldenFixtures.cases(kind: "metrics"))
    func `drift measures`(name: String) throws {
        let golden = try GoldenCase(name)
        let relative = number(golden.tolerance, "rel") ?? 1e-9
        let reference = golden.column("ref").filter { !$0.isNaN }
        let current = golden.column("cur").filter { !$0.isNaN }
        let psi = try #require(number(golden.expected, "psi"))
        #expect(
            abs(DistributionShift.populationStabilityIndex(reference: reference, current: current) - psi)
                <= relative * psi)
        let ks = try #require(number(golden.expected, "ks_stat"))
        let statistic = DistributionShift.kolmogorovSmirnov(reference, current)
        #expect(abs(statistic - ks) <= relative * ks)
        let p = try #require(number(golden.expected, "ks_p_asymptotic"))
        let found = DistributionShift.kolmogorovSmirnovPValue(statistic, reference.count, current.count)
        #expect(abs(found - p) <= (number(golden.tolerance, "ks_p_rel") ?? 1e-3) * p)
        let settings = try #require(golden.params["page_hinkley"] as? [String: Any])
        var test = PageHinkley(
            delta: try #require(number(settings, "delta")), threshold: try #require(number(settings, "lam")))
        #expect(
            current.firstIndex { test.add($0) }
                == Int(number(golden.expected, "page_hinkley_alarm_index0") ?? -1))
    }
}
