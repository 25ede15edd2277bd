import COpenBLAS

#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Cholesky factorisation of a symmetric positive definite matrix, scaled to a unit diagonal first (Jacobi), so
/// that columns of very different size do no harm.
public struct CholeskyFactorization: Sendable {
    /// Rows of the matrix.
    public let size: Int
    /// Lower triangle, column after column.
    private let factor: [Double]
    private let scale: [Double]
    /// Logarithm of the determinant.
    public let logDeterminant: Double

    /// Factors a matrix; nil when it isn't positive definite to working precision.
    public init?(_ matrix: SquareMatrix) {
        Threads.ensureSingle()
        let n = matrix.size
        size = n
        var scale = [Double](repeating: 1, count: n)
        for i in 0..<n {
            guard matrix[i, i] > 0, matrix[i, i].isFinite else { return nil }
            scale[i] = 1 / matrix[i, i].squareRoot()
        }
        var factor = matrix.elements
        for i in 0..<n {
            for j in 0..<n { factor[i * n + j] *= scale[i] * scale[j] }
        }
        if n > 0 {
            // A symmetric matrix is the same by rows and by columns.
            var (order, status) = (Int32(n), Int32(0))
            dpotrf_("L", &order, &factor, &order, &status, 1)
            guard status == 0 else { return nil }
        }
        var logarithm = 0.0
        for i in 0..<n { logarithm += 2 * (log(factor[i * n + i]) - log(scale[i])) }
        guard logarithm.isFinite else { return nil }
        self.factor = factor
        self.scale = scale
        logDeterminant = logarithm
    }

    /// The solution of `matrix x = rhs`.
    public func solve(_ rhs: [Double]) -> [Double] {
        precondition(rhs.count == size)
        guard size > 0 else { return [] }
        var x = rhs
        for i in 0..<size { x[i] *= scale[i] }
        var (order, columns, status) = (Int32(size), Int32(1), Int32(0))
        dpotrs_("L", &order, &columns, factor, &order, &x, &order, &status, 1)
        for i in 0..<size { x[i] *= scale[i] }
        return x
    }

    /// The inverse of the matrix.
    public func inverse() -> SquareMatrix {
        var result = SquareMatrix(size: size)
        guard size > 0 else { return result }
        result.elements = factor
        var (order, status) = (Int32(size), Int32(0))
        dpotri_("L", &order, &result.elements, &order, &status, 1)
        for i in 0..<size {
            for j in 0...i {
                let value = result[j, i] * scale[i] * scale[j]
                result[i, j] = value
                result[j, i] = value
            }
        }
        return result
    }
}
