import LinearAlgebra

/// Sufficient statistics of a linear regression over some rows: centred, so that nothing cancels, and mergeable,
/// so that one pass per configuration serves every fold.
///
/// Updates follow Chan, Golub & LeVeque (1979). Columns are the features with the target last.
public struct GramBlock: Sendable {
    /// Features.
    public let columns: Int
    /// Rows, each counted once.
    public private(set) var rows = 0
    /// Sum of weights (the rows when none are given).
    public private(set) var weight = 0.0
    /// Weighted means of the features and, last, of the target.
    public private(set) var means: [Double]
    /// Weighted sums of products of deviations from the means; upper triangle.
    private var centred: SquareMatrix
    /// Least value of each feature and, last, of the target.
    public private(set) var minimum: [Double]
    /// Greatest value of each feature and, last, of the target.
    public private(set) var maximum: [Double]

    /// Rows gathered before the matrix is updated: a block of 40 columns stays in the L2 cache.
    static let blockRows = 512

    /// No rows yet.
    public init(columns: Int) {
        self.columns = columns
        means = [Double](repeating: 0, count: columns + 1)
        centred = SquareMatrix(size: columns + 1)
        minimum = [Double](repeating: .infinity, count: columns + 1)
        maximum = [Double](repeating: -.infinity, count: columns + 1)
    }

    /// Statistics of rows, weighted if weights are given.
    /// - Precondition: one weight per row, none negative.
    public init(_ rows: DesignRows, weights: [Double]? = nil) {
        self.init(columns: rows.columns)
        add(rows, weights: weights)
    }

    /// Adds rows.
    /// - Complexity: O(rows x columns^2) by `dsyrk` on blocks.
    public mutating func add(_ rows: DesignRows, weights: [Double]? = nil) {
        precondition(rows.columns == columns && (weights == nil || weights?.count == rows.count))
        rows.features.withUnsafeBufferPointer { features in
            rows.targets.withUnsafeBufferPointer { targets in
                if let weights {
                    weights.withUnsafeBufferPointer { add(features, targets, $0) }
                } else {
                    add(features, targets, nil)
                }
            }
        }
    }

    /// Adds rows from memory: `targets.count` rows of `columns` features.
    public mutating func add(
        _ features: UnsafeBufferPointer<Double>, _ targets: UnsafeBufferPointer<Double>,
        _ weights: UnsafeBufferPointer<Double>?
    ) {
        let width = columns + 1
        withUnsafeTemporaryAllocation(of: Double.self, capacity: Self.blockRows * width) { scratch in
            var start = 0
            while start < targets.count {
                let count = min(Self.blockRows, targets.count - start)
                for i in 0..<count {
                    let source = (start + i) * columns
                    let destination = i * width
                    for j in 0..<columns { scratch[destination + j] = features[source + j] }
                    scratch[destination + columns] = targets[start + i]
                }
                let part = weights.map { UnsafeBufferPointer(rebasing: $0[start..<start + count]) }
                addBlock(scratch, count, part)
                start += count
            }
        }
    }

    /// Adds one block of rows (features, then target); overwrites it.
    private mutating func addBlock(
        _ block: UnsafeMutableBufferPointer<Double>, _ count: Int, _ weights: UnsafeBufferPointer<Double>?
    ) {
        let width = columns + 1
        var total = 0.0
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 3 * width) { scratch in
            let sums = UnsafeMutableBufferPointer(rebasing: scratch[0..<width])
            let least = UnsafeMutableBufferPointer(rebasing: scratch[width..<2 * width])
            let greatest = UnsafeMutableBufferPointer(rebasing: scratch[2 * width..<3 * width])
            for j in 0..<width {
                sums[j] = 0
                least[j] = minimum[j]
                greatest[j] = maximum[j]
            }
            for i in 0..<count {
                let w = weights?[i] ?? 1
                total += w
                for j in 0..<width {
                    let value = block[i * width + j]
                    sums[j] += w * value
                    least[j] = value < least[j] ? value : least[j]
                    greatest[j] = value > greatest[j] ? value : greatest[j]
                }
            }
            for j in 0..<width {
                minimum[j] = least[j]
                maximum[j] = greatest[j]
                if total > 0 { sums[j] /= total }
            }
            rows += count
            guard total > 0 else { return }
            for i in 0..<count {
                let root = weights.map { $0[i].squareRoot() } ?? 1
                for j in 0..<width { block[i * width + j] = root * (block[i * width + j] - sums[j]) }
            }
            addGram(UnsafeBufferPointer(block), rows: count, columns: width, to: &centred)
            shift(to: sums, weight: total)
        }
    }

    /// Accounts for the distance between the two means and moves the mean; `weight` is that of the rows added.
    private mutating func shift(to other: UnsafeMutableBufferPointer<Double>, weight added: Double) {
        let width = columns + 1
        let sum = weight + added
        let factor = weight * added / sum
        if factor > 0 {
            for i in 0..<width {
                let distance = factor * (other[i] - means[i])
                for j in i..<width {
                    centred.elements[i * width + j] += distance * (other[j] - means[j])
                }
            }
        }
        for j in 0..<width { means[j] += (other[j] - means[j]) * (added / sum) }
        weight = sum
    }

    /// Adds the rows of another block.
    public mutating func merge(_ other: GramBlock) {
        precondition(other.columns == columns)
        rows += other.rows
        for j in 0...columns {
            minimum[j] = min(minimum[j], other.minimum[j])
            maximum[j] = max(maximum[j], other.maximum[j])
        }
        guard other.weight > 0 else { return }
        for i in centred.elements.indices { centred.elements[i] += other.centred.elements[i] }
        var means = other.means
        means.withUnsafeMutableBufferPointer { shift(to: $0, weight: other.weight) }
    }

    /// The same statistics with every weight multiplied by `factor`.
    public func scaled(by factor: Double) -> GramBlock {
        var result = self
        result.weight *= factor
        for i in result.centred.elements.indices { result.centred.elements[i] *= factor }
        return result
    }

    /// Weighted mean of the target.
    public var targetMean: Double { means[columns] }
    /// Weighted sum of squared deviations of the target.
    public var targetSquares: Double { centred[columns, columns] }

    /// Weighted sum of products of deviations of two features.
    public func product(_ i: Int, _ j: Int) -> Double { i <= j ? centred[i, j] : centred[j, i] }
    /// Weighted sum of products of deviations of a feature and the target.
    public func targetProduct(_ j: Int) -> Double { centred[j, columns] }

    /// Population standard deviation of a feature, or of the target at index `columns`.
    public func standardDeviation(_ j: Int) -> Double {
        weight > 0 ? (max(0, centred[j, j]) / weight).squareRoot() : 0
    }

    /// Whether a feature is constant: standard deviation at most 1e-12 of its mean (or of its size, if larger).
    public func isConstant(_ j: Int) -> Bool {
        guard maximum[j] > minimum[j] else { return true }
        return standardDeviation(j) <= 1e-12 * abs(means[j])
    }
}
