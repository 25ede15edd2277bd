import LinearAlgebra

/// A Gram block in standardised units: features and target with mean 0 and standard deviation 1, so that every
/// threshold downstream is free of units. Constant columns are left out.
public struct StandardizedGram: Sendable {
    /// The statistics behind it.
    public let block: GramBlock
    /// Indices of the columns that vary.
    public let columns: [Int]
    /// Their standard deviations.
    public let scales: [Double]
    /// Standard deviation of the target.
    public let targetScale: Double
    /// Z'Z.
    public let gram: SquareMatrix
    /// Z'y.
    public let projection: [Double]
    /// y'y.
    public let targetSquares: Double
    /// Effective number of rows: the rows, whatever the weights' unit.
    public let rows: Double

    /// Standardises a block, restricted to `candidates` (all columns by default).
    public init(_ block: GramBlock, candidates: [Int]? = nil) {
        self.block = block
        rows = Double(block.rows)
        columns = (candidates ?? Array(0..<block.columns)).filter { !block.isConstant($0) }
        scales = columns.map { block.standardDeviation($0) }
        let deviation = block.standardDeviation(block.columns)
        let isConstant = block.isConstant(block.columns)
        targetScale = isConstant ? 0 : deviation
        // Weights are relative: scaled so that they sum to the number of rows.
        let factor = block.weight > 0 ? rows / block.weight : 0
        var gram = SquareMatrix(size: columns.count)
        for (i, a) in columns.enumerated() {
            for (j, b) in columns.enumerated() {
                gram[i, j] = factor * block.product(a, b) / (scales[i] * scales[j])
            }
        }
        self.gram = gram
        let scale = targetScale
        projection = zip(columns, scales).map { column, own in
            scale > 0 ? factor * block.targetProduct(column) / (own * scale) : 0
        }
        targetSquares = scale > 0 ? factor * block.targetSquares / (scale * scale) : 0
    }

    /// y'y - 2 w'Z'y + w'Z'Z w for weights over `columns`.
    public func squaredError(_ weights: [Double]) -> Double {
        max(0, targetSquares - 2 * dot(weights, projection) + gram.quadratic(weights))
    }
}
