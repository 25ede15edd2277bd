/// Rows of a regression: features, target and weight, row after row in one block of memory.
public struct DesignRows: Sendable {
    /// Features per row.
    public let columns: Int
    /// Feature values, row after row.
    public private(set) var features: [Double] = []
    /// Targets.
    public private(set) var targets: [Double] = []

    /// No rows of `columns` features.
    public init(columns: Int, capacity: Int = 0) {
        self.columns = columns
        features.reserveCapacity(columns * capacity)
        targets.reserveCapacity(capacity)
    }

    /// Rows from existing arrays.
    /// - Precondition: `features` holds `columns` values per target.
    public init(columns: Int, features: [Double], targets: [Double]) {
        precondition(features.count == columns * targets.count)
        self.columns = columns
        self.features = features
        self.targets = targets
    }

    /// Number of rows.
    public var count: Int { targets.count }

    /// Adds a row.
    /// - Precondition: `row` has `columns` elements.
    public mutating func append(_ row: some Collection<Double>, target: Double) {
        precondition(row.count == columns)
        features.append(contentsOf: row)
        targets.append(target)
    }

    /// Feature values of a row.
    public func row(_ index: Int) -> ArraySlice<Double> { features[index * columns..<(index + 1) * columns] }

    /// The same with 0 in some columns of some rows.
    func clearing(columns cleared: [Int], rows: Range<Int>) -> DesignRows {
        var result = self
        for row in rows {
            for column in cleared { result.features[row * columns + column] = 0 }
        }
        return result
    }

    /// The rows of the indices given, in that order.
    public func selecting(_ indices: some Collection<Int>) -> DesignRows {
        var result = DesignRows(columns: columns, capacity: indices.count)
        for index in indices { result.append(row(index), target: targets[index]) }
        return result
    }

    /// The same rows with other targets.
    /// - Precondition: one target per row.
    public func withTargets(_ targets: [Double]) -> DesignRows {
        DesignRows(columns: columns, features: features, targets: targets)
    }
}
