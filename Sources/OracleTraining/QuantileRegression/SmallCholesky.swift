/// Cholesky factor of a small symmetric positive definite matrix, scaled to unit diagonal first.
///
/// For the matrices of at most a few hundred columns inside the quantile solvers, where a call into a library would cost
/// more than the work.
struct SmallCholesky {
    private let size: Int
    private var factor: [Double]
    private var scale: [Double]

    /// Factors `matrix` (row-major, `size` x `size`); `ridge` is added to the unit diagonal. A pivot that vanishes is
    /// replaced so that its unknown comes out as zero.
    init(_ matrix: [Double], size: Int, ridge: Double = 0) {
        self.size = size
        factor = [Double](repeating: 0, count: size * size)
        scale = (0..<size).map { j in
            let d = matrix[j * size + j]
            return d > 0 ? 1 / d.squareRoot() : 0
        }
        let n = size
        let s = scale
        factor.withUnsafeMutableBufferPointer { l in
            for i in 0..<n {
                for j in 0...i {
                    var sum = matrix[i * n + j] * s[i] * s[j]
                    if i == j { sum += ridge }
                    for k in 0..<j { sum -= l[i * n + k] * l[j * n + k] }
                    if i == j {
                        l[i * n + i] = sum > 1e-15 ? sum.squareRoot() : .infinity
                    } else {
                        l[i * n + j] = sum / l[j * n + j]
                    }
                }
            }
        }
    }

    /// The solution of `matrix * x = rhs`.
    func solve(_ rhs: [Double]) -> [Double] {
        var x = rhs
        let n = size
        for i in 0..<n {
            var sum = rhs[i] * scale[i]
            for k in 0..<i { sum -= factor[i * n + k] * x[k] }
            x[i] = sum / factor[i * n + i]
        }
        for i in stride(from: n - 1, through: 0, by: -1) {
            var sum = x[i]
            var k = i + 1
            while k < n {
                sum -= factor[k * n + i] * x[k]
                k += 1
            }
            x[i] = sum / factor[i * n + i]
        }
        for i in 0..<n { x[i] *= scale[i] }
        return x
    }
}
