import LinearAlgebra

/// A fitted linear model in natural units, with what is known of its uncertainty.
public struct LinearEstimate: Sendable {
    /// Coefficient of every column, 0 where dropped.
    public var coefficients: [Double]
    /// Constant term.
    public var intercept: Double
    /// Columns with a coefficient, ascending.
    public var kept: [Int]
    /// Covariance of the kept coefficients, in that order.
    public var covariance: SquareMatrix
    /// Weighted means of the kept columns: the posterior is centred there.
    public var means: [Double]
    /// Variance of the predictor at the means, sigma^2 / n.
    public var interceptVariance: Double
    /// Variance of a row of weight 1.
    public var noiseVariance: Double
    /// Log evidence in standardised units, for methods that have one.
    public var logEvidence: Double?
    /// Why a column is not among the kept; nil for the kept.
    public var reasons: [String?]
    /// Iterations or steps that the fit took.
    public var iterations: Int

    /// Mean prediction for a row.
    public func predict(_ row: some Collection<Double>) -> Double {
        var sum = intercept
        for (value, coefficient) in zip(row, coefficients) { sum += value * coefficient }
        return sum
    }

    /// Mean predictions for many rows.
    public func predict(_ rows: DesignRows) -> [Double] {
        var result = [Double](repeating: 0, count: rows.count)
        rows.features.withUnsafeBufferPointer { features in
            result.withUnsafeMutableBufferPointer {
                rowProducts(features, rows: rows.count, columns: rows.columns, coefficients, into: $0)
            }
        }
        for i in result.indices { result[i] += intercept }
        return result
    }

    /// Variance of the prediction that comes from the coefficients: x' Sigma x + sigma^2 / n.
    public func coefficientVariance(_ row: some RandomAccessCollection<Double>) -> Double {
        var distance = [Double](repeating: 0, count: kept.count)
        for (i, column) in kept.enumerated() {
            distance[i] = row[row.index(row.startIndex, offsetBy: column)] - means[i]
        }
        return interceptVariance + max(0, covariance.quadratic(distance))
    }
}

/// How sparse Bayesian regression climbs the evidence.
public enum EvidenceUpdates: String, Sendable, CaseIterable {
    /// One feature at a time, exact pruning.
    case tippingFaul = "tipping-faul"
    /// MacKay's fixed point with scikit-learn's priors and threshold.
    case mackay
}

/// Sparse Bayesian regression with automatic relevance determination, on sufficient statistics.
public enum ARDRegression {
    /// Fits a block.
    ///
    /// Constant columns get coefficient 0. With Tipping-Faul updates a column that repeats an earlier one to within
    /// a correlation of 1 - 1e-10 is dropped too and reported; the intercept is never penalised.
    /// - Parameter candidates: columns that may have a coefficient; all by default.
    /// - Returns: nil when the target is constant or the statistics hold no rows.
    public static func fit(
        _ block: GramBlock, updates: EvidenceUpdates = .tippingFaul, start: SparsePosterior? = nil,
        candidates: [Int]? = nil
    ) -> LinearEstimate? {
        var duplicates: [Int: Int] = [:]
        switch updates {
        case .mackay:
            return Self.fit(block, MacKayUpdates(), candidates: candidates)
        case .tippingFaul:
            let all = StandardizedGram(block, candidates: candidates)
            duplicates = repeatedColumns(all)
            let gram =
                duplicates.isEmpty
                ? all : StandardizedGram(block, candidates: all.columns.filter { duplicates[$0] == nil })
            guard let fit = TippingFaulUpdates().fit(gram, start: start) else { return nil }
            return estimate(gram, fit.posterior, duplicates, fit.steps)
        }
    }

    /// Fits a block by MacKay's updates with the settings given; repeated columns share their coefficient.
    /// - Returns: nil when the target is constant or the statistics hold no rows.
    public static func fit(_ block: GramBlock, _ updates: MacKayUpdates, candidates: [Int]? = nil)
        -> LinearEstimate?
    {
        let gram = StandardizedGram(block, candidates: candidates)
        guard let fit = updates.fit(gram) else { return nil }
        return estimate(gram, fit.posterior, [:], fit.iterations)
    }

    /// Columns that repeat an earlier column, with which.
    static func repeatedColumns(_ gram: StandardizedGram) -> [Int: Int] {
        var repeated: [Int: Int] = [:]
        for j in gram.columns.indices {
            for i in 0..<j where repeated[gram.columns[i]] == nil {
                let correlation = gram.gram[i, j] / (gram.gram[i, i] * gram.gram[j, j]).squareRoot()
                if abs(correlation) > 1 - 1e-10 {
                    repeated[gram.columns[j]] = gram.columns[i]
                    break
                }
            }
        }
        return repeated
    }

    /// Brings a posterior back to natural units.
    static func estimate(
        _ gram: StandardizedGram, _ posterior: SparsePosterior, _ duplicates: [Int: Int], _ iterations: Int
    ) -> LinearEstimate {
        let block = gram.block
        let y = gram.targetScale
        let order = posterior.active.indices.sorted { posterior.active[$0] < posterior.active[$1] }
        let kept = order.map { gram.columns[posterior.active[$0]] }
        let scales = order.map { gram.scales[posterior.active[$0]] }
        var coefficients = [Double](repeating: 0, count: block.columns)
        var covariance = SquareMatrix(size: kept.count)
        var intercept = block.targetMean
        for (i, position) in order.enumerated() {
            coefficients[kept[i]] = posterior.weights[position] * y / scales[i]
            intercept -= coefficients[kept[i]] * block.means[kept[i]]
            for (j, other) in order.enumerated() {
                covariance[i, j] = posterior.covariance[position, other] * y * y / (scales[i] * scales[j])
            }
        }
        let noise = y * y / posterior.noisePrecision
        var reasons = [String?](repeating: nil, count: block.columns)
        let keptSet = Set(kept)
        for column in 0..<block.columns where !keptSet.contains(column) {
            if block.isConstant(column) {
                reasons[column] = "constant"
            } else if duplicates[column] != nil {
                reasons[column] = "repeats another feature"
            } else {
                reasons[column] = "irrelevant: the evidence is higher without it"
            }
        }
        // Weights are relative: sigma^2 of a row of weight 1 follows from their mean.
        let meanWeight = block.weight / max(gram.rows, 1)
        return LinearEstimate(
            coefficients: coefficients, intercept: intercept, kept: kept, covariance: covariance,
            means: kept.map { block.means[$0] }, interceptVariance: noise / max(gram.rows, 1),
            noiseVariance: noise * meanWeight, logEvidence: posterior.logEvidence, reasons: reasons,
            iterations: iterations)
    }
}
