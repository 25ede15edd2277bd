import COpenBLAS

/// Eigenvalues, ascending, and eigenvectors (the columns of `vectors`) of a symmetric matrix.
public struct SymmetricEigen: Sendable {
    /// Eigenvalues, ascending.
    public let values: [Double]
    /// Eigenvectors as columns.
    public let vectors: SquareMatrix

    /// Decomposes a symmetric matrix; nil when LAPACK does not converge or an element isn't finite.
    public init?(_ matrix: SquareMatrix) {
        Threads.ensureSingle()
        guard matrix.elements.allSatisfy({ $0.isFinite }) else { return nil }
        var vectors = matrix
        var values = [Double](repeating: 0, count: matrix.size)
        if matrix.size > 0 {
            let status = LAPACKE_dsyev(
                LAPACK_ROW_MAJOR, 86, 76, Int32(matrix.size), &vectors.elements, Int32(matrix.size), &values)
            guard status == 0 else { return nil }
        }
        self.values = values
        self.vectors = vectors
    }

    /// Moore-Penrose inverse: directions whose eigenvalue is at most `tolerance` times the greatest count as null.
    public func pseudoInverse(tolerance: Double = 1e-10) -> SquareMatrix {
        let n = values.count
        var result = SquareMatrix(size: n)
        let limit = (values.last ?? 0) * tolerance
        for k in 0..<n where values[k] > max(limit, 0) {
            for i in 0..<n {
                let scaled = vectors[i, k] / values[k]
                for j in 0..<n { result[i, j] += scaled * vectors[j, k] }
            }
        }
        return result
    }

    /// Number of eigenvalues above `tolerance` times the greatest.
    public func rank(tolerance: Double = 1e-10) -> Int {
        let limit = (values.last ?? 0) * tolerance
        return values.count { $0 > max(limit, 0) }
    }
}
