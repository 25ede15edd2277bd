import ServingCore
import Testing

@testable import OracleTraining

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Relative residuals of standard deviation 6 %, Student-t with 4 degrees of freedom, lag-one correlation 0.3.
struct ResidualStream {
    private var stream: RandomStream
    private var last = 0.0

    init(seed: UInt64) { stream = RandomStream(seed: seed, purpose: "residuals") }

    private mutating func normal() -> Double {
        (-2 * log(stream.positiveUniform())).squareRoot() * cos(2 * .pi * stream.uniform())
    }

    mutating func next() -> Double {
        var squares = 0.0
        let top = normal()
        for _ in 0..<4 {
            let z = normal()
            squares += z * z
        }
        let t = top / (squares / 4).squareRoot() / 2.0.squareRoot()
        last = 0.3 * last + (1 - 0.09).squareRoot() * t
        return 0.06 * last
    }
}

@Suite struct QuantileDriftTests {
    @Test(arguments: [UInt64(1), 2, 3])
    func `a rise of 5 percent is flagged soon, a quiet stream never`(seed: UInt64) throws {
        var residuals = ResidualStream(seed: seed)
        var monitor = try DriftMonitor(reference: (0..<2000).map { _ in residuals.next() })
        for _ in 2000..<12_000 { monitor.add(residuals.next()) }
        #expect(monitor.firstAlarm == nil)
        for _ in 0..<2000 { monitor.add((1 + residuals.next()) * 1.05 - 1) }
        let first = try #require(monitor.firstAlarm)
        #expect(first >= 12_000 && first < 14_000)
        #expect(monitor.alarms.contains { $0.detector == .slower })
        #expect(!monitor.alarms.contains { $0.detector == .faster })
    }

    @Test func `more scatter at the same level is flagged as that`() throws {
        var residuals = ResidualStream(seed: 9)
        var monitor = try DriftMonitor(reference: (0..<2000).map { _ in residuals.next() })
        for _ in 0..<3000 { monitor.add(2 * residuals.next()) }
        #expect(monitor.alarms.first?.detector == .wider)
    }

    @Test func `a reference that is too short or not finite is refused`() {
        #expect(throws: InvalidInput.self) { try DriftMonitor(reference: [0.1, 0.2]) }
        #expect(throws: InvalidInput.self) {
            try DriftMonitor(reference: [Double](repeating: .nan, count: 300))
        }
    }

    @Test func `a constant stream is no drift`() throws {
        var monitor = try DriftMonitor(reference: [Double](repeating: 0.5, count: 300))
        for _ in 0..<5000 { monitor.add(0.5) }
        #expect(monitor.firstAlarm == nil)
    }

    @Test func `the adaptive window shrinks to what is current`() {
        var window = AdaptiveWindow(confidence: 1e-6)
        var stream = RandomStream(seed: 4, purpose: "adwin")
        var cuts = 0
        for _ in 0..<4000 { if window.add(0.5 * stream.uniform()) { cuts += 1 } }
        #expect(cuts == 0 && window.count == 4000)
        for _ in 0..<2000 { if window.add(0.5 + 0.5 * stream.uniform()) { cuts += 1 } }
        #expect(cuts > 0 && window.count < 3000)
    }

    @Test func `a shifted sample is far, the same sample near`() {
        var stream = RandomStream(seed: 5, purpose: "psi")
        let a = (0..<2000).map { _ in stream.uniform() }
        let b = (0..<2000).map { _ in stream.uniform() }
        #expect(DistributionShift.populationStabilityIndex(reference: a, current: b) < 0.05)
        #expect(
            DistributionShift.populationStabilityIndex(reference: a, current: b.map { $0 + 0.5 }) > 0.25)
        #expect(DistributionShift.populationStabilityIndex(reference: [], current: b) == 0)
        #expect(DistributionShift.kolmogorovSmirnov(a, a) == 0)
        #expect(DistributionShift.kolmogorovSmirnovPValue(0, 10, 10) == 1)
    }
}

@Suite struct QuantileConformalTests {
    @Test(arguments: ConformalInterval.Form.allCases)
    func `calibrated intervals cover what they promise`(form: ConformalInterval.Form) throws {
        var covered = 0.0
        for seed in 0..<40 {
            var stream = RandomStream(seed: UInt64(seed), purpose: "conformal")
            let center = (0..<400).map { _ in 1 + 9 * stream.uniform() }
            let y = center.map { $0 * (1 + 0.4 * (stream.uniform() - 0.3)) }
            let lower = center.map { $0 * 0.98 }
            let upper = center.map { $0 * 1.02 }
            let interval = try ConformalInterval(
                lower: Array(lower[..<200]), upper: Array(upper[..<200]), y: Array(y[..<200]), alpha: 0.2,
                form: form)
            let wide = (200..<400).map { interval(lower: lower[$0], upper: upper[$0]) }
            covered += IntervalScores.coverage(
                lower: wide.map(\.lower), upper: wide.map(\.upper), Array(y[200...]))
        }
        #expect(abs(covered / 40 - 0.8) < 0.03)
    }

    @Test func `too few rows promise nothing, so the interval is everything`() throws {
        let interval = try ConformalInterval(lower: [1, 1], upper: [2, 2], y: [1.5, 1.5], alpha: 0.2)
        #expect(interval.above == .infinity)
        #expect(throws: InvalidInput.self) {
            try ConformalInterval(lower: [], upper: [], y: [], alpha: 0.2)
        }
        #expect(throws: InvalidInput.self) {
            try ConformalInterval(lower: [.nan], upper: [1], y: [1], alpha: 0.2)
        }
    }

    @Test func `a group too small to calibrate shares the pooled interval and is named`() throws {
        let n = 260
        let groups = (0..<n).map { $0 < 210 ? "large" : "small" }
        let y = (0..<n).map { Double($0 % 10) }
        let grouped = try GroupedConformal(
            lower: y.map { $0 - 1 }, upper: y.map { $0 + 1 }, y: y, groups: groups, alpha: 0.2)
        #expect(grouped.pooledGroups == ["small"])
        #expect(grouped["small"] == grouped.pooled && grouped.byGroup["large"] != nil)
        #expect(grouped["never seen"] == grouped.pooled)
    }

    @Test func `a group borrows a little from the others, and one too small borrows all`() throws {
        var stream = RandomStream(seed: 4, purpose: "blocks")
        func blocks(_ group: String, level: Double, rows: Int) -> [BlockCalibration.Block] {
            (0..<6).map { b in
                .init(
                    group: group, start: Double(b) / 6, end: Double(b + 1) / 6,
                    scores: (0..<rows).map { _ in level + stream.uniform() })
            }
        }
        let low = blocks("low", level: 0, rows: 100)
        let high = blocks("high", level: 3, rows: 100)
        let small = blocks("small", level: 9, rows: 4)
        let alone = try #require(BlockCalibration(low, coverage: 0.8))
        #expect(abs(alone.pooled.widening - 0.8) < 0.06)
        #expect(alone.byGroup["low"] == alone.pooled)
        let both = try #require(BlockCalibration(low + high + small, coverage: 0.8))
        let (lower, upper) = (both.byGroup["low"]!.widening, both.byGroup["high"]!.widening)
        #expect(alone.pooled.widening < lower && lower < upper)
        #expect(both.pooledGroups == ["small"] && both.byGroup["small"] == nil)
        // Whatever the order in which they come.
        #expect(BlockCalibration((low + high + small).reversed(), coverage: 0.8) == both)
    }

    @Test func `blocks of time that differ raise the level, blocks alike don't`() throws {
        var stream = RandomStream(seed: 5, purpose: "levels")
        func blocks(wander: Double) -> [BlockCalibration.Block] {
            (0..<10).map { b in
                .init(
                    group: "g", start: Double(b) / 10, end: Double(b + 1) / 10,
                    scores: (0..<200).map { _ in wander * Double(b) + stream.uniform() })
            }
        }
        let steady = try #require(BlockCalibration(blocks(wander: 0), coverage: 0.8))
        let drifting = try #require(BlockCalibration(blocks(wander: 0.2), coverage: 0.8))
        #expect(steady.level < 0.83)
        #expect(drifting.level > 0.9)
        #expect(BlockCalibration([], coverage: 0.8) == nil)
    }

    @Test(arguments: 1...60) func `every later block is judged by one fit that reaches back far enough`(
        blocks: Int
    ) {
        let origins = LaterBlocks.origins(blocks)
        #expect(origins == origins.sorted() && Set(origins).count == origins.count)
        #expect(origins.allSatisfy { $0 >= 1 && $0 < blocks })
        #expect(origins.isEmpty == (blocks == 1))
        for (origin, next) in zip(origins, origins.dropFirst() + [blocks]) {
            #expect(next == origin + 1 || Double(next) <= 1.5 * Double(origin) + 0.5)
        }
    }

    @Test func `the adaptive form holds its rate through a drift that breaks the static one`() throws {
        var stream = RandomStream(seed: 3, purpose: "adaptive")
        let calibration = (0..<500).map { _ in stream.uniform() }
        var adaptive = AdaptiveConformal(target: 0.2, scores: calibration)
        let fixed = calibration.sorted()[400]
        var missed = 0.0
        var missedFixed = 0.0
        for i in 0..<4000 {
            let score = stream.uniform() + Double(i) / 2000
            if score > fixed { missedFixed += 1 }
            if adaptive.observe(score: score) { missed += 1 }
        }
        #expect(abs(missed / 4000 - 0.2) < 0.03)
        #expect(missedFixed / 4000 > 0.5)
    }
}

@Suite struct QuantileEmbeddingTests {
    @Test func `clusters that stand apart are found from any seed`() throws {
        var stream = RandomStream(seed: 1, purpose: "clusters")
        let points = (0..<60).map { i in
            [Double(i % 3) * 10 + stream.uniform(), Double(i % 3) * -7 + stream.uniform()]
        }
        let cloud = PointCloud(points)
        for seed in 0..<5 {
            let result = try KMeans.cluster(cloud, k: 3, restarts: 10, seed: UInt64(seed))
            #expect(result.best.labels == (0..<60).map { $0 % 3 })
            #expect(result.agreement <= 1 && result.shareAtBest > 0)
        }
        #expect(WardClustering(cloud).cut(3).labels == (0..<60).map { $0 % 3 })
        #expect(try #require(WardClustering(cloud).cut(3).silhouette(cloud)) > 0.8)
    }

    @Test func `more clusters than distinct configurations are refused`() throws {
        let cloud = PointCloud([[1, 1], [1, 1], [2, 2]])
        #expect(throws: InvalidInput.self) { try KMeans.cluster(cloud, k: 3) }
        #expect(throws: InvalidInput.self) { try KMeans.cluster(cloud, k: 0) }
        #expect(try KMeans.cluster(cloud, k: 2).best.inertia == 0)
    }

    @Test func `identical configurations need one donor`() throws {
        let donors = try DonorSelection(PointCloud([[1, 1], [1, 1], [1, 1]]), count: 3)
        #expect(donors.order == [0] && donors.radii == [0])
        #expect(throws: InvalidInput.self) { try DonorSelection(PointCloud([]), count: 1) }
        #expect(throws: InvalidInput.self) { try DonorSelection(PointCloud([[1]]), count: 0) }
    }

    @Test func `donors go on from configurations already measured`() throws {
        let cloud = PointCloud([[0], [1], [5], [9]])
        #expect(try DonorSelection(cloud, count: 2, existing: [[0]]).order == [3, 2])
    }

    @Test func `the Mantel test tells a related embedding from a random one`() throws {
        var stream = RandomStream(seed: 6, purpose: "mantel test")
        let points = (0..<15).map { _ in [stream.uniform(), stream.uniform()] }
        let other = (0..<15).map { _ in [stream.uniform(), stream.uniform()] }
        let near = points.map { [$0[0] + 0.05 * stream.uniform(), $0[1]] }
        let a = PointCloud(points).distances
        let related = try MantelTest(a, PointCloud(near).distances)
        #expect(related.correlation > 0.9 && related.pValue < 0.01)
        #expect(try MantelTest(a, PointCloud(other).distances).pValue > 0.02)
        #expect(throws: InvalidInput.self) { try MantelTest([[0]], [[0]]) }
    }

    @Test func `the adjusted Rand index is 1 for equal divisions only`() {
        let points = (0..<6).map { [Double($0)] }
        let a = Clustering(points: points, labels: [0, 0, 1, 1, 2, 2])
        #expect(a.adjustedRandIndex(Clustering(points: points, labels: [5, 5, 3, 3, 1, 1])) == 1)
        #expect(a.adjustedRandIndex(Clustering(points: points, labels: [0, 1, 0, 1, 0, 1])) < 0.1)
    }
}
