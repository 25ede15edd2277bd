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
        let n = matrix.size
        var columns = matrix.elements
        var values = [Double](repeating: 0, count: n)
        if n > 0 {
            var (order, length, status) = (Int32(n), Int32(-1), Int32(0))
            var best = 0.0
            dsyev_("V", "L", &order, &columns, &order, &values, &best, &length, &status, 1, 1)
            var work = [Double](repeating: 0, count: max(3 * n, Int(best)))
            length = Int32(work.count)
            dsyev_("V", "L", &order, &columns, &order, &values, &work, &length, &status, 1, 1)
            guard status == 0 else { return nil }
        }
        var vectors = SquareMatrix(size: n)
        for i in 0..<n {
            for j in 0..<n { vectors[i, j] = columns[j * n + i] }
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
