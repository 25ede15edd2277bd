import COpenBLAS

/// A dense square matrix of doubles, row after row.
public struct SquareMatrix: Equatable, Sendable {
    /// Rows and columns.
    public let size: Int
    /// Elements, row after row.
    public var elements: [Double]

    /// A matrix of zeros.
    public init(size: Int) {
        self.size = size
        elements = [Double](repeating: 0, count: size * size)
    }

    /// A diagonal matrix.
    public init(diagonal: [Double]) {
        self.init(size: diagonal.count)
        for (index, value) in diagonal.enumerated() { self[index, index] = value }
    }

    /// The element of a row and a column.
    public subscript(row: Int, column: Int) -> Double {
        get { elements[row * size + column] }
        set { elements[row * size + column] = newValue }
    }

    /// The diagonal.
    public var diagonal: [Double] { (0..<size).map { self[$0, $0] } }

    /// Rows as arrays.
    public var rows: [[Double]] { (0..<size).map { Array(elements[$0 * size..<($0 + 1) * size]) } }

    /// The rows and columns of the indices given, in that order.
    public func submatrix(_ indices: [Int]) -> SquareMatrix {
        var result = SquareMatrix(size: indices.count)
        for (row, i) in indices.enumerated() {
            for (column, j) in indices.enumerated() { result[row, column] = self[i, j] }
        }
        return result
    }

    /// Product with a vector of `size` elements.
    public func times(_ vector: [Double]) -> [Double] {
        precondition(vector.count == size)
        guard size > 0 else { return [] }
        Threads.ensureSingle()
        var result = [Double](repeating: 0, count: size)
        cblas_dgemv(
            CblasRowMajor, CblasNoTrans, Int32(size), Int32(size), 1, elements, Int32(size), vector, 1, 0,
            &result, 1)
        return result
    }

    /// x' M x for a vector of `size` elements.
    public func quadratic(_ vector: [Double]) -> Double { dot(vector, times(vector)) }

    /// Copies the upper triangle onto the lower.
    mutating func mirrorUpper() {
        for row in 0..<size {
            for column in 0..<row { elements[row * size + column] = elements[column * size + row] }
        }
    }
}

/// Inner product of two vectors of the same length.
public func dot(_ a: [Double], _ b: [Double]) -> Double {
    precondition(a.count == b.count)
    Threads.ensureSingle()
    return cblas_ddot(Int32(a.count), a, 1, b, 1)
}

/// Products of a row-major matrix's rows with a vector: `rows x columns` times `columns`.
public func rowProducts(
    _ matrix: UnsafeBufferPointer<Double>, rows: Int, columns: Int, _ vector: [Double],
    into result: UnsafeMutableBufferPointer<Double>
) {
    precondition(matrix.count >= rows * columns && vector.count == columns && result.count >= rows)
    guard rows > 0, columns > 0 else { return }
    Threads.ensureSingle()
    cblas_dgemv(
        CblasRowMajor, CblasNoTrans, Int32(rows), Int32(columns), 1, matrix.baseAddress, Int32(columns),
        vector, 1,
        0, result.baseAddress, 1)
}

/// Adds A'A of a row-major `rows x columns` block to the upper triangle of a matrix.
public func addGram(
    _ block: UnsafeBufferPointer<Double>, rows: Int, columns: Int, to matrix: inout SquareMatrix
) {
    precondition(block.count >= rows * columns && matrix.size == columns)
    guard rows > 0, columns > 0 else { return }
    Threads.ensureSingle()
    cblas_dsyrk(
        CblasRowMajor, CblasUpper, CblasTrans, Int32(columns), Int32(rows), 1, block.baseAddress,
        Int32(columns), 1,
        &matrix.elements, Int32(columns))
}
